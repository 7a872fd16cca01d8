"""What methods make of held-out images is kept in the run's folder, and the report shows it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vesalius
from vesalius.errors import DataError
from vesalius.report.command import write
from vesalius.train.pictures import flat

FLAT = {"size": 32, "small_size": 8, "small": 1, "groups": 1}
DEEP = {"patch": (16, 16, 16), "small_patch": (8, 8, 8), "small": 1, "groups": 1, "swaps": 2}
DEEP |= {"sizes": ((16, 16, 16),), "small_sizes": ((8, 8, 8),), "margin": (0, 0, 0)}
SCALES = ["scale 0", "scale 1"]  # of unet4x3


def pretrained(tmp_path: Path, kind: str, ndim: int, **method: Any) -> Path:
    data = "phantom:?bodies=8&size=64" if ndim == 2 else "phantom:?ndim=3&voxel=12&bodies=8"
    own = {"ndim": 3, "in_channels": 1, "spacing": (), "upsample": False} if ndim == 3 else {"size": 64}
    settings = {"batch": 4, "epochs": 1, "threads": 1, "workers": 0, "holdout": 0.5, "backbone": "unet4x3", **own}
    out = tmp_path / "run"
    vesalius.pretrain(kind, data, out=out, cache=str(tmp_path / "cache"), **settings, method=method)
    return out


@pytest.mark.parametrize(
    ("kind", "ndim", "method", "names"),
    [
        ("pcrlv2", 2, FLAT, ["image", "distorted", *SCALES, "restored"]),
        ("pcrlv2", 3, DEEP, ["image", "distorted", *SCALES, "restored"]),
        ("pcrl", 2, {"size": 32, "bank": 8, "groups": 1}, ["image", "distorted", "turned", "restored"]),
    ],
)
def test_a_run_ends_with_pictures_and_the_report_shows_them(
    kind: str, ndim: int, method: dict[str, Any], names: list[str], tmp_path: Path
) -> None:
    run = pretrained(tmp_path, kind, ndim, **method)
    with np.load(run / "pictures.npz", allow_pickle=False) as found:
        kept, images = found["names"].tolist(), found["images"]
    assert kept == names
    side = 32 if ndim == 2 else 16
    assert images.shape == (4, len(names), side, side)
    assert images.dtype == np.uint8
    assert images[:, 0].std() > 10  # of an image, and not of air
    text = write([run], tmp_path / "report.html").read_text()
    assert "Restored images" in text
    assert text.count("data:image/jpeg") == 4 * len(names)


def test_without_restoration_there_is_none(tmp_path: Path) -> None:
    run = pretrained(tmp_path, "pcrlv2", 2, **FLAT, restore=False)
    assert not (run / "pictures.npz").exists()
    assert "Restored images" not in write([run], tmp_path / "report.html").read_text()


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    run = pretrained(tmp_path, "pcrlv2", 2, **FLAT)
    np.savez(run / "pictures.npz", names=np.array(["image"]), images=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"pictures.npz"):
        write([run], tmp_path / "report.html")


def test_of_a_volume_the_middle_slice_is_shown_front_up() -> None:
    x = torch.zeros(1, 1, 4, 6, 3)
    x[0, 0, 0, 5, 1] = 1  # the first along x, the last along y: y grows to the front
    picture = flat(x)
    assert picture.shape == (1, 6, 4)
    assert np.argwhere(picture[0] == 255).tolist() == [[0, 0]]
