import dataclasses

import numpy as np
import pytest

from vesalius.chance import generator
from vesalius.data.datasets import open_dataset
from vesalius.data.datasets.phantom import FACTS, Dataset
from vesalius.data.phantom import radiograph, volume
from vesalius.data.phantom.anatomy import body
from vesalius.data.phantom.exposure import expose
from vesalius.data.phantom.frame import STRUCTURES
from vesalius.data.phantom.pose import Pose
from vesalius.data.phantom.shapes import Blob, Grid, Part, Tube, label, paint, texture
from vesalius.errors import DataError, SettingError

FLAT, DEEP = Dataset(bodies=3, size=128), Dataset(bodies=3, ndim=3, voxel=4.0)
DEEP_AFFINE = volume.affine(DEEP.voxel)


@pytest.fixture(scope="module")
def deep():
    id = DEEP.ids[1]
    labels = DEEP.labels(id)
    return DEEP.read(id), labels, {name: labels.mask[k] for k, name in enumerate(STRUCTURES)}


@pytest.fixture(scope="module")
def flat():
    id = FLAT.ids[1]
    labels = FLAT.labels(id)
    return FLAT.read(id), labels, {name: labels.mask[k] for k, name in enumerate(STRUCTURES)}


def grid(half=40.0, step=1.0):
    return Grid.cover((-half,) * 3, (half,) * 3, (step,) * 3)


# shapes


def test_volume_of_an_ellipsoid():
    hu = paint([Part(Blob(np.zeros(3), (20, 30, 10), 0.4), 0.0)], grid(), np.zeros(grid().shape, np.float32))
    assert (hu + 1000).sum() / 1000 == pytest.approx(4 / 3 * np.pi * 20 * 30 * 10, rel=0.01)


def test_a_tube_is_the_balls_along_it():
    points, radii = np.array(((-20, 5, -10), (0, -8, 4), (22, 10, 12.0))), np.array((4, 6, 5.0))
    g = grid()
    tube = paint([Part(Tube(points, radii), 0.0, label=1)], g, np.zeros(g.shape, np.float32)) > -500
    t = np.linspace(0, 2, 201)
    centres = np.stack([np.interp(t, (0, 1, 2), points[:, k]) for k in range(3)], 1)
    at = np.stack(np.meshgrid(g.x, g.z, g.y, indexing="ij"), -1)[..., (0, 2, 1)]
    balls = np.zeros(g.shape, bool)
    for centre, r in zip(centres, np.interp(t, (0, 1, 2), radii), strict=True):
        balls |= ((at - centre) ** 2).sum(-1) < r**2
    assert 2 * (tube & balls).sum() / (tube.sum() + balls.sum()) > 0.95


def test_later_parts_lie_over_earlier_ones():
    g, inner = grid(20.0), Part(Blob(np.zeros(3), (6, 6, 6)), 300.0, label=2)
    parts = [Part(Blob(np.zeros(3), (15, 15, 15)), 0.0, label=1), inner]
    hu, labels = paint(parts, g, np.zeros(g.shape, np.float32)), label(parts, g)
    assert hu[20, 20, 20] == 300
    assert labels[20, 20, 20] == 2
    assert labels[20, 20, 8] == 1
    assert labels[0, 0, 0] == 0


def test_texture_is_one_field_seen_through_any_grid():
    coarse = texture(grid(40, 2.0), generator(0), 10.0)
    fine = texture(grid(40, 1.0), generator(0), 10.0)
    mean = fine.reshape(40, 2, 40, 2, 40, 2).mean((1, 3, 5))
    assert np.corrcoef(coarse.ravel(), mean.ravel())[0, 1] > 0.99
    assert abs(coarse.std() - 1) < 0.15


# anatomy


def test_landmarks_and_masks_of_each_side_are_on_that_side(deep):
    marks = body(generator(4)).landmarks
    pairs = [name for name in marks if name.endswith("_right")]
    assert len(pairs) >= 10
    assert all(marks[name][0] > marks[name.replace("_right", "_left")][0] for name in pairs)
    centre = {name: np.argwhere(mask).mean(0)[0] for name, mask in deep[2].items()}
    assert centre["lung_right"] > centre["heart"] > centre["lung_left"]
    assert centre["liver"] > centre["spleen"]


def test_the_right_of_the_body_is_on_the_left_of_the_radiograph(flat):
    column = {name: np.argwhere(mask).mean(0) for name, mask in flat[2].items()}
    assert column["lung_right"][1] < column["heart"][1] < column["lung_left"][1]
    assert column["liver"][0] > column["lung_right"][0] > column["clavicles"][0]


def test_tissues_have_their_hounsfield_units(deep):
    scan, _, mask = deep
    middle = {name: np.median(scan.image[0][m]) for name, m in mask.items() if name != "trunk"}
    assert -900 < middle["lung_right"] < -700
    assert all(20 < middle[name] < 80 for name in ("heart", "aorta", "liver", "spleen", "kidney_left"))
    assert middle["trachea"] < -800
    assert middle["ribs"] > 200
    assert middle["spine"] > 100
    assert scan.image[0][~mask["trunk"]].mean() < -980


def test_every_structure_is_there_and_no_organ_lies_in_another(deep):
    _, labels, mask = deep
    assert labels.known.all()
    organs = labels.mask[1:]
    assert organs.any((1, 2, 3)).all()
    assert organs.sum(0).max() == 1
    assert not (organs.any(0) & ~mask["trunk"]).any()


@pytest.mark.parametrize("seed", range(8))
def test_organs_have_human_sizes(seed):
    person = body(generator(seed))
    g = Grid.cover(np.array((-280, -150, -430)) * person.scale, np.array((280, 150, 230)) * person.scale, (6, 6, 6))
    litres = np.bincount(label(person.parts, g).ravel(), minlength=len(STRUCTURES) + 1)[1:] * 0.006**3 * 1000
    size = dict(zip(STRUCTURES, litres, strict=True))
    assert 0.8 < size["lung_left"] < 4
    assert 0.8 < size["lung_right"] < 4
    assert 0.25 < size["heart"] < 1.4
    assert 0.8 < size["liver"] < 3.5
    assert 0.05 < size["kidney_left"] < 0.4


# projection


def test_a_radiograph_is_the_sum_along_the_rays_of_the_volume():
    person, size = body(generator(3)), 72
    pose = Pose(np.eye(3), np.array((0.0, 0, -38)) * person.scale, np.zeros(3), 432.0)
    hu = volume.volume(person, pose, 6.0, generator(1), generator(2)).astype(float)
    low, high = pose.reach((216, 150, 216), person.scale)
    g = Grid.cover(low, high, (6, 12, 6))
    path = radiograph.project(1 + paint(person.parts, g, texture(g, generator(1), 10.0)) / 1000, g, pose, size)
    slow = ((1 + hu / 1000).sum(1) * 6.0)[::-1, ::-1].T  # (row, column) from (x, z)
    assert np.corrcoef(path[9:].ravel(), slow[:63].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("k", range(3))
def test_2d_landmarks_are_3d_landmarks_projected(k):
    id = FLAT.ids[k]
    flat, deep = FLAT.landmarks(id), DEEP.landmarks(id)
    both = sorted(set(flat) & set(deep))
    assert len(both) >= 20
    for name in both:
        world = DEEP_AFFINE @ np.append(deep[name], 1)
        assert np.allclose(FLAT.pose(id).pixel(world[:3], FLAT.size), flat[name])


@pytest.mark.parametrize(
    ("name", "least"), [("lung_right", 0.95), ("lung_left", 0.95), ("heart", 0.95), ("aorta", 0.9), ("spine", 0.85)]
)
def test_2d_masks_are_the_shadows_of_3d_masks(name, least, flat, deep):
    voxels = np.argwhere(deep[2][name])
    corners = np.stack(np.meshgrid(*[(-0.33, 0, 0.33)] * 3), -1).reshape(-1, 3)
    points = (voxels[:, None] + corners).reshape(-1, 3) @ DEEP_AFFINE[:3, :3] + DEEP_AFFINE[:3, 3]
    row, column = np.round(FLAT.pose(FLAT.ids[1]).pixel(points, FLAT.size)).astype(int).T
    inside = (row >= 0) & (row < FLAT.size) & (column >= 0) & (column < FLAT.size)
    shadow = np.zeros((FLAT.size, FLAT.size), bool)
    shadow[row[inside], column[inside]] = True
    low = int(FLAT.pose(FLAT.ids[1]).pixel(np.array((0, 0, volume.LOW[2])), FLAT.size)[0]) - 3  # the volume ends here
    seen = flat[2][name][:low]
    assert 2 * (seen & shadow[:low]).sum() / (seen.sum() + shadow[:low].sum()) > least


def test_landmarks_lie_on_their_structures(deep):
    _, labels, mask = deep
    for name, of in (
        ("vertebra_t8", "spine"),
        ("liver", "liver"),
        ("kidney_left", "kidney_left"),
        ("carina", "trachea"),
    ):
        assert mask[of][tuple(np.round(labels.landmarks[name]).astype(int))]
    assert abs(np.argwhere(mask["lung_left"])[:, 2].max() - labels.landmarks["apex_left"][2]) < 3


def test_nearly_all_landmarks_are_inside_and_the_others_are_left_out():
    many = Dataset(bodies=30)
    found = [many.landmarks(id) for id in many.ids]
    names = set().union(*found)
    assert len(names) >= 40
    assert sum(map(len, found)) / (len(found) * len(names)) > 0.95
    assert all((xy >= 0).all() and (xy <= 255).all() for marks in found for xy in marks.values())
    assert not any(name.startswith(("kidney", "liver")) for name in names)


def test_bone_is_bright_and_thicker_tissue_is_brighter():
    path = np.tile(np.linspace(40, 200, 64, dtype=np.float32), (64, 1))
    grey = expose(path, generator(5)).astype(float)
    assert grey.dtype.kind == "f"
    assert grey[:, 44:60].mean() > grey[:, 4:20].mean()


# the data set


def test_an_image_depends_on_seed_and_id_alone():
    first, again = Dataset(bodies=3, size=64), Dataset(bodies=5, size=64, first=1)
    here = {id: first.read(id).image for id in reversed(first.ids)}
    assert np.array_equal(here["body0002-0"], again.read("body0002-0").image)
    assert not np.array_equal(here["body0001-0"], here["body0002-0"])
    other = Dataset(bodies=3, size=64, seed=1)
    assert not np.array_equal(here["body0002-0"], other.read("body0002-0").image)


def test_poses_of_one_body_are_one_patient_and_different_images():
    twice = Dataset(bodies=2, images=2, size=64)
    assert twice.ids == ("body0000-0", "body0000-1", "body0001-0", "body0001-1")
    assert [twice.patient(id) for id in twice.ids] == ["body0000", "body0000", "body0001", "body0001"]
    assert not np.array_equal(twice.read("body0000-0").image, twice.read("body0000-1").image)


def test_content_changes_with_what_changes_the_pixels_only():
    one = Dataset(bodies=4)
    assert one.content("body0002-0") == dataclasses.replace(one, bodies=9, images=3).content("body0002-0")
    changed = [dataclasses.replace(one, **o) for o in ({"seed": 1}, {"ndim": 3}, {"size": 128})]
    keys = {d.content("body0002-0") for d in (one, *changed)} | {one.content("body0001-0")}
    assert len(keys) == 5
    assert one.path("body0002-0") is None


def test_scans_keep_the_contract(flat, deep):
    scan, volume_ = flat[0], deep[0]
    assert (scan.image.shape, scan.image.dtype, scan.unit) == ((1, 128, 128), np.uint8, "0..1")
    assert scan.image.max() - scan.image.min() > 60
    assert (volume_.image.dtype, volume_.unit, volume_.spacing) == (np.int16, "HU", (4.0, 4.0, 4.0))
    assert np.allclose(np.diag(volume_.affine)[:3], 4)
    assert flat[1].mask.shape == (len(STRUCTURES), 128, 128)
    box = deep[1].boxes["heart"][0]
    heart = deep[2]["heart"]
    assert heart[tuple(slice(a, b) for a, b in zip(box[:3], box[3:], strict=True))].sum() == heart.sum()


def test_splits_keep_bodies_apart_and_do_not_depend_on_how_many():
    small, large = Dataset(bodies=10, images=2).splits(), Dataset(bodies=40, images=2).splits()
    assert set(small["test"]) <= set(large["test"])
    assert len(small["test"]) == 4
    assert not {id[:8] for id in large["train"]} & {id[:8] for id in large["test"]}


def test_a_spec_opens_it():
    opened = open_dataset("phantom:?bodies=5&ndim=3&first=100")
    assert opened == Dataset(bodies=5, ndim=3, first=100)
    assert opened.ids[0] == "body0100-0"
    assert FACTS.name == "phantom"


@pytest.mark.parametrize("wrong", [{"ndim": 4}, {"bodies": 0}, {"size": 3}, {"seed": -1}, {"voxel": 0.0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Dataset(**wrong)


def test_an_unknown_id_is_refused():
    with pytest.raises(DataError, match="body0099-0"):
        Dataset(bodies=2).read("body0099-0")
