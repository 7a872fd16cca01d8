"""Which voxels are body, and the mask in the cache: read by region, drawn from by one block."""

import numpy as np
import pytest
from scipy import ndimage

from fakes.arrays import Arrays, write_arrays
from vesalius.data import bits, handles
from vesalius.data.body import body_mask
from vesalius.data.build import build, forecast
from vesalius.data.cache import body_path
from vesalius.data.prepare import CT, VOLUME, prepare, steps_for
from vesalius.data.scan import Scan
from vesalius.data.steps import Body, Canonical, CropBody, Narrow, Spacing
from vesalius.errors import DataError, SettingError
from vesalius.space.box import Box


def flood(hu):
    """The definition, slowly: pad x and y, then grow from the corner one step of 26 neighbours at a time."""
    air = np.pad(hu < -500, ((1, 1), (1, 1), (0, 0)), constant_values=True)
    outside = np.zeros_like(air)
    outside[0, 0, 0] = True
    while True:
        grown = ndimage.binary_dilation(outside, np.ones((3, 3, 3))) & air
        if (grown == outside).all():
            return ~outside[1:-1, 1:-1]
        outside = grown


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_the_body_is_what_a_flood_from_the_corner_leaves(share):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        hu = np.where(rng.random(rng.integers(1, 14, 3)) < share, -1000, 40).astype(np.int16)
        np.testing.assert_array_equal(body_mask(hu), flood(hu))


def tissue():
    hu = np.full((20, 20, 12), -1000, np.int16)
    hu[4:16, 4:16] = 40
    return hu


def test_sealed_air_is_body_outside_air_never_and_air_open_at_the_ends_is():
    hu = tissue()
    hu[6:9, 6:9, 4:8] = -1000  # sealed
    hu[11:13, 11:13] = -1000  # a wind pipe: open at the first and the last slice only
    mask = body_mask(hu)
    assert mask[4:16, 4:16].all()
    assert mask.sum() == 12 * 12 * 12
    hu[4:12, 12, 6] = -1000  # a way out through x
    assert not body_mask(hu)[11:13, 11:13].any()
    assert body_mask(hu)[6:9, 6:9, 4:8].all()


def test_air_is_below_the_threshold_and_a_corner_is_a_way_out():
    hu = tissue()
    hu[0, 0, 0] = -500
    assert body_mask(hu)[0, 0, 0]
    hu[5, 5, 5], hu[4, 4, 4] = -501, -501
    assert not body_mask(hu)[5, 5, 5]


class Bodies(Arrays):
    """Arrays are HU of (1, x, y, z)."""

    def read(self, id):
        return Scan(np.load(self.path(id)), "HU", id=id, spacing=(1.0, 1.0, 2.0), affine=np.diag((-1.0, -1, 2, 1)))


def ball(shape, radius, seed=0):
    """(1, *shape) HU: a ball of tissue with pockets of air in it, in air."""
    rng = np.random.default_rng(seed)
    distance = np.linalg.norm(np.stack(np.indices(shape)).T - np.array(shape) / 2, axis=-1).T
    return np.where((distance < radius) & (rng.random(shape) < 0.9), 40, -1000).astype(np.int16)[None]


@pytest.fixture
def built(tmp_path):
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "a_0.npy", ball((90, 75, 50), 32))
    data = Bodies(tmp_path / "data")
    return build(data, data.ids, CT, tmp_path / "cache", workers=1)


def test_a_region_of_the_mask_is_the_slice_of_the_whole(built):
    scan, rng = built.cache[0], np.random.default_rng(0)
    whole = body_mask(scan.read()[0])
    assert scan.has_body
    assert 0.1 < whole.mean() < 0.9
    np.testing.assert_array_equal(scan.body(), whole)
    for _ in range(40):
        a, b = np.sort(rng.integers(0, np.add(scan.shape, 1), (2, 3)), axis=0)
        box = Box(tuple(map(int, a)), tuple(map(int, b)))
        np.testing.assert_array_equal(scan.body(box), whole[box.slices])
    with pytest.raises(ValueError, match="not within"):
        scan.body(Box((0, 0, 0), (999, 1, 1)))


@pytest.mark.parametrize("shape", [(5, 3, 2), (40, 33), (70, 31, 65), (100,), (9, 8, 7, 40)])
def test_every_voxel_of_a_mask_is_drawn_once_and_no_other(tmp_path, shape):
    mask = np.random.default_rng(0).random(shape) < 0.3
    (tmp_path / "m").write_bytes(bits.pack_mask(mask))
    np.testing.assert_array_equal(bits.read_mask(str(tmp_path / "m"), Box.whole(shape)), mask)

    class Count:
        def __init__(self, k):
            self.k = k

        def integers(self, stop):
            assert stop == mask.sum()
            return self.k

    some = range(0, mask.sum(), max(1, mask.sum() // 500))
    drawn = [bits.sample_voxel(str(tmp_path / "m"), Count(k)) for k in some]
    assert len(set(drawn)) == len(some)
    assert all(mask[voxel] for voxel in drawn)
    assert {type(i) for i in drawn[0]} == {int}


def test_draws_are_uniform_over_the_body(built):
    scan, rng = built.cache[0], np.random.default_rng(1)
    drawn = np.array([scan.sample_body_voxel(rng) for _ in range(3000)])
    true = np.argwhere(scan.body())
    error = (drawn.mean(0) - true.mean(0)) / (true.std(0) / np.sqrt(len(drawn)))
    assert np.abs(error).max() < 4
    np.testing.assert_allclose(drawn.std(0), true.std(0), rtol=0.06)
    first = scan.sample_body_voxel(np.random.default_rng(5))
    assert first == scan.sample_body_voxel(np.random.default_rng(5))


def test_without_a_mask_all_voxels_are_body(tmp_path):
    data = write_arrays(tmp_path / "data", 1)
    scan = build(data, data.ids, (), tmp_path / "cache", workers=1).cache[0]
    assert not scan.has_body
    assert scan.body(Box((3, 4), (5, 9))).tolist() == [[True] * 5] * 2
    drawn = np.array([scan.sample_body_voxel(np.random.default_rng(k)) for k in range(300)])
    assert (drawn.min(0) >= 0).all()
    assert drawn.max(0).tolist() <= [39, 49]
    assert (np.ptp(drawn, axis=0) > (30, 40)).all()


def test_a_draw_and_a_region_decode_few_blocks_only(built, monkeypatch):
    scan, sizes = built.cache[0], []
    read = handles.read_into
    monkeypatch.setattr(bits, "read_into", lambda n, a, out, *where: (sizes.append(out.size), read(n, a, out, *where)))
    scan.sample_body_voxel(np.random.default_rng(0))
    scan.body(Box((10, 10, 10), (26, 26, 18)))
    assert sizes[0] <= 32**3 / 8
    assert sizes[1] <= 3 * 16 * 8
    assert len(sizes) == 2


@pytest.mark.parametrize("damage", ["gone", "torn", "changed"])
def test_a_mask_that_is_gone_or_damaged_is_named_and_made_again(tmp_path, built, damage):
    scan, data = built.cache[0], Bodies(tmp_path / "data")
    path = tmp_path / body_path(scan.folder, scan.entry.content)
    before = path.read_bytes()
    path.unlink() if damage == "gone" else path.write_bytes(before[:99] if damage == "torn" else before + b"x")
    if damage != "changed":
        with pytest.raises(DataError, match=rf"{path.name}.*repare again"):
            scan.body()
        with pytest.raises(DataError, match=r"repare again"):
            scan.sample_body_voxel(np.random.default_rng(0))
    assert build(data, data.ids, CT, tmp_path / "cache", workers=1).made == 1
    assert path.read_bytes() == before
    assert build(data, data.ids, CT, tmp_path / "cache", workers=1).reused == 1


def test_the_forecast_counts_the_masks(tmp_path, built):
    entry, data = built.cache.entries[0], Bodies(tmp_path / "data")
    assert forecast(data, data.ids, CT).bytes == entry.stored + entry.body
    assert 0 < entry.body < np.prod(entry.shape) / 8 + 2000


def scan_of(image, unit="HU"):
    return Scan(image, unit, id="a.nii", spacing=(1.0, 1.0, 2.0), affine=np.eye(4))


@pytest.mark.parametrize("step", [CropBody(), Body()])
def test_what_has_no_body_is_refused(step):
    for image, unit, reason in [
        (np.full((1, 4, 4, 4), -900, np.int16), "HU", "a.nii: is all air: no voxel of -500 HU or more, .* is -900"),
        (np.arange(64).reshape(1, 4, 4, 4), "arbitrary", r"not in HU \(values 0 to 63\)"),
        (np.linspace(0, 1, 64).reshape(1, 4, 4, 4), "0..1", r"not in HU \(values 0 to 1\)"),
    ]:
        with pytest.raises(DataError, match=reason):
            prepare(scan_of(image, unit), [step])


def test_the_crop_holds_all_of_the_body_and_touches_it_on_every_face():
    done = prepare(scan_of(tissue()[None] + np.int16(0)), [CropBody()])
    assert done.scan.shape == (12, 12, 12)
    assert done.scan.affine[:3, 3].tolist() == [4, 4, 0]
    edge = np.full((1, 3, 3, 3), -501, np.int16)
    edge[0, 1, 2, 0] = -500  # the threshold itself is body
    assert prepare(scan_of(edge), [CropBody()]).scan.shape == (1, 1, 1)


def test_the_mask_is_of_the_prepared_image_and_comes_last():
    done = prepare(scan_of(ball((40, 30, 20), 9)), CT).scan
    np.testing.assert_array_equal(done.body, body_mask(done.image[0]))
    for later in (Canonical(), Spacing(), CropBody()):
        with pytest.raises(SettingError, match="moves voxels after the body mask"):
            prepare(scan_of(tissue()[None]), [Body(), later])
    assert prepare(scan_of(tissue()[None]), [Body(), Narrow()]).scan.body is not None


def test_the_default_steps_with_and_without_a_body():
    assert steps_for(3, spacing=(1.0, 1.0, 2.0), body=True) == CT
    assert steps_for(3) == VOLUME


def test_a_coarser_axis_keeps_its_voxels_and_the_trace_says_so():
    scan = Scan(np.zeros((1, 40, 20, 10), np.int16), "HU", spacing=(0.5, 1.0, 5.0), affine=np.diag((0.5, 1, 5, 1)))
    done = prepare(scan, [Spacing()])
    assert (done.scan.shape, done.scan.spacing) == ((20, 20, 10), (1, 1, 5))
    assert done.trace[0][1] == {"from": [40, 20, 10], "to": [20, 20, 10], "kept": [2]}
    finer = prepare(scan, [Spacing(upsample=True)])
    assert (finer.scan.shape, "kept" in finer.trace[0][1]) == ((20, 20, 25), False)
