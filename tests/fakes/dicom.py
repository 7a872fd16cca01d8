"""DICOM files of one image: those shipped inside pydicom and pydicom-data, and new ones with any header."""

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian


def shipped(name):
    """A file that lies inside pydicom or pydicom-data; nothing is downloaded."""
    path = get_testdata_file(name, download=False)
    assert path is not None, f"{name}: not in this pydicom and pydicom-data"
    return path


def write(path, pixels, *, syntax=ExplicitVRLittleEndian, **header):
    """A DICOM file of `pixels`, (H, W) or (H, W, 3)."""
    dataset = FileDataset(
        path, {}, preamble=bytes(128), is_implicit_VR=False, is_little_endian=syntax != ExplicitVRBigEndian
    )
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    bits, colour = 8 * pixels.dtype.itemsize, pixels.ndim == 3
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape[:2], 3 if colour else 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PhotometricInterpretation, dataset.Modality = "RGB" if colour else "MONOCHROME2", "DX"
    if colour:
        dataset.PlanarConfiguration = 0
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = data + bytes(len(data) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def ramp(dtype=np.uint16, bits=None):
    """(16, 16) values from the lowest to the highest that `bits` bits hold."""
    bits = bits or 8 * np.dtype(dtype).itemsize
    low = -(2 ** (bits - 1)) if np.dtype(dtype).kind == "i" else 0
    return np.linspace(low, low + 2**bits - 1, 256).round().astype(dtype).reshape(16, 16)


def lut(first, outputs, bits):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(outputs), first, bits])
    item.add_new("LUTData", "US", list(outputs))
    return [item]
