"""NLST: low-dose chest CT of 26,254 participants of a screening trial, several series each.

National Lung Screening Trial, NEJM 2011 (TCIA). `100012/STUDY/SERIES/*.dcm`, below root at any depth. As vox2vec has it,
the longest series of each participant is taken, and only with 32 slices or more.

Could not be checked against the original: count, licence, the names of the folders, and how vox2vec chose between series
of the same length (here: the first by name).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.datasets import Facts
from vesalius.data.footprint import parts
from vesalius.data.tcia import Collection
from vesalius.errors import DataError

FACTS = Facts(
    name="nlst",
    title="National Lung Screening Trial",
    modality="CT",
    ndim=3,
    images=26_254,  # one a participant
    patients=26_254,
    licence="CC BY 4.0 (not verified)",
    cite="National Lung Screening Trial Research Team, NEJM 2011; TCIA",
)


@dataclass(frozen=True)
class Dataset(Collection):
    """Ids are the folders of the series, below root. least: slices of a series, so that it is taken."""

    root: Path
    least: int = 32

    @property
    def pattern(self) -> str:
        """100012."""
        return r"\d{6}"

    @cached_property
    def _longest(self) -> dict[str, str]:
        """Participant -> series. DataError: none is long enough."""
        length = {path: len(parts(self.root / path)) for path in self._patients}
        found: dict[str, str] = {}
        for path in sorted(length):
            best = found.get(who := self._patients[path])
            if length[path] >= self.least and (best is None or length[path] > length[best]):
                found[who] = path
        if not found:
            reason = f"no series of {self.least} slices or more: the longest has {max(length.values())}"
            raise DataError(reason, file=self.root, remedy="Choose with ?least=.")
        return found

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root: the same."""
        return {path: path for path in self._longest.values()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is left out."""
        short = len(set(self._patients.values())) - len(self._longest)
        rest = len(self._patients) - len(self._longest)
        counts = {"series are left out, not being a patient's longest": rest - short}
        counts[f"patients are left out, with no series of {self.least} slices"] = short
        return tuple(f"{n:,} {what}." for what, n in counts.items() if n > 0)
