"""Vectors of voxels: sought at every voxel, across volumes; organs named by them; each level alone."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes import voxels
from fakes.coded import Coded
from vesalius import features, results, zoo
from vesalius.anatomy import landmarks, levels
from vesalius.anatomy.command import measure
from vesalius.anatomy.contestants import contestants
from vesalius.anatomy.embedders import Placed, VoxelVectors, unit
from vesalius.anatomy.field import Lattice, peaks
from vesalius.anatomy.marked import marked
from vesalius.anatomy.observe import Config, observe
from vesalius.anatomy.rows import nowhere
from vesalius.anatomy.sight import sight
from vesalius.anatomy.tsne import tsne
from vesalius.anatomy.voxelfield import VoxelField
from vesalius.chance import generator
from vesalius.data.datasets import open_dataset
from vesalius.data.steps import Dimensions
from vesalius.errors import SettingError
from vesalius.features.subjects import Subject, load
from vesalius.results import select
from vesalius.space.warp import move

HEADNECK = Path(__file__).parents[3] / "shared" / "data" / "ct_headneck"
SMALL = Config(grid=4, size=4, sampled=5, composed=0, conditions=("upright",))


def every_voxel(shape):
    return np.stack(np.indices(shape), -1).reshape(-1, len(shape))


def subject(image, affine=None, masks=(), landmarks=None, patient="p"):
    """image (C, *S) in 0..1; masks: name -> (*S)."""
    packed = np.packbits(np.stack(list(masks.values())), axis=0) if masks else None
    return Subject(
        patient, patient, np.rint(np.asarray(image) * 65535).astype(np.uint16), "0..1", landmarks or {}, tuple(masks), packed,
        spacing=(2.0,) * (np.ndim(image) - 1), affine=affine,
    )  # fmt: skip


def boxed(shape, *start):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + 3) for a in start)] = True
    return mask


@pytest.mark.parametrize("shape", [(21, 14), (9, 7, 11)])
@pytest.mark.parametrize("along", [0, 4])
def test_the_heat_of_every_voxel_is_that_of_its_joined_vector(shape, along):
    backbone = voxels.random("fpn2x3", len(shape))
    pyramid = features.pyramid(backbone, torch.rand(1, *shape))
    lattice = Lattice.over(shape, along) if along else Lattice(shape, shape)
    field = VoxelField.of(pyramid, backbone.strides, lattice)
    points = lattice.middles if along else every_voxel(shape)
    vectors = features.look_up(backbone, [level[None] for level in pyramid], points)
    wanted = unit(torch.randn(3, 14))
    torch.testing.assert_close(field.heat(wanted), wanted @ unit(vectors).T, atol=2e-3, rtol=0)
    for k, part in enumerate((slice(0, 2), slice(2, 6), slice(6, 14))):
        own = unit(wanted[:, part])
        torch.testing.assert_close(field.level(k).heat(own), own @ unit(vectors[:, part]).T, atol=2e-3, rtol=0)


@pytest.mark.parametrize("shape", [(90, 80), (52, 44, 44)])
def test_a_translated_copy_is_found_where_it_was_translated_to(shape):
    whole, shift = torch.rand(1, *(n + 4 for n in shape)), 4
    one, two = (whole[(slice(None), *(slice(a, a + n) for n in shape))] for a in (0, shift))
    embed, rng = VoxelVectors(voxels.random("fpn1x2", len(shape))), generator(0)
    points = np.array([[n // 2 + 2 for n in shape], [n // 2 for n in shape]], np.float64)
    wanted = sight(embed, subject(one), one, SMALL).at(points)
    field = sight(embed, subject(two), two, SMALL).fine()
    found = peaks(field.heat(wanted), field.lattice, 1.0, rng)
    np.testing.assert_allclose(found.places, points - shift, atol=0.5)
    np.testing.assert_allclose(found.cosines, 1, atol=1e-3)


@lru_cache
def bodies():
    """Three phantom volumes whose pixels are places in the body, seen through the encoder that reads them."""
    data = Coded("phantom:?bodies=3&ndim=3&voxel=12", exact=True)
    some = load(data, data.ids, (Dimensions(3),), b"key")
    return observe("it", VoxelVectors(voxels.Places()), some, SMALL, data="phantom")


def mean(rows, name, **which):
    found = [row.value for row in select(rows, name=name, **which) if row.patient]
    assert found
    return np.mean(found)


def test_an_encoder_that_knows_the_place_makes_no_error_and_one_level_that_knows_nothing_all():
    rows = list(landmarks.rows(bodies(), landmarks.Config(draws=1, shots=(1,)), nowhere))
    assert mean(rows, "error_px") < 0.5  # of a voxel of 12 mm
    assert mean(rows, "error_mm") == pytest.approx(12 * mean(rows, "error_px"))
    alone = list(levels.rows(bodies(), levels.Config(draws=1, shots=(1,)), nowhere))
    assert mean(alone, "error_mm", structure="level 0") < 6
    assert mean(alone, "error_mm", structure="level 1") > 100
    assert mean(alone, "knn_accuracy", structure="level 0") > mean(alone, "knn_accuracy", structure="level 1") + 0.3


def test_the_heat_maps_highest_voxel_is_the_place_that_is_told_in_voxels_and_mm():
    kept = {}
    list(landmarks.rows(bodies(), landmarks.Config(draws=1, shots=(1,)), lambda arrays: str(kept.update(arrays))))
    at, heat = int(kept["map_place_0"]), kept["map_0"].astype(np.float64)
    top = np.argwhere(heat >= heat.max() - 1e-3)
    assert np.abs(top - kept["place_voxel"][at]).max(axis=1).min() <= 0.5
    affine = kept["map_affine_0"]
    moved = kept["place_voxel"] @ affine[:3, :3].T + affine[:3, 3]  # of every voxel: cells are voxels
    np.testing.assert_allclose(moved, kept["place_mm"], atol=1e-6)
    off = np.linalg.norm(kept["place_voxel"] - kept["place_truth"], axis=1)  # NaN of what lies out of the image
    assert np.nanmax(off) < 2


def test_where_nobody_marked_the_target_it_is_searched_all_the_same():
    seen = bodies()
    blank = replace(seen.upright[0], **{k: getattr(seen.upright[0], k)[:1] for k in ("names", "points", "vectors")})
    kept = {}
    some = replace(seen, views={"upright": (blank, *seen.upright[1:])})
    list(landmarks.rows(some, landmarks.Config(draws=1, shots=(1,)), lambda arrays: str(kept.update(arrays))))
    own = kept["place_image"] == blank.subject.id
    assert np.isnan(kept["place_truth"][own]).all(axis=1).sum() == own.sum() - 1 > 5
    assert np.isfinite(kept["place_voxel"][own]).all()


def test_the_scanner_finds_the_same_millimetres():
    shape, rng = (20, 24, 16), generator(1)
    affines = [np.diag([3.0, 3.0, 5.0, 1.0]), np.diag([2.0, 4.0, 5.0, 1.0])]
    affines[1][:3, 3] = (9.0, -12.0, 10.0)
    one, two = (subject(np.zeros((1, *shape)), affine) for affine in affines)
    point = np.array([[10.0, 12.0, 8.0]])
    there = np.linalg.solve(affines[1], affines[0] @ [*point[0], 1])[:3]
    config = replace(SMALL, grid=8)
    wanted = sight(Placed(scanner=True), one, one.image, config).at(point)
    field = sight(Placed(scanner=True), two, two.image, config).field()
    np.testing.assert_allclose(peaks(field.heat(wanted), field.lattice, 1.0, rng).places[0], there, atol=0.1)


def test_voxels_are_drawn_within_their_structure_and_of_the_smallest_of_several():
    masks = {"body": np.ones((12, 12, 12), bool), "organ": boxed((12, 12, 12), 4, 4, 4)}
    some = [subject(np.random.default_rng(i).random((1, 12, 12, 12)), None, masks, None, f"p{i}") for i in range(2)]
    seen = observe("it", VoxelVectors(voxels.random("fpn1x1")), some, replace(SMALL, sampled=20))
    drawn = seen.upright[0].organs
    inside = masks["organ"][tuple(drawn.points.astype(int).T)]
    assert np.array_equal(inside, drawn.names == "organ")
    assert len(drawn.names) == 40 == len(np.unique(np.c_[drawn.points], axis=0))


def test_centroids_are_landmarks_of_volumes_without_any_and_of_no_image():
    masks = {"a": boxed((12, 12, 12), 1, 2, 3), "b": boxed((12, 12, 12), 5, 5, 5), "none": np.zeros((12, 12, 12), bool)}
    volume = subject(np.zeros((1, 12, 12, 12)), None, masks)
    (found,), _ = marked([volume], [], (), "it")
    assert {name: point.tolist() for name, point in found.landmarks.items()} == {"a": [2, 3, 4], "b": [6, 6, 6]}
    own = replace(volume, landmarks={"c": np.zeros(3)})
    assert marked([own], [volume], (), "it")[1][0].landmarks == {}
    image = subject(np.zeros((1, 12, 12)), None, {"finding": boxed((12, 12), 1, 2)})
    assert marked([image], [], (), "it")[0][0].landmarks == {}


def test_structures_may_be_chosen():
    masks = {name: boxed((12, 12, 12), i, i, i) for i, name in enumerate("abcdefghi")}
    (found,), _ = marked([subject(np.zeros((1, 12, 12, 12)), None, masks)], [], ("i", "b"), "it")
    assert found.structures == ("b", "i") == tuple(found.landmarks)
    np.testing.assert_array_equal(found.mask, [masks["b"], masks["i"]])
    with pytest.raises(SettingError, match="it: no image has a structure 'z'"):
        marked([found], [], ("z",), "it")


def test_tsne_keeps_neighbours_and_says_nothing_of_what_is_all_the_same():
    rng = generator(2)
    vectors = np.repeat(10 * rng.normal(size=(3, 20)), 20, axis=0) + rng.normal(size=(60, 20))
    places = tsne(vectors)
    centres = places.reshape(3, 20, 2).mean(1)
    nearest = np.linalg.norm(places[:, None] - centres[None], axis=2).argmin(1)
    assert (nearest == np.repeat(np.arange(3), 20)).mean() > 0.95
    assert tsne(np.ones((10, 3))) is None


@pytest.mark.usefixtures("own_cache")
def test_a_pyramid_and_its_controls_are_measured_in_volumes(tmp_path: Path):
    encoder = voxels.write(tmp_path / "it.safetensors", "fpn1x2")
    names = [one.name for one in contestants([encoder], 0, "cpu")]
    assert names == ["it", "random", "raw_pixels", "coordinates", "scanner"]
    some = {"measures": ("landmarks", "organs", "levels"), "structures": ("liver", "heart", "kidney_right"), "grid": 3}
    path = measure([encoder], "phantom:?bodies=2&ndim=3&voxel=12", tmp_path / "out", conditions=("upright",), **some)
    rows = results.read(path)
    assert {row.run for row in select(rows, measure="organs")} == set(names)
    assert {row.run for row in select(rows, measure="levels")} == {"it", "random"}
    assert {row.structure for row in select(rows, measure="levels")} == {"level 0", "level 1"}
    assert {row.structure for row in select(rows, measure="landmarks") if not row.patient} <= {*some["structures"], ""}
    with np.load(path.parent / select(rows, name="map", run="it")[0].artefact) as arrays:
        assert arrays["places"].shape == (len(arrays["labels"]), 2) == (2 * 3 * 20, 2)


@pytest.mark.usefixtures("own_cache")
def test_landmarks_of_real_ct_are_centroids_of_what_is_contoured(tmp_path: Path):
    if not HEADNECK.is_dir():
        pytest.skip("no ../shared/data/ct_headneck")
    encoder = voxels.write(tmp_path / "it.safetensors", "fpn1x2", spacing=(12.0, 12.0, 10.0), body=True)
    wanted = ("brainstem", "parotid_left", "larynx", "mandible")
    some = {"measures": ("landmarks",), "conditions": ("upright",), "structures": wanted, "limit": 2, "grid": 4}
    rows = results.read(measure([encoder], f"ct_headneck:{HEADNECK}", tmp_path / "out", split="valid", **some))
    assert {row.structure for row in rows if not row.patient} - {""} == set(wanted)
    data = open_dataset(f"ct_headneck:{HEADNECK}")
    one, two = load(data, data.splits()["valid"][:2], zoo.load(encoder).steps, b"key")
    apart = [
        move(one.affine[:-1], one.centroids[n][None]) - move(two.affine[:-1], two.centroids[n][None]) for n in wanted
    ]
    copied = np.linalg.norm(np.concatenate(apart), axis=1).mean()  # without any search
    assert mean(rows, "error_mm", run="scanner", shots=1) == pytest.approx(copied, rel=0.05)
