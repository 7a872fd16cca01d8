"""Names of files made of images, maps as pictures and as volumes, and the list of what could not be used."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from vesalius.data.outputs import SetAside, output_names, write_output
from vesalius.data.scan import Scan
from vesalius.errors import SettingError


def test_names():
    assert output_names(["p/a.png", "p/b.jpg"], ["left lung"]) == {
        "p/a.png": ["p/a-left_lung"], "p/b.jpg": ["p/b-left_lung"],
    }  # fmt: skip
    assert output_names(["a.png", "a.jpg"], ["x"]) == {"a.png": ["a.png-x"], "a.jpg": ["a.jpg-x"]}
    assert output_names(["/q/../a.png"], ["../x"]) == {"/q/../a.png": ["q/a-.._x"]}
    with pytest.raises(SettingError, match="a-b-c"):
        output_names(["a.png", "a-b.png"], ["b-c", "c"])
    with pytest.raises(SettingError, match="a-x-probability"):
        output_names(["a.png"], ["x", "x-probability"], ("", "-probability"))


def test_maps_go_from_0_to_1(tmp_path: Path):
    values = np.float32([[0, 0.5], [1, 2]])
    write_output(tmp_path / "map.png", values, Scan(np.zeros((1, 2, 2), np.uint8), "0..1"))
    with Image.open(tmp_path / "map.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), [[0, 32768], [65535, 65535]])
    write_output(tmp_path / "mask.png", values > 0.5, Scan(np.zeros((1, 2, 2), np.uint8), "0..1"))
    with Image.open(tmp_path / "mask.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), [[0, 0], [255, 255]])


def test_volumes_lie_where_their_scan_lay(tmp_path: Path):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    write_output(
        tmp_path / "mask.nii.gz", np.ones((2, 3, 4), bool), Scan(np.zeros((1, 2, 3, 4), np.int16), "HU", affine=affine)
    )
    volume = nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(volume.affine, affine)
    assert (volume.get_data_dtype(), volume.shape) == (np.uint8, (2, 3, 4))


def test_what_is_set_aside_is_said_and_listed(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    aside = SetAside()
    aside.add(tmp_path / "a.png", "is empty")
    aside.write(tmp_path)
    assert "a.png: is empty" in capfd.readouterr().err
    assert json.loads((tmp_path / "set_aside.json").read_text()) == [
        {"file": str(tmp_path / "a.png"), "reason": "is empty"}
    ]
