import dataclasses
import json

import numpy as np
import pytest

from vesalius.data.prepare import (
    FUNDUS,
    RADIOGRAPH,
    VOLUME,
    prepare,
    prepare_labels,
    prepare_mask,
    prepare_points,
    restore_image,
    restore_mask,
    restore_points,
    steps_for,
    steps_from_json,
    steps_to_json,
)
from vesalius.data.scan import Labels, Scan
from vesalius.data.steps import (
    STEPS,
    Body,
    Canonical,
    CropBody,
    CropBorder,
    Dimensions,
    Grey,
    Narrow,
    Percentiles,
    ResizeShort,
    Spacing,
    ToUint8,
)
from vesalius.data.steps.intensity import LUMA
from vesalius.errors import DataError, SettingError
from vesalius.space.affine import to_mm

AFFINE = np.array([[0, 0, 2.0, -40], [-1, 0, 0, 30], [0, 1.5, 0.1, 5], [0, 0, 0, 1]])


def smooth(shape, seed=0):
    """(C, *S) in 0..1, no detail finer than eight voxels, with a dark border of two."""
    grids = np.meshgrid(*(np.linspace(0, 3, n) for n in shape[1:]), indexing="ij")
    waves = [np.sin(sum(g * (i + 1) / 2 for i, g in enumerate(grids)) + c + seed) for c in range(shape[0])]
    image = np.stack(waves) * 0.4 + 0.55
    inside = np.zeros(shape[1:], bool)
    inside[(slice(2, -2),) * len(grids)] = True
    return image * inside


def radiograph(shape=(3, 60, 80), dtype=np.uint16):
    return Scan((smooth(shape) * np.iinfo(dtype).max).astype(dtype), "0..1", id="a.png", spacing=(0.2, 0.2))


def volume():
    return Scan(smooth((1, 24, 30, 18)) * 2000 - 1000, "HU", id="v.nii", spacing=(1, 1.5, 2), affine=AFFINE)


CASES = [
    (radiograph(), (Grey(), ResizeShort(40), ToUint8())),
    (radiograph(), (CropBorder(), Grey("mean"), ResizeShort(90, upsample=True), ToUint8())),
    (radiograph((1, 33, 120), np.uint8), RADIOGRAPH),
    (radiograph((3, 90, 70)), FUNDUS),
    (Scan(smooth((1, 40, 50)) * 7 - 3, "arbitrary"), (ResizeShort(32), ToUint8())),
    (volume(), VOLUME),
    (dataclasses.replace(volume(), unit="arbitrary"), VOLUME),
    (volume(), (CropBorder(-999.0), Canonical(), Spacing((1.0, 1.3, 2.5)), Narrow())),
    (volume(), (Canonical(), ToUint8(hu=(-1000, 1000)))),
    (volume(), (Dimensions(3), Canonical(), CropBody(), Spacing((2.2, 1.4, 3.0)), Narrow(), Body())),
    (volume(), (Dimensions(3), Canonical(), CropBody(), Spacing((0.5, 2.0, 0.7), upsample=True), Narrow(), Body())),
]


@pytest.mark.parametrize(("scan", "steps"), CASES)
def test_points_come_back_to_where_they_were(scan, steps):
    trace = prepare(scan, steps).trace
    points = np.random.default_rng(0).random((20, scan.ndim)) * scan.shape
    there = prepare_points(points, steps, trace)
    np.testing.assert_allclose(restore_points(there, steps, trace), points, atol=1e-9)


@pytest.mark.parametrize(("scan", "steps"), CASES)
def test_masks_come_back_nearly_whole(scan, steps):
    trace = prepare(scan, steps).trace
    mask = np.zeros((2, *scan.shape), bool)
    mask[(0, *(slice(n // 4, 3 * n // 4) for n in scan.shape))] = True
    back = restore_mask(prepare_mask(mask, steps, trace), steps, trace)
    assert back.shape == mask.shape
    assert back.dtype == bool
    assert not back[1].any()
    assert (back[0] ^ mask[0]).sum() < 0.2 * mask[0].sum()


@pytest.mark.parametrize(("scan", "steps"), CASES)
def test_images_come_back_in_shape_type_and_nearly_in_value(scan, steps):
    done = prepare(scan, steps)
    back = restore_image(done.scan.image, steps, done.trace)
    assert (back.shape, back.dtype) == (scan.image.shape, scan.image.dtype)
    how = {s.how for s in steps if isinstance(s, Grey)}
    mixed = {"luma": LUMA, "mean": (1 / 3,) * 3}[how.pop()] if how and len(scan.image) == 3 else None
    plain = scan.image if mixed is None else np.tensordot(mixed, scan.image, 1)
    inside = (slice(None), *(slice(5, -5),) * scan.ndim)
    error = np.abs(back.astype(float) - plain)[inside] / np.ptp(scan.image.astype(float))
    assert np.median(error) < 0.05


@pytest.mark.parametrize(("scan", "steps"), CASES)
def test_a_landmark_at_the_centre_of_a_blob_stays_there(scan, steps):
    at = np.array([[0.4, 0.55, 0.6][: scan.ndim]]) * scan.shape
    grid = np.meshgrid(*map(np.arange, scan.shape), indexing="ij")
    blob = np.exp(-sum((g - a) ** 2 for g, a in zip(grid, at[0], strict=True)) / 3)
    trace = prepare(scan, steps).trace
    moved = prepare_mask(blob[None].astype(np.float32), steps, trace)[0]
    grid = np.meshgrid(*map(np.arange, moved.shape), indexing="ij")
    centre = [(g * moved).sum() / moved.sum() for g in grid]
    np.testing.assert_allclose(centre, prepare_points(at, steps, trace)[0], atol=0.1)


@pytest.mark.parametrize(("scan", "steps"), [case for case in CASES if case[0].affine is not None])
def test_a_point_keeps_its_place_in_the_world(scan, steps):
    done = prepare(scan, steps)
    points = np.random.default_rng(1).random((9, 3)) * scan.shape
    there = to_mm(done.scan.affine, prepare_points(points, steps, done.trace))
    np.testing.assert_allclose(there, to_mm(AFFINE, points), atol=1e-9)
    np.testing.assert_allclose(done.scan.spacing, np.linalg.norm(done.scan.affine[:3, :3], axis=0), rtol=0.01)


@pytest.mark.parametrize(("scan", "steps"), CASES)
def test_trace_and_steps_survive_json(scan, steps):
    done = prepare(scan, steps)
    trace = json.loads(json.dumps(done.trace))
    again = steps_from_json(json.loads(json.dumps(steps_to_json(steps))))
    assert again == list(steps)
    back = restore_image(done.scan.image, again, trace)
    assert (back == restore_image(done.scan.image, steps, done.trace)).all()


def test_every_step_is_known_by_name_with_its_defaults():
    assert steps_from_json([{"name": name} for name in STEPS]) == [step() for step in STEPS.values()]
    with pytest.raises(SettingError, match=r"unknown prepare step 'ResizeShrt'.*ResizeShort"):
        steps_from_json([{"name": "ResizeShrt"}])
    with pytest.raises(SettingError, match=r"ResizeShort\.sise"):
        steps_from_json([{"name": "ResizeShort", "sise": 3}])


def test_radiographs_end_grey_short_side_512_uint8():
    done = prepare(radiograph((3, 1024, 1400)), RADIOGRAPH).scan
    assert (done.image.shape, done.image.dtype, done.unit) == ((1, 512, 700), np.uint8, "0..1")
    assert done.spacing == pytest.approx((0.4, 0.4))
    assert steps_for(2) == RADIOGRAPH
    assert steps_for(3) == VOLUME


def test_a_smaller_image_is_left_alone_and_the_trace_says_so():
    done = prepare(radiograph((1, 60, 80)), [ResizeShort(100)])
    assert done.scan.shape == (60, 80)
    assert done.trace == (("ResizeShort", {"from": [60, 80], "to": [60, 80], "smaller": True}),)
    assert prepare(radiograph((1, 60, 80)), [ResizeShort(120, upsample=True)]).scan.shape == (120, 160)


def test_luma_is_bt601_and_mean_is_the_mean():
    scan = Scan(np.array([200, 100, 50], np.uint8).reshape(3, 1, 1), "0..1")
    assert prepare(scan, [Grey()]).scan.image.item() == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert prepare(scan, [Grey("mean")]).scan.image.item() == 117


def test_unit_windows_end_points_map_to_0_and_255():
    for unit, dtype, ends in [
        ("0..1", np.uint16, (0, 65535)),
        ("0..1", np.float32, (0, 1)),
        ("HU", np.int16, (-1350, 1000)),
        ("arbitrary", np.float64, (-8.5, 3)),
    ]:
        done = prepare(Scan(np.array([[ends]], dtype), unit), [ToUint8()])
        assert done.scan.image.ravel().tolist() == [0, 255]
        assert done.scan.unit == "0..1"
    ramp = Scan(np.arange(1001.0).reshape(1, 7, 143), "arbitrary")
    fit = prepare(ramp, [ToUint8(percentiles=(1, 99))]).trace[0][1]
    assert (fit["lo"], fit["hi"], fit["window"]) == (10, 990, "percentiles 1 to 99")


def test_body_crop_and_int16():
    body = np.full((1, 20, 20, 10), -1000.0)
    body[0, 4:15, 3:18, 2:9] = 40.4
    done = prepare(Scan(body, "HU", affine=np.eye(4)), [CropBorder(-500), Narrow()]).scan
    assert (done.shape, done.image.dtype) == ((11, 15, 7), np.int16)
    assert (done.image == 40).all()
    assert done.affine[:3, 3].tolist() == [4, 3, 2]


def test_labels_go_where_the_image_goes():
    scan, steps = volume(), (Canonical(), Spacing((1.0, 3.0, 2.0)), Narrow())
    done = prepare(scan, steps)
    corner = np.array([4.0, 6.0, 3.0])
    box = np.array([[4, 6, 3, 20, 18, 9.0]])
    mask = np.zeros((1, *scan.shape), bool)
    mask[0, 4:20, 6:18, 3:9] = True
    moved = prepare_labels(Labels(mask=mask, landmarks={"c": corner}, boxes={"b": box}), steps, done.trace)
    where = np.argwhere(moved.mask[0])
    np.testing.assert_allclose(moved.boxes["b"][0], [*where.min(0), *(where.max(0) + 1)], atol=0.6)
    np.testing.assert_allclose(to_mm(done.scan.affine, moved.landmarks["c"][None]), to_mm(AFFINE, corner[None]))
    assert (moved.boxes["b"][0, 3:] - moved.boxes["b"][0, :3]).prod() == pytest.approx(
        16 * 12 * 6 * np.prod(done.scan.shape) / np.prod(scan.shape)
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 2, 900), (1, 1200, 1), (1, 600, 20000)])
def test_tiny_and_extreme_images_survive(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for steps in (RADIOGRAPH, FUNDUS, (CropBorder(), Grey(), ResizeShort(8, upsample=True), ToUint8())):
        done = prepare(Scan(image, "0..1"), steps)
        assert min(done.scan.shape) >= 1
        assert restore_image(done.scan.image, steps, done.trace).shape == shape


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((1, 0, 5), np.uint8), "empty"),
        (np.array([[[1, np.nan], [np.inf, 0]]]), "2 of 4 values are NaN or infinite"),
        (np.zeros((1, 2, 2), complex), "complex"),
        (np.zeros((2, 3, 3), np.uint8), "2 channels"),
    ],
)
def test_what_cannot_be_prepared_is_named_with_its_reason(image, reason):
    with pytest.raises(DataError, match=rf"bad\.png: .*{reason}"):
        prepare(Scan(image, "0..1", id="bad.png"), RADIOGRAPH)


def test_a_volume_is_no_radiograph():
    with pytest.raises(DataError, match=r"v\.nii: .*24 x 30 x 18 voxels where 2-D ones are needed\. Set ndim to 3"):
        prepare(volume(), RADIOGRAPH)


def test_spacing_needs_spacing():
    with pytest.raises(DataError, match="spacing None"):
        prepare(Scan(np.zeros((1, 4, 4, 4)), "HU", id="a"), [Spacing()])


def test_an_arbitrary_scale_becomes_shares_between_two_percentiles():
    image = np.arange(1, 1001, dtype=np.int16).reshape(1, 10, 10, 10)
    done = prepare(Scan(image, "arbitrary", affine=np.eye(4)), [Percentiles(10, 90)])
    assert (done.scan.unit, done.scan.image.dtype) == ("0..1", np.uint16)
    low, high = np.percentile(image, (10, 90))
    expected = ((image - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(done.scan.image / 65535, expected, atol=1e-5)
    for unit in ("HU", "0..1"):
        known = prepare(Scan(image, unit, affine=np.eye(4)), [Percentiles()]).scan
        assert (known.unit, known.image.dtype) == (unit, np.int16)
        assert (known.image == image).all()
