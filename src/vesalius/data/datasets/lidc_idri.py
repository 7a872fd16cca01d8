"""LIDC-IDRI: 1,018 chest CT of 1,010 patients, for lung nodules.

Armato et al., Medical Physics 2011 (TCIA, CC BY 3.0). `LIDC-IDRI-0001/STUDY/SERIES/*.dcm`, below root at any depth. The
radiologists' annotations, an XML file beside each series, are not read, and the radiographs of some patients are passed
over: the CT are for learning without labels.

Could not be checked against the original: counts, licence, and the names of the folders.
"""

from dataclasses import dataclass
from pathlib import Path

from vesalius.data.datasets import Facts
from vesalius.data.tcia import Collection

FACTS = Facts(
    name="lidc_idri",
    title="LIDC-IDRI",
    modality="CT",
    ndim=3,
    images=1_018,
    patients=1_010,
    licence="CC BY 3.0 (not verified)",
    cite="Armato et al., The Lung Image Database Consortium and Image Database Resource Initiative, Med Phys 2011",
)


@dataclass(frozen=True)
class Dataset(Collection):
    """Ids are the folders of the series, below root."""

    root: Path

    @property
    def pattern(self) -> str:
        """LIDC-IDRI-0001."""
        return r"LIDC-IDRI-\d{4}"
