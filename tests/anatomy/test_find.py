"""A place pointed at in one image is found in others, in the voxels of the files, in mm, and on the heat map."""

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from fakes.command import vesalius
from vesalius import checkpoint, zoo
from vesalius.checkpoint import Card
from vesalius.data.prepare import steps_for, steps_to_json

AFFINE = np.diag([-2.0, 2.0, 3.0, 1.0])  # x runs to the right: turned when prepared
SHIFT = (4, -2, 2)


def encoder(path: Path, name: str, ndim: int) -> Path:
    torch.manual_seed(0)
    network = zoo.build(name, ndim, 1)
    card = Card(
        zoo.description(name, network),
        prepare=steps_to_json(steps_for(ndim)),
        method="moco",
        config={"method": {"size": 32}},
    )
    checkpoint.write(path, network.state_dict(), card)
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    """Tissue in air, the same moved by SHIFT, and a file that is none."""
    folder, rng = tmp_path / "bodies", np.random.default_rng(0)
    folder.mkdir()
    volume = np.full((28, 28, 24), -1000, np.int16)
    volume[8:20, 8:20, 6:18] = rng.integers(-300, 900, (12, 12, 12))
    for name, image in (("a", volume), ("b", np.roll(volume, SHIFT, (0, 1, 2)))):
        nibabel.save(nibabel.Nifti1Image(image, AFFINE), folder / f"{name}.nii.gz")
    (folder / "c.nii.gz").write_bytes(b"nothing")
    (tmp_path / "points.csv").write_text("image,name,x,y,z\na.nii.gz,tip,13,12,11\na.nii.gz,heel,16,15,10\n")
    return folder


def test_a_place_of_a_moved_body_is_found_where_it_was_moved_to(tmp_path: Path, bodies: Path, own_cache: Path):
    run, out = encoder(tmp_path / "fpn.safetensors", "fpn4x2", 3), tmp_path / "out"
    said = vesalius("find", run, bodies, "--points", tmp_path / "points.csv", "--out", out, "--heat")
    assert (said.status, said.out.strip()) == (0, str(out / "places.csv"))
    assert "c.nii.gz" in (out / "set_aside.json").read_text()
    for line, point in zip(table(out / "places.csv"), ((13, 12, 11), (16, 15, 10)), strict=True):
        expected = np.add(point, SHIFT)
        assert line["image"] == "b.nii.gz"
        np.testing.assert_allclose([float(line[axis]) for axis in "xyz"], expected, atol=0.5)
        mm = [float(line[f"{axis}_mm"]) for axis in "xyz"]
        np.testing.assert_allclose(
            mm, [float(line[axis]) * step for axis, step in zip("xyz", (-2, 2, 3), strict=True)], atol=0.05
        )
        heat = nibabel.load(out / "heat" / f"b-{line['name']}.nii.gz")
        np.testing.assert_allclose(heat.affine, AFFINE)
        assert np.unravel_index(np.asarray(heat.dataobj).argmax(), heat.shape) == tuple(expected)


def test_an_encoder_of_patches_finds_places_of_images(tmp_path: Path, own_cache: Path):
    folder = tmp_path / "images"
    folder.mkdir()
    rows, columns = np.mgrid[:64, :48]
    pixels = (30 + 2 * rows + 90 * (np.hypot(rows - 29, columns - 17) < 5)).astype(np.uint8)
    for name, image in (("a", pixels), ("b", np.roll(pixels, 12, 1))):
        Image.fromarray(image).save(folder / f"{name}.png")
    (tmp_path / "points.csv").write_text("image,name,x,y\na.png,spot,17,29\n")
    words = ["find", encoder(tmp_path / "r.safetensors", "resnet18", 2), folder, "--points", tmp_path / "points.csv"]
    assert vesalius(*words, "--out", tmp_path / "out", "--heat").status == 0
    (line,) = table(tmp_path / "out" / "places.csv")
    assert (line["image"], line["z"], line["x_mm"]) == ("b.png", "", "")
    assert abs(float(line["x"]) - 29) < 4  # cells of three pixels
    assert abs(float(line["y"]) - 29) < 4
    with Image.open(tmp_path / "out" / "heat" / "b-spot.png") as heat:
        assert heat.size == (48, 64)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,name,x,y,z\nz.nii.gz,tip,1,1,1\n", "no image of the data has points in it"),
        ("image,name,x,y,z\na.nii.gz,tip,1,1,60\n", "is not in the image"),
        ("image,name,x,y,z\na.nii.gz,t,9,9,9\nb.nii.gz,t,9,9,9\n", "there is nothing to search"),
    ],
)
def test_points_that_cannot_be_meant_are_said(tmp_path: Path, bodies: Path, own_cache: Path, text: str, said: str):
    (tmp_path / "points.csv").write_text(text)
    run = encoder(tmp_path / "fpn.safetensors", "fpn4x2", 3)
    words = ["find", run, bodies, "--points", tmp_path / "points.csv", "--out", tmp_path / "o"]
    assert said in vesalius(*words).error
