"""NSCLC-Radiomics (Lung1): planning CT of 422 patients with lung cancer.

Aerts et al., Nature Communications 2014 (TCIA, CC BY-NC 3.0). `LUNG1-001/STUDY/SERIES/*.dcm`, below root at any depth.
The contours of the tumour and of organs, in the folders of RTSTRUCT and SEG, are not read: the CT are for learning
without labels.

Could not be checked against the original: count, licence, and the names of the folders.
"""

from dataclasses import dataclass
from pathlib import Path

from vesalius.data.datasets import Facts
from vesalius.data.tcia import Collection

FACTS = Facts(
    name="nsclc_radiomics",
    title="NSCLC-Radiomics",
    modality="CT",
    ndim=3,
    images=422,
    patients=422,
    licence="CC BY-NC 3.0 (not verified)",
    cite="Aerts et al., Decoding tumour phenotype by noninvasive imaging, Nature Communications 2014",
)


@dataclass(frozen=True)
class Dataset(Collection):
    """Ids are the folders of the series, below root."""

    root: Path

    @property
    def pattern(self) -> str:
        """LUNG1-001."""
        return r"LUNG1-\d{3}"
