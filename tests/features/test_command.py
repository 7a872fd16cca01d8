"""`vesalius embed`: features of a data set in a file, and what is said when they cannot be."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fakes.command import vesalius
from vesalius import features, zoo
from vesalius.data.cache import key_hash, salt_of
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import prepare, steps_for

pytestmark = pytest.mark.usefixtures("own_cache")
PHANTOM = "phantom:?bodies=2&size=64"


def embed(run: Path, data: object, out: Path, *more: object) -> dict[str, np.ndarray]:
    done = vesalius("embed", run, data, "--out", out, *more)
    assert (done.status, done.out.strip()) == (0, str(out)), done
    with np.load(out, allow_pickle=False) as file:
        return dict(file)


def first(run: Path) -> tuple[zoo.Loaded, torch.Tensor]:
    """The encoder, and the first phantom as it was trained to see images: (1, 1, H, W)."""
    loaded, dataset = zoo.load(run), open_dataset(PHANTOM)
    scan = prepare(dataset.read(dataset.ids[0]), steps_for(2, 64)).scan
    return loaded, torch.from_numpy(scan.image)[None].float() / 255


def test_one_vector_an_image(tiny_run: Path, tmp_path: Path, own_cache: Path) -> None:
    found = embed(tiny_run, PHANTOM, tmp_path / "a.npz")
    loaded, image = first(tiny_run)
    assert found["features"].shape == (2, 512)
    np.testing.assert_allclose(found["features"][0], features.pooled(loaded.backbone, image)[0], rtol=1e-3, atol=1e-4)
    ids = open_dataset(PHANTOM).ids
    assert found["id"].tolist() == [key_hash(salt_of(own_cache), id) for id in ids]


def test_a_map_an_image(tiny_run: Path, tmp_path: Path) -> None:
    found = embed(tiny_run, PHANTOM, tmp_path / "a.npz", "--kind", "dense", "--level", 2)
    loaded, image = first(tiny_run)
    pyramid = features.dense(loaded.backbone, image)
    np.testing.assert_allclose(found[str(found["id"][0])], pyramid[2][0], rtol=1e-3, atol=1e-4)


def test_vectors_at_the_landmarks_of_the_data_or_at_points_of_a_file(tiny_run: Path, tmp_path: Path) -> None:
    own = embed(tiny_run, PHANTOM, tmp_path / "own.npz", "--kind", "points")
    dataset = open_dataset(PHANTOM)
    landmarks = {id: dataset.labels(id).landmarks for id in dataset.ids}
    assert len(own["name"]) == sum(map(len, landmarks.values())) > 4
    rows = [f"{id},{name},{x},{y}" for id, named in landmarks.items() for name, (y, x) in named.items()]
    (tmp_path / "points.csv").write_text("\n".join(["image,name,x,y", *rows]))
    given = embed(tiny_run, PHANTOM, tmp_path / "given.npz", "--kind", "points", "--points", tmp_path / "points.csv")
    assert own.keys() == given.keys()
    for name in own:  # NaN: radiographs do not say where they lay
        np.testing.assert_array_equal(own[name], given[name])
    loaded, image = first(tiny_run)
    name, at = next(iter(landmarks[dataset.ids[0]].items()))
    vector = features.at_points(loaded.backbone, image[0], at[None], level=-1)[0]
    np.testing.assert_allclose(own["features"][own["name"] == name][0], vector, rtol=1e-4, atol=1e-5)


def test_points_follow_the_image_when_it_is_made_smaller(tiny_run: Path, tmp_path: Path) -> None:
    body = open_dataset("phantom:?bodies=1&size=128").ids[0]
    (tmp_path / "points.csv").write_text(f"image,name,x,y\n{body},centre,63.5,63.5\n{body},corner,0,127\n")
    words = ("--kind", "points", "--points", tmp_path / "points.csv")
    found = embed(tiny_run, "phantom:?bodies=1&size=128", tmp_path / "a.npz", *words)  # the run saw images of 64
    np.testing.assert_allclose(found["point"], [[31.5, 31.5], [63.25, -0.25]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,name,x\nbody0000-0,a,1\n", "has no column 'y'. Its first line must be image,name,x,y"),
        ("image,name,x,y\nbody0000-0,a,1,two\n", "points cannot be read (could not convert string to float: 'two')"),
        ("image,name,x,y\nbody0000-0,a,nan,1\n", "not 2 finite numbers"),
        ("image,name,x,y,z\nbody0000-0,a,1,1,1\n", "not 2 finite numbers"),
        ("image,name,x,y\nbody0000-0,a,1,1\nbody0000-0,a,2,2\n", "body0000-0 has a twice"),
        (
            "image,name,x,y\nbody0000,a,1,1\n",
            "no image of the data has points in it. Column image must hold ids, such as",
        ),
        ("image,name,x,y\nbody0000-0,a,1,64\n", "point a at [64.0, 1.0] (in the order of the array's axes) is not in"),
    ],
)
def test_points_that_cannot_be_meant(tiny_run: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text)
    words = ("--kind", "points", "--points", path, "--out", tmp_path / "a.npz")
    assert message in vesalius("embed", tiny_run, PHANTOM, *words).error
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--out a.txt", "a.txt: is neither .npz nor .parquet"),
        ("--out /proc/none/a.npz", "/proc/none: nothing can be written there"),
        ("--out a.npz --level 5", "there is no level 5. The pyramid has 5."),
        ("--out a.npz --batch 0", "batch must be at least 1"),
        ("--out a.npz --size -1", "size at least 0"),
        ("--out a.npz --points p.csv", "points are given, and kind is global. Add --kind points."),
        ("--out a.npz --kind points --points none.csv", "none.csv: points cannot be read"),
    ],
)
def test_what_cannot_be_is_said_before_images_are_prepared(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = vesalius("embed", tiny_run, PHANTOM, *words.split())
    assert message in done.error
    assert "preparing" not in done.err


def test_a_data_set_without_landmarks(tiny_run: Path, radiographs: Path, tmp_path: Path) -> None:
    done = vesalius("embed", tiny_run, radiographs, "--kind", "points", "--out", tmp_path / "a.npz")
    assert "the data set has no landmarks of its own. Give --points FILE.csv." in done.error


def test_a_bad_file_is_set_aside_and_named(tiny_run: Path, radiographs: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(
            (radiographs / "p000" / "a0.png").read_bytes()[: None if name == "a.png" else 100]
        )
    done = vesalius("embed", tiny_run, tmp_path, "--out", tmp_path / "features.npz")
    assert done.status == 0
    assert f"set aside: {tmp_path / 'b.png'}: " in done.err
    assert len(np.load(tmp_path / "features.npz")["features"]) == 1
