"""LUNA16 as it is unpacked: subsets of MetaImage headers and raw voxels, nodules and candidates in mm of ITK's world."""

from pathlib import Path

import numpy as np

from fakes.volumes import ct

IMAGES, PATIENTS, LABELLED = 4, 4, 0
UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001."
SUBSETS = {f"{UID}10": 0, f"{UID}11": 0, f"{UID}30": 3, f"{UID}90": 9}
SHAPE, SPACING, ORIGIN = (30, 28, 20), np.array((0.7, 0.7, 2.5)), np.array((-100.0, -80.0, -200.0))
TURNED = f"{UID}30"  # lies on its front: x and y run the other way
NODULES = {  # voxel and diameter, mm
    f"{UID}10": (((10, 12, 8), 6.0), ((20, 9, 14), 4.5)),
    f"{UID}30": (((15, 15, 10), 8.0),),
    f"{UID}90": (((5, 22, 3), 5.0), ((6, 6, 6), 5.0)),
}
MARKED = {f"{UID}10": ((10, 12, 8), (11, 12, 8), (20, 9, 14)), f"{UID}30": ((15, 15, 10),), f"{UID}90": ((5, 22, 3),)}
DARK = 6  # candidates of class 0 in each scan
VALUE = 777  # HU, in the voxel of each nodule


def world(series: str, voxel: tuple[float, ...]) -> np.ndarray:
    """(3,) mm of a voxel, LPS, as MetaImage has it."""
    way = np.array((-1, -1, 1)) if series == TURNED else np.ones(3)
    return ORIGIN + way * SPACING * voxel


def write(root: Path) -> Path:
    """Four scans of subsets 0, 3 and 9; five nodules, one of them without a candidate; a scan without any."""
    rng = np.random.default_rng(0)
    nodules, candidates = ["seriesuid,coordX,coordY,coordZ,diameter_mm"], ["seriesuid,coordX,coordY,coordZ,class"]
    for number, (series, subset) in enumerate(SUBSETS.items()):
        image = ct(number, SHAPE)
        for voxel, diameter in NODULES.get(series, ()):
            image[voxel] = VALUE
            nodules.append(line(series, voxel, diameter))
        candidates += [line(series, voxel, 1) for voxel in MARKED.get(series, ())]
        candidates += [line(series, tuple(rng.integers(0, SHAPE)), 0) for _ in range(DARK)]
        write_mhd(root / f"subset{subset}" / f"{series}.mhd", image, turned=series == TURNED)
    (root / "annotations.csv").write_text("\n".join((*nodules, line(f"{UID}99", (1, 1, 1), 3.0))) + "\n")
    (root / "candidates_V2.csv").write_text("\n".join((*candidates, line(f"{UID}99", (1, 1, 1), 1))) + "\n")
    lungs = root / "seg-lungs-LUNA16"  # of the whole download; no scan
    write_mhd(lungs / f"{UID}10.mhd", np.zeros(SHAPE, np.int16), turned=False)
    return root


def line(series: str, voxel: tuple[float, ...], last: float) -> str:
    """A row of either table, with many digits as in the originals."""
    return ",".join((series, *(f"{mm:.8f}" for mm in world(series, voxel)), f"{last:g}"))


def write_mhd(path: Path, image: np.ndarray, turned: bool) -> None:
    """Header and raw int16 voxels, x fastest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    way = "-1 0 0 0 -1 0 0 0 1" if turned else "1 0 0 0 1 0 0 0 1"
    head = {
        "ObjectType": "Image", "NDims": 3, "BinaryData": True, "BinaryDataByteOrderMSB": False, "CompressedData": False,
        "TransformMatrix": way, "Offset": " ".join(map(str, ORIGIN)), "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI", "ElementSpacing": " ".join(map(str, SPACING)),
        "DimSize": " ".join(map(str, image.shape)), "ElementType": "MET_SHORT", "ElementDataFile": f"{path.stem}.raw",
    }  # fmt: skip
    path.write_text("".join(f"{key} = {value}\n" for key, value in head.items()))
    path.with_suffix(".raw").write_bytes(image.astype("<i2").tobytes(order="F"))
