"""Pyramids of whole images, in windows and at once, and what `embed` writes of them."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes import voxels
from fakes.command import vesalius
from vesalius import features
from vesalius.data.cache import key_hash, salt_of
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import prepare, steps_for
from vesalius.errors import DataError
from vesalius.features import pyramids
from vesalius.features.pyramids import default, rounded, spans
from vesalius.models.voxels import at_voxels
from vesalius.views.intensity import to_unit

PHANTOM = "phantom:?bodies=2&ndim=3&voxel=12"


@pytest.mark.parametrize("shape", [(131, 97), (130, 10, 12)])
def test_windows_give_the_pyramid_of_the_whole_image_where_their_margin_is_as_wide_as_the_network_looks(shape):
    backbone, image = voxels.random("fpn1x2", len(shape)), torch.rand(1, *shape)
    whole, found = features.pyramid(backbone, image), features.pyramid(backbone, image, (96,) * len(shape))
    for one, two in zip(whole, found, strict=True):
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-4)
    narrow = features.pyramid(backbone, image, (8,) * len(shape))  # and where it is not, they do not
    assert narrow[1].shape == whole[1].shape
    assert not torch.allclose(narrow[1], whole[1], atol=1e-5)


@pytest.mark.parametrize(
    ("side", "window", "coarsest"), [(131, 32, 8), (64, 64, 4), (65, 64, 4), (200, 36, 4), (5, 8, 2)]
)
def test_windows_begin_at_whole_cells_and_their_middles_join(side, window, coarsest):
    found = spans(side, window, coarsest)
    covered = [voxel for span in found for voxel in range(span.first, span.last)]
    assert covered == list(range(side))
    for span in found:
        assert span.start % coarsest == span.first % coarsest == 0
        assert span.start <= span.first < span.last <= span.stop <= min(side, span.start + window)


def test_the_longest_side_is_halved_until_the_window_fits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pyramids, "MOST", 1000)
    assert default((100, 9, 8), 2) == (8, 10, 8)
    assert min(rounded((1, 33), 8)) == 32
    monkeypatch.setattr(pyramids, "MOST", 10**9)
    assert default((101, 9), 4) == (104, 12)


def test_the_vector_of_a_voxel_is_all_levels_at_its_cells_joined():
    backbone, image = voxels.random("fpn2x3", 3), torch.rand(1, 9, 7, 11)
    pyramid = features.pyramid(backbone, image)
    points = list(product((0, 4, 8), (0, 3, 6), (0, 5, 10)))
    found = features.at_points(backbone, image, np.array(points) + 0.3)  # the nearest voxel's
    for point, vector in zip(points, found, strict=True):
        slow = [level[(slice(None), *(p // 2**i for p in point))] for i, level in enumerate(pyramid)]
        torch.testing.assert_close(vector, torch.cat(slow))
    one = features.at_points(backbone, image, points, level=-1)
    torch.testing.assert_close(one, at_voxels([pyramid[2][None]], [4], torch.tensor(points)[None])[0])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return voxels.write(tmp_path_factory.mktemp("voxels") / "it.safetensors", "fpn2x3")


def embed(encoder: Path, out: Path, *more: object) -> dict[str, np.ndarray]:
    done = vesalius("embed", encoder, PHANTOM, "--out", out, *more)
    assert done.status == 0, done
    with np.load(out, allow_pickle=False) as file:
        return dict(file)


@pytest.mark.usefixtures("own_cache")
def test_a_volumes_whole_pyramid_and_where_its_cells_lie(encoder: Path, tmp_path: Path, own_cache: Path):
    found = embed(encoder, tmp_path / "a.npz", "--kind", "dense", "--level", "all")
    half = embed(encoder, tmp_path / "b.npz", "--kind", "dense", "--level", "all", "--half")
    dataset = open_dataset(PHANTOM)
    prepared = prepare(dataset.read(dataset.ids[0]), steps_for(3)).scan
    pyramid = features.pyramid(voxels.random("fpn2x3"), to_unit(torch.from_numpy(prepared.image), prepared.unit))
    id = key_hash(salt_of(own_cache), dataset.ids[0])
    for k, level in enumerate(pyramid):
        np.testing.assert_allclose(found[f"{id}.{k}"], level, rtol=1e-4, atol=1e-5)
        assert half[f"{id}.{k}"].dtype == np.float16
        np.testing.assert_allclose(half[f"{id}.{k}"], level, rtol=2e-3, atol=1e-3)
    assert found["id"].shape == (2,)
    np.testing.assert_allclose(found["affine"][0], prepared.affine)
    np.testing.assert_allclose(found["spacing"][0], 12)
    assert (found["stride"].tolist(), found["origin"].tolist()) == ([1, 2, 4], [0, 0.5, 1.5])


@pytest.mark.usefixtures("own_cache")
def test_points_have_the_vector_of_all_levels_and_their_place_in_the_scanner(encoder: Path, tmp_path: Path):
    joined = embed(encoder, tmp_path / "a.npz", "--kind", "points", "--level", "all")
    finest = embed(encoder, tmp_path / "b.npz", "--kind", "points", "--level", "0", "--window", 16, 16, 16)
    assert (joined["features"].shape[1], finest["features"].shape[1]) == (14, 2)
    dataset = open_dataset(PHANTOM)
    affine = dataset.read(dataset.ids[0]).affine
    own = [joined["name"].tolist().index(name) for name in dataset.landmarks(dataset.ids[0])]
    truth = np.stack(list(dataset.landmarks(dataset.ids[0]).values())) @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(joined["mm"][own], truth, atol=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--out a.npz --kind dense --window 8 8", "window is (8, 8). Give 3 sides"),
        ("--out a.parquet --kind dense --half", "float16 is written as .npz alone"),
        ("--out a.npz --kind dense --level 3", "there is no level 3. The pyramid has 3."),
    ],
)
@pytest.mark.usefixtures("own_cache")
def test_what_cannot_be(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str):
    monkeypatch.chdir(tmp_path)
    assert message in vesalius("embed", encoder, PHANTOM, *words.split()).error


def test_features_beyond_float16_are_refused():
    backbone = voxels.random("fpn1x1", 2)
    torch.nn.init.constant_(backbone.stem.bias, 1e6)
    with pytest.raises(DataError, match=r"beyond what torch\.float16 holds"):
        features.pyramid(backbone, torch.rand(1, 8, 8), dtype=torch.float16)
