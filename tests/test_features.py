import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional

from vesalius import features
from vesalius.chance import generator
from vesalius.data.cache import key_hash
from vesalius.errors import DataError, SettingError
from vesalius.space.box import Box

KEY = b"secret"


class Means(nn.Module):
    """A backbone whose features are the image's means over cells: of an image of coordinates, the cells' centres."""

    def __init__(self, ndim=2, channels=2):
        super().__init__()
        self.ndim, self.in_channels, self.strides, self.channels = ndim, channels, (2, 4), (channels, channels)

    def forward(self, x):
        pool = {2: functional.avg_pool2d, 3: functional.avg_pool3d}[self.ndim]
        return [pool(x, stride) for stride in self.strides]


@dataclass
class FakeScan:
    id: str
    image: np.ndarray
    patient: str = "c0ffee"
    unit: str = "0..1"
    boxes: list = field(default_factory=list)
    spacing: tuple | None = None
    affine: np.ndarray | None = None

    @property
    def shape(self):
        return self.image.shape[1:]

    def read(self, box=None):
        self.boxes.append(box)
        return self.image if box is None else self.image[(slice(None), *box.slices)]


class Small(nn.Module):
    """A network with everything that evaluation could change: weights, batch norm, dropout."""

    ndim, in_channels, channels, strides = 2, 1, (4, 8), (2, 4)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fine = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Dropout(0.5))

    def forward(self, x):
        fine = self.fine(x)
        return [fine, self.coarse(fine)]


def coordinates(shape):
    return torch.from_numpy(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))).float()


def hashed(id):
    return key_hash(KEY, id)


def scans(n=3, shape=(16, 12)):
    rng = generator(5)
    return [FakeScan(f"raw-{i}", rng.integers(0, 256, (2, *shape), np.uint8), f"p{i}") for i in range(n)]


@pytest.mark.parametrize("shape", [(16, 24), (8, 16, 12)])
def test_a_point_of_an_image_of_coordinates_has_its_own_coordinates(shape):
    ndim = len(shape)
    points = generator(1).uniform(2, np.array(shape) - 3, (20, ndim))
    found = features.at_points(Means(ndim, ndim), coordinates(shape), points)
    np.testing.assert_allclose(found, np.tile(points, 2), atol=1e-5)


class Picks(Means):
    """Cell i is voxel s * i, as a padded strided convolution is centred; it says so."""

    origins = (0.0, 0.0)

    def forward(self, x):
        return [x[..., ::stride, ::stride] for stride in self.strides]


def test_a_backbone_may_say_where_its_cells_lie():
    points = generator(1).uniform(0, 12, (20, 2))
    found = features.at_points(Picks(), coordinates((16, 24)), points)
    np.testing.assert_allclose(found, np.tile(points, 2), atol=1e-5)


def test_beyond_the_outermost_centres_the_nearest_counts():
    found = features.at_points(Means(), coordinates((16, 24)), [[0, 0], [15, 23]], level=1)
    assert found.tolist() == [[1.5, 1.5], [13.5, 21.5]]


def test_sampling_is_scipys_linear_interpolation():
    level, points = (
        torch.from_numpy(generator(2).random((1, 3, 5, 7, 6), np.float32)),
        generator(3).uniform(0, 20, (30, 3)),
    )
    cells = (points + 0.5) / 4 - 0.5
    slow = [ndimage.map_coordinates(channel, cells.T, order=1, mode="nearest") for channel in level[0].numpy()]
    np.testing.assert_allclose(features.sample([level], [4], points), np.stack(slow, 1), atol=1e-5)


@pytest.mark.parametrize("points", [[[1.0, np.nan]], [[1.0, 2.0, 3.0]], [1.0, 2.0]])
def test_points_that_are_none_are_refused(points):
    with pytest.raises(DataError, match="coordinates"):
        features.at_points(Means(), coordinates((16, 16)), points)


def test_nothing_in_the_model_changes():
    model, images = Small().train(), torch.rand(3, 1, 16, 20)
    model.fine.eval()
    state, modes = {k: v.clone() for k, v in model.state_dict().items()}, [m.training for m in model.modules()]
    features.pooled(model, images)
    features.dense(model, images)
    features.at_points(model, images[0], [[3, 3]])
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes


def test_modes_are_put_back_after_an_error():
    model = Means().train()
    with pytest.raises(RuntimeError), features.evaluating(model):
        raise RuntimeError
    assert model.training


def test_pooled_is_the_mean_of_the_coarsest_level_whatever_the_batch():
    model, images = Small().eval(), torch.rand(3, 1, 16, 20)
    with torch.no_grad():
        expected = model(images)[-1].mean((2, 3))
    torch.testing.assert_close(features.pooled(model.train(), images), expected)
    torch.testing.assert_close(features.pooled(model, images, batch=1), expected)


def test_a_probe_can_be_trained_on_features():
    vectors = features.pooled(Means(), torch.rand(3, 2, 8, 8))
    probe = nn.Linear(2, 1)
    probe(vectors).sum().backward()
    torch.testing.assert_close(probe.weight.grad[0], vectors.sum(0))


@pytest.mark.parametrize("shape", [(40, 50), (20, 24, 30)])
def test_a_patch_at_its_own_size_is_the_padded_crop(shape):
    image, side = torch.rand(1, *shape), round(0.3 * min(shape))
    points = [[0] * len(shape), [n - 1 for n in shape], [n // 2 for n in shape]]
    found = features.patches(image, points, side=0.3, size=side)
    padded = np.pad(image, [(0, 0), *[(side, side)] * len(shape)])
    for patch, point in zip(found, points, strict=True):
        box = tuple(slice(p + side - (side - 1) // 2, p + 2 * side - (side - 1) // 2) for p in point)
        np.testing.assert_array_equal(patch, padded[(slice(None), *box)])


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_the_middle_of_a_patch_is_its_point_within_half_a_voxel(side):
    for point in generator(4).uniform(0, 30, (50, 2)):
        box = features.patch_box(point, side)
        assert box.shape == (side, side)
        assert np.abs((np.add(box.start, box.stop) - 1) / 2 - point).max() <= 0.5


def test_a_patch_twice_as_large_shows_the_same_place():
    found = features.patches(coordinates((64, 64)), [[30.5, 20.5]], side=0.25, size=32)[0]
    np.testing.assert_allclose(found.mean((1, 2)), [30.5, 20.5], atol=1e-4)


def test_of_a_cached_scan_only_the_patches_are_read():
    scan = scans(1, (64, 48))[0]
    image = torch.from_numpy(scan.image).float() / 255
    found = features.patches(scan, [[0, 0], [30, 20]], side=0.25, size=24)
    torch.testing.assert_close(found, features.patches(image, [[0, 0], [30, 20]], side=0.25, size=24))
    assert scan.boxes == [Box((0, 0), (7, 7)), Box((25, 15), (37, 27))]


def test_a_point_outside_of_the_image_is_refused():
    with pytest.raises(DataError, match="do not all lie in an image of shape"):
        features.patches(torch.rand(1, 20, 20), [[5, 20]])


def test_global_features_keep_the_order_of_scans_of_several_shapes(tmp_path):
    some = [*scans(2), *scans(2, (8, 20)), *scans(1)]
    for i, scan in enumerate(some):
        scan.id = f"raw-{i}"
    features.embed(Means(), some, tmp_path / "f.npz", key=KEY, batch=4)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        assert file["id"].tolist() == [hashed(scan.id) for scan in some]
        assert file["patient"].tolist() == ["p0", "p1", "p0", "p1", "p0"]
        np.testing.assert_allclose(file["features"], [scan.image.mean((1, 2)) / 255 for scan in some], rtol=1e-5)


def test_size_is_that_of_the_shorter_side(tmp_path):
    seen = []

    class Watching(Means):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return super().forward(x)

    features.embed(Watching(), scans(3, (16, 12)), tmp_path / "f.npz", key=KEY, size=24, batch=2)
    assert seen == [(2, 2, 32, 24), (1, 2, 32, 24)]


def test_dense_features_are_maps_named_by_id(tmp_path):
    some = [*scans(1), *scans(2, (8, 20))[1:]]
    features.embed(Means(), some, tmp_path / "f.npz", "dense", key=KEY)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        for scan in some:
            x = torch.from_numpy(scan.image).float()[None] / 255
            np.testing.assert_array_equal(file[hashed(scan.id)], Means()(x)[-1][0])


def test_parquet_holds_what_npz_holds(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    points = {"raw-0": {"a": [3, 4], "b": [8, 8.5]}, "raw-2": {"a": [5, 5]}}
    calls = []
    for name in ("f.npz", "f.parquet"):
        out = tmp_path / name
        features.embed(
            Means(),
            scans(),
            out,
            "points",
            points=points,
            level=None,
            key=KEY,
            progress=lambda *n: calls.append(n),
        )
    rows = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        for column in ("id", "patient", "name", "point", "features"):
            assert [row[column] for row in rows] == file[column].tolist()
    assert [row["name"] for row in rows] == ["a", "b", "a"]
    assert [row["shape"] for row in rows] == [[4]] * 3
    assert calls == [(1, 3), (2, 3), (3, 3)] * 2


@pytest.mark.parametrize("kind", ["global", "dense", "points"])
@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_no_identifier_reaches_the_file(tmp_path, kind, suffix):
    out = tmp_path / f"f.{suffix}"
    points = {"raw-1": {"a": [3, 4]}} if kind == "points" else None
    features.embed(Means(), scans(), out, kind, points=points, key=KEY)
    assert b"raw-" not in out.read_bytes()
    assert list(tmp_path.iterdir()) == [out]


def test_what_cannot_be_done_is_said_before_any_work(tmp_path, monkeypatch):
    some, out = scans(), tmp_path / "f.npz"
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for reason, arguments in {
        "pip install": {"out": tmp_path / "f.parquet"},
        "neither .npz nor .parquet": {"out": tmp_path / "f.pkl"},
        "no features called 'all'": {"kind": "all"},
        "points are given for kind 'points'": {"kind": "points"},
        "1 scans with points are not in the data, such as 'raw-9'": {"kind": "points", "points": {"raw-9": {}}},
        "3-D backbone cannot see 2-D scans": {"backbone": Means(3)},
        "no scans": {"scans": []},
    }.items():
        with pytest.raises((SettingError, DataError), match=reason):
            features.embed(**{"backbone": Means(), "scans": some, "out": out, "key": KEY} | arguments)
    assert not any(scan.boxes for scan in some)


def test_an_interrupted_run_leaves_no_file_and_the_old_one_alone(tmp_path):
    some, out = scans(), tmp_path / "f.npz"
    features.embed(Means(), some, out, key=KEY)
    before = out.read_bytes()
    some[2].unit = "arbitrary"
    with pytest.raises(DataError, match="arbitrary"):
        features.embed(Means(), some, out, key=KEY, batch=1)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        features.embed(Means(), scans(), tmp_path / "file" / "f.npz", key=KEY)
