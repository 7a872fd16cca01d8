"""MIDRC-RICORD-1a: chest CT of patients with COVID-19.

Tsai et al., Radiology 2021 (TCIA, CC BY-NC 4.0): 120 studies of 110 patients, of several series each.
`MIDRC-RICORD-1A-419639-000082/STUDY/SERIES/*.dcm`, below root at any depth. The contours and the labels of the studies,
JSON files apart, are not read: the CT are for learning without labels.

Could not be checked against the original: counts, licence, and the names of the folders.
"""

from dataclasses import dataclass
from pathlib import Path

from vesalius.data.datasets import Facts
from vesalius.data.tcia import Collection

FACTS = Facts(
    name="midrc_ricord_1a",
    title="MIDRC-RICORD-1a",
    modality="CT",
    ndim=3,
    images=0,  # what is published counts studies and slices
    patients=110,
    licence="CC BY-NC 4.0 (not verified)",
    cite="Tsai et al., The RSNA International COVID-19 Open Radiology Database (RICORD), Radiology 2021",
)


@dataclass(frozen=True)
class Dataset(Collection):
    """Ids are the folders of the series, below root."""

    root: Path

    @property
    def pattern(self) -> str:
        """MIDRC-RICORD-1A-419639-000082."""
        return r"(?i:MIDRC-RICORD-1A)-\d+-\d+"
