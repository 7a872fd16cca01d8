"""Reads a DICOM file of one 2-D image. CT becomes HU in int16; every other grey image what a viewer shows, 0..1.

Shown means: modality LUT, then the first VOI LUT or else the first window, then MONOCHROME1 inverted, padding black; as
uint8 for 8-bit samples and uint16 for deeper ones or for a deeper VOI LUT. Without a VOI, the range that BitsStored can
hold becomes 0..1; signed, float and more than 16-bit samples have no such range and keep the device's unit: "arbitrary",
float32.
Only the tags in `_TAGS` are read at all; the patient's identifier stays in memory and out of every message.
"""

import contextlib
import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom import FileDataset, dcmread, uid
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from vesalius.data.decoder import decode
from vesalius.data.grey import Grey, Lut, Window, look_up
from vesalius.data.pixels import (
    BROKEN,
    MAX_PIXELS,
    channels_first,
    decoding,
    full_scale,
    refuse_not_finite,
    refuse_size,
    silence,
)
from vesalius.data.scan import Array, Scan, Unit
from vesalius.errors import DataError

_COLOURS = ("Red", "Green", "Blue")
# in the body, on the detector, on film
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_TAGS = [
    *("Modality", "ImageType", "ViewPosition", "PatientID", "PatientSex", "PatientAge", *_SPACINGS),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *(f"{colour}PaletteColorLookupTable{part}" for colour in _COLOURS for part in ("Descriptor", "Data")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", *_PIXELS),
]
silence("pydicom")


def read_dicom(file: BinaryIO, path: Path) -> Scan:
    """(1 or 3, H, W), pixel spacing in mm if the file says; DataError if it holds no image or several, or is broken."""
    dataset, grey = _opened(file, path)
    with decoding(path, "DICOM", quote=False):
        hounsfield = _is_hounsfield(dataset)
        spacing, meta, patient = _spacing(dataset), _meta(dataset), str(dataset.get("PatientID") or "")
    with decoding(path, "DICOM pixels"):
        samples = _samples(dataset, path)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            samples = _palette(samples, dataset)
        elif samples.ndim == 3:
            samples = full_scale(samples, grey.bits)
        refuse_not_finite(path, samples)
        image, unit = _grey_image(samples, grey, hounsfield) if samples.ndim == 2 else (samples, "0..1")
        image = channels_first(image)
    refuse_not_finite(path, image)
    return Scan(image, unit, patient=patient, spacing=spacing, meta=meta)


def read_measured(file: BinaryIO, path: Path) -> Scan:
    """(1, H, W) as measured, without window: CT in int16 HU, all else in float32 of "arbitrary" unit. For slices.

    DataError as `read_dicom`, and for colour.
    """
    dataset, grey = _opened(file, path)
    with decoding(path, "DICOM pixels"):
        samples = _samples(dataset, path)
        if samples.ndim != 2 or dataset.PhotometricInterpretation == "PALETTE COLOR":
            raise DataError("is a colour image, not a slice of a volume", file=path, remedy="Leave it out.")
        if _is_hounsfield(dataset):
            image, unit = _grey_image(samples, grey, hounsfield=True)
        else:
            image, unit = grey.modality(samples).astype(np.float32), "arbitrary"
    refuse_not_finite(path, image)
    return Scan(image[None], unit, patient=str(dataset.get("PatientID") or ""), meta=_meta(dataset))


def _opened(file: BinaryIO, path: Path) -> tuple[FileDataset, Grey]:
    """What is needed of the header, the samples still encoded. DataError for a file without one image."""
    _refuse_deflate_bomb(file, path)
    with decoding(path, "DICOM", quote=False):
        dataset = dcmread(file, force=True, specific_tags=list(_TAGS))
        _refuse(dataset, path)
        return dataset, _grey(dataset)


def _refuse_deflate_bomb(file: BinaryIO, path: Path) -> None:
    """DataError for a deflated DICOM whose content is larger than any image we read."""
    with decoding(path, "DICOM", quote=False):
        preamble = file.read(132)
        file.seek(0)
        if preamble[128:] != b"DICM":
            return
        meta = read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
            return
        file.seek(144 + int(meta.FileMetaInformationGroupLength))
        inflate, rest, size = zlib.decompressobj(-zlib.MAX_WBITS), file.read(), 0
        file.seek(0)
        while rest and not inflate.eof and size <= 8 * MAX_PIXELS:
            size += len(inflate.decompress(rest, 2**20))
            rest = inflate.unconsumed_tail
    if size > 8 * MAX_PIXELS:
        raise DataError("inflates to more than any 2-D image holds", file=path, remedy=BROKEN)


def _refuse(dataset: FileDataset, path: Path) -> None:
    """DataError for a file without one image of a possible size. Where no transfer syntax is named, it is filled in."""
    if not any(keyword in dataset for keyword in _PIXELS):
        kind = _code(dataset, "Modality")
        raise DataError(f"holds no image{kind and f' (modality {kind})'}", file=path, remedy="Leave it out.")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        remedy = "Split it into single-frame files, for instance with emf2sf of dcm4che."
        raise DataError(f"holds {frames} frames, and a 2-D scan is one", file=path, remedy=remedy)
    refuse_size(path, int(dataset.Rows), int(dataset.Columns))
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        plain = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = plain if little else uid.ExplicitVRBigEndian


def _samples(dataset: FileDataset, path: Path) -> Array:
    """Stored values (H, W) or RGB (H, W, 3) in native byte order; bits outside BitsStored are removed."""
    samples = _decoded(dataset, path)
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    size = (dataset.Rows, dataset.Columns)
    if samples.shape[:2] != size or samples.ndim != (2 if dataset.SamplesPerPixel == 1 else 3):
        raise ValueError(f"the header says {size[0]} x {size[1]} pixels, the data are of shape {samples.shape}")
    if not _is_plain(dataset) or samples.dtype.kind == "f" or dataset.BitsAllocated == 1:
        return samples
    # what lies outside BitsStored may be an overlay (PS3.5 8.1.1): shift it out at the top, then at the bottom
    top, down = int(dataset.get("HighBit", dataset.BitsStored - 1)) + 1, int(dataset.BitsAllocated - dataset.BitsStored)
    up = int(dataset.BitsAllocated) - top
    if not 0 <= up <= down:
        raise ValueError("BitsAllocated, BitsStored and HighBit contradict each other")
    return (samples << up) >> down if down else samples


def _is_plain(dataset: FileDataset) -> bool:
    """Whether samples are stored as they are, each in BitsAllocated bits; run lengths leave them so."""
    syntax = dataset.file_meta.TransferSyntaxUID
    return not syntax.is_encapsulated or bool(syntax == uid.RLELossless)


def _decoded(dataset: FileDataset, path: Path) -> Array:
    """What pydicom makes of the pixel data. Pillow's decoders refuse broken bytes; GDCM may abort, so it runs apart."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if _is_plain(dataset):  # unused bits stay for `_samples`, which minds HighBit
        return pixel_array(dataset, correct_unused_bits=False)
    if syntax == uid.JPEGBaseline8Bit or syntax in uid.JPEG2000TransferSyntaxes:
        with contextlib.suppress(RuntimeError):  # pydicom's word for a plugin that failed
            return pixel_array(dataset, decoding_plugin="pillow")
    return decode(path)


def _palette(samples: Array, dataset: FileDataset) -> Array:
    """(H, W) entries -> (H, W, 3) uint8 or uint16, by the tables of PS3.3 C.7.6.3.1.5."""
    if any(f"Segmented{colour}PaletteColorLookupTableData" in dataset for colour in _COLOURS):
        coloured: Array = apply_color_lut(samples, dataset)
        return full_scale(coloured, 8 * coloured.dtype.itemsize)
    luts = [_lut(dataset, f"{colour}PaletteColorLookupTable", dataset) for colour in _COLOURS]
    return np.stack([full_scale(look_up(samples, lut), lut.bits) for lut in luts], axis=-1)


def _grey_image(samples: Array, grey: Grey, hounsfield: bool) -> tuple[Array, Unit]:
    """(H, W) stored values -> (H, W) image and its unit."""
    table = samples.dtype.kind in "iu" and samples.dtype.itemsize <= 2
    if hounsfield:
        short = np.iinfo(np.int16)

        def to_hu(stored: Array) -> Array:
            hu: Array = np.rint(grey.modality(stored))
            return hu.clip(short.min, short.max).astype(short.dtype)

        return look_up(samples, to_hu) if table else to_hu(samples), "HU"
    if grey.voi is None and not (table and grey.has_range):
        return grey.modality(samples).astype(np.float32), "arbitrary"
    deep = samples.dtype.itemsize > 1 or (isinstance(grey.voi, Lut) and grey.voi.bits > 8)
    full = np.iinfo(np.uint16 if deep else np.uint8)

    def to_shown(stored: Array) -> Array:
        scaled: Array = np.rint(grey.shown(stored) * full.max)
        return scaled.astype(full.dtype)

    return look_up(samples, to_shown) if table else to_shown(samples), "0..1"


def _grey(dataset: FileDataset) -> Grey:
    """The grey-scale attributes of the header."""
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    rescale: tuple[float, float] | Lut = (slope or 1.0, intercept or 0.0)
    if dataset.get("ModalityLUTSequence"):
        rescale = _lut(dataset.ModalityLUTSequence[0], "LUT", dataset)
    voi: Window | Lut | None = None
    centre, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if dataset.get("VOILUTSequence"):
        voi = _lut(dataset.VOILUTSequence[0], "LUT", dataset)
    elif centre is not None and width is not None and width >= 1:  # devices write width 0 for "not set"
        voi = Window(centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))
    padding, limit = _number(dataset, "PixelPaddingValue"), _number(dataset, "PixelPaddingRangeLimit")
    bits = int(dataset.get("BitsStored", 32))  # float pixel data have no such attribute
    if not 1 <= bits <= 64:
        raise ValueError("BitsStored is impossible")
    return Grey(
        bits=bits,
        signed=bool(dataset.get("PixelRepresentation", 0)),
        rescale=rescale,
        voi=voi,
        inverted=dataset.PhotometricInterpretation == "MONOCHROME1",
        padding=None if padding is None else (padding, padding if limit is None else limit),
    )


def _is_hounsfield(dataset: FileDataset) -> bool:
    """A rescaled CT slice; a localizer is a projection, a screen shot in a CT study is not rescaled."""
    localizer = "LOCALIZER" in [str(value).upper() for value in _values(dataset, "ImageType")]
    hu = str(dataset.get("RescaleType") or "HU").upper() in ("HU", "HU_MOD")
    return dataset.get("Modality") == "CT" and hu and not localizer and bool(_values(dataset, "RescaleIntercept"))


def _lut(item: Dataset, name: str, dataset: FileDataset) -> Lut:
    """The table of attributes `name`Descriptor and `name`Data; ValueError where it has fewer entries than it says."""
    entries, first, bits = (int(value) for value in item[f"{name}Descriptor"].value)
    entries, data = entries or 2**16, item[f"{name}Data"].value
    if isinstance(data, bytes):
        order = "<" if dataset.original_encoding[1] is not False else ">"
        data = np.frombuffer(data, "u1" if bits <= 8 and len(data) < 2 * entries else f"{order}u2")
    outputs = np.atleast_1d(np.asarray(data, np.uint16))
    if bits <= 8 and len(outputs) < entries:  # two entries packed in a word, the first in its low byte
        outputs = outputs.astype("<u2").view(np.uint8)
    if len(outputs) < entries or not 1 <= bits <= 16:
        raise ValueError("a look-up table with too few entries")
    if first >= 2**15 and (dataset.get("PixelRepresentation") or (_number(dataset, "RescaleIntercept") or 0) < 0):
        first -= 2**16  # written as unsigned, meant as signed
    return Lut(first, outputs[:entries], bits)


def _values(dataset: Dataset, keyword: str) -> list[object]:
    """The values of an attribute; none where it is absent or empty."""
    value = dataset.get(keyword)
    return list(value) if isinstance(value, MultiValue | list | tuple) else [] if value in (None, "") else [value]


def _number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an attribute, None where there is none; ValueError if it is not a finite number."""
    values = _values(dataset, keyword)
    if not values:
        return None
    if not math.isfinite(number := float(str(values[0]))):
        raise ValueError(f"{keyword} is not finite")
    return number


def _spacing(dataset: FileDataset) -> tuple[float, ...] | None:
    """mm from row to row and from column to column, by the first attribute that makes sense; None if none does."""
    for keyword in _SPACINGS:
        try:
            spacing = tuple(float(str(value)) for value in _values(dataset, keyword))
        except ValueError:
            continue
        if len(spacing) == 2 and all(math.isfinite(side) and side > 0 for side in spacing):
            return spacing
    return None


def _code(dataset: FileDataset, keyword: str) -> str:
    """A coded string of PS3.5 6.2 (CS), which cannot be free text; "" where it is anything else."""
    code = str(dataset.get(keyword) or "").strip()
    return code if re.fullmatch(r"[A-Z0-9_ ]{1,16}", code) else ""


def _meta(dataset: FileDataset) -> dict[str, str]:
    """View, sex, age by decade (90 and more together) and modality, each where the header has it in its proper form."""
    sex, age = _code(dataset, "PatientSex"), _code(dataset, "PatientAge")
    years = int(age[:3]) * age.endswith("Y") if re.fullmatch(r"\d{3}[DWMY]", age) else -1
    decade = years // 10 * 10
    meta = {
        "view": _code(dataset, "ViewPosition"),
        "sex": sex if sex in ("F", "M", "O") else "",
        "age_band": "" if years < 0 else "90+" if years >= 90 else f"{decade}-{decade + 9}",
        "modality": _code(dataset, "Modality"),
    }
    return {name: value for name, value in meta.items() if value}
