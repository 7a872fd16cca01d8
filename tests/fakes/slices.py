"""A DICOM series of CT slices as a scanner exports it: one file a slice, in no order of name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

AXIAL = (1.0, 0, 0, 0, 1, 0)


def write_slices(
    folder: Path,
    hu: np.ndarray,
    along: Sequence[float] | None = None,
    axes: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-10, -20, 30),
    spacing: tuple[float, float] = (0.7, 0.8),
    shift: Sequence[float] = (0, 0, 0),
    series: str = "1.2.3",
    modality: str = "CT",
    prefix: str = "",
) -> list[Path]:
    """(x, y, z) HU -> a file a slice. along: mm of each along the normal; shift: mm from each slice to the next on top.

    spacing: mm from column to column, then from row to row. Slope 1, intercept -1024.
    """
    folder.mkdir(exist_ok=True, parents=True)
    along = [2.5 * k for k in range(hu.shape[2])] if along is None else along
    normal, paths = np.cross(axes[:3], axes[3:]), []
    for k, mm in enumerate(along):
        one = Dataset()
        one.SOPClassUID, one.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
        one.Modality, one.SeriesInstanceUID, one.PatientID = modality, series, "SECRET"
        one.ImagePositionPatient = [f"{v:.8g}" for v in np.add(origin, normal * mm + np.multiply(shift, k))]
        one.ImageOrientationPatient, one.PixelSpacing = [f"{v:.8g}" for v in axes], [spacing[1], spacing[0]]
        one.Columns, one.Rows = hu.shape[:2]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
        if modality == "CT":
            one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
        one.PixelData = (hu[:, :, k].T + 1024).astype("<u2").tobytes()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        paths.append(folder / f"{prefix}{7 * k % 11:02d}_{k:02d}.dcm")
        one.save_as(paths[-1], enforce_file_format=True)
    return paths
