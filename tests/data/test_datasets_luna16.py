"""LUNA16: nodules and candidates from mm to voxels, folds, the draw of negatives, and cubes round candidates."""

import shutil
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import luna16
from fakes.luna16 import DARK, MARKED, NODULES, SPACING, UID, VALUE
from vesalius.data import files
from vesalius.data.build import build
from vesalius.data.datasets import luna16 as module
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import prepare
from vesalius.data.scan import Scan
from vesalius.data.steps import Canonical, Spacing
from vesalius.errors import DataError, SettingError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return luna16.write(tmp_path_factory.mktemp("luna16"))


def opened(root: Path, query: str = "") -> Any:
    return open_dataset(f"luna16:{root}{query}")


def test_boxes_are_round_the_nodules_whichever_way_the_scan_lies(root: Path) -> None:
    data = opened(root)
    for series, nodules in NODULES.items():
        boxes = data.labels(series).boxes["nodule"]
        for box, (voxel, diameter) in zip(boxes, nodules, strict=True):
            np.testing.assert_allclose((box[:3] + box[3:] - 1) / 2, voxel, atol=1e-5)
            np.testing.assert_allclose(box[3:] - box[:3], diameter / SPACING)
            assert data.read(series).image[0][voxel] == VALUE
    assert dict(data.labels(f"{UID}11").boxes) == {}


def test_subsets_are_folds_and_the_last_three_are_held_out(root: Path) -> None:
    ids = tuple(luna16.SUBSETS)
    assert opened(root).splits() == {"train": ids[:3], "test": ids[3:]}
    assert opened(root, "?held_out=0").splits() == {"train": ids[2:], "test": ids[:2]}
    assert opened(root, "?held_out=5").splits() == {"train": ids}
    assert opened(root).notes == ("Subsets 1, 2, 4, 5, 6, 7, 8 are not here.",)
    every = opened(root, "?task=candidates").splits()
    assert {part: {id.partition("/")[0] for id in some} for part, some in every.items()} == {
        "train": set(ids[:3]),
        "test": set(ids[3:]),
    }


def test_a_candidate_is_a_cube_of_48_mm_round_its_place(root: Path) -> None:
    data, scans = opened(root, "?task=candidates"), opened(root)
    for series, voxels in MARKED.items():
        whole = scans.read(series)
        for voxel in voxels:
            found = data.read(f"{series}/" + ",".join(f"{mm:.8f}" for mm in luna16.world(series, voxel)))
            np.testing.assert_allclose(np.array(found.shape) * SPACING, 48, atol=1.3)
            start = np.linalg.solve(whole.affine, found.affine)[:3, 3].round().astype(int)
            assert np.abs(start + (np.array(found.shape) - 1) / 2 - voxel).max() <= 0.5
            for near in (voxel, np.add(voxel, (3, -2, 4)), (0, 27, 9)):
                assert found.image[0][tuple(near - start)] == whole.image[0][tuple(near)]
            below = max(0, -int(start[2]))
            assert (found.image[0, :, :, :below] == -1000).all()  # beyond the scan there is air


def test_at_one_mm_a_cube_has_48_voxels_with_the_nodule_in_the_middle(root: Path) -> None:
    data = opened(root, "?task=candidates")
    id = next(id for id in data.ids if id.startswith(luna16.TURNED) and data.labels(id).classes["nodule"])
    made = prepare(data.read(id), [Canonical(), Spacing((1.0, 1.0, 1.0), upsample=True)]).scan
    assert max(abs(side - 48) for side in made.shape) <= 1
    assert made.spacing == pytest.approx((1, 1, 1), abs=0.02)
    assert np.abs(np.array(np.unravel_index(made.image[0].argmax(), made.shape)) - 24).max() <= 2


def test_negatives_are_so_many_a_positive_in_each_subset_drawn_evenly_from_its_scans(root: Path) -> None:
    positives = {0: 3, 3: 1, 9: 1}
    for asked in (1, 2):
        data = opened(root, f"?task=candidates&negatives={asked}")
        dark = [id for id in data.ids if not data.labels(id).classes["nodule"]]
        assert Counter(map(data.subset, dark)) == {subset: asked * n for subset, n in positives.items()}
        of = Counter(map(data.patient, dark))
        assert abs(of[f"{UID}10"] - of[f"{UID}11"]) <= 1
        assert [data.complete(series) for series in of] == [kept == DARK for kept in of.values()]
    few, many = (set(opened(root, f"?task=candidates&negatives={n}").ids) for n in (1, 2))
    assert few < many < set(opened(root, "?task=candidates&negatives=0").ids)
    assert set(opened(root, "?task=candidates&seed=1").ids) != many
    mixed = opened(root, "?task=candidates&negatives=1&test_negatives=0")  # subset 9 is the test
    assert {id for id in mixed.ids if mixed.subset(id) != 9} == {id for id in few if mixed.subset(id) != 9}
    assert [mixed.complete(series) for series in (f"{UID}10", f"{UID}90")] == [False, True]


def test_the_draw_does_not_depend_on_the_order_of_the_table(tmp_path: Path, root: Path) -> None:
    copy = shutil.copytree(root, tmp_path / "root")
    table = copy / "candidates_V2.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join((head, *reversed(rows))))
    assert opened(copy, "?task=candidates").ids == opened(root, "?task=candidates").ids


def test_every_candidate_of_class_1_is_of_a_nodule_of_its_scan(root: Path) -> None:
    data = opened(root, "?task=candidates&negatives=0")
    found = {id: data.lesion(id) for id in data.ids}
    marked = Counter((data.patient(id), lesion) for id, lesion in found.items() if lesion is not None)
    assert marked == {(f"{UID}10", 0): 2, (f"{UID}10", 1): 1, (f"{UID}30", 0): 1, (f"{UID}90", 0): 1}
    assert sum(lesion is None for lesion in found.values()) == DARK * luna16.IMAGES
    assert [data.lesions(series) for series in luna16.SUBSETS] == [len(NODULES.get(s, ())) for s in luna16.SUBSETS]
    assert sum(len(some) for some in MARKED.values()) == sum(marked.values())


def test_candidates_of_one_scan_are_cached_apart_and_known_again(tmp_path: Path, root: Path) -> None:
    data = opened(root, "?task=candidates&negatives=1")
    steps = [Canonical()]
    one = build(data, data.ids, steps, tmp_path, workers=1)
    assert (one.made, one.set_aside) == (len(data.ids), ())
    assert len({data.content(id) for id in data.ids}) == len(data.ids)
    for scan, id in zip(one.cache, data.ids, strict=True):
        expected: Scan = prepare(data.read(id), steps).scan
        assert (scan.read() == expected.image).all()
    assert build(data, data.ids, steps, tmp_path, workers=1).reused == len(data.ids)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Any]]:
    """Each file that is read from here on, and its image for as long as anyone holds it."""
    real, found = files.read, []

    def read(path: Path) -> Scan:
        scan = real(path)
        found.append((path, weakref.ref(scan.image)))
        return scan

    monkeypatch.setattr(files, "read", read)
    module._volume.cache_clear()
    return found


def test_in_the_order_of_ids_each_scan_is_read_once_and_held_alone(root: Path, made: list[tuple[Path, Any]]) -> None:
    data = opened(root, "?task=candidates&negatives=0")
    cubes = []
    for id in data.ids:
        cubes.append(data.read(id))
        assert sum(image() is not None for _, image in made) == 1  # no cube holds on to its scan
    assert sorted(path for path, _ in made) == sorted({data.path(id) for id in data.ids})
    for i in np.random.default_rng(0).permutation(len(cubes)):
        cube = cubes[i]
        alone = data.read(cube.id)
        np.testing.assert_array_equal(cube.image, alone.image)
        np.testing.assert_array_equal(cube.affine, alone.affine)
        assert (cube.patient, cube.spacing, cube.meta) == (alone.patient, alone.spacing, alone.meta)


def test_what_cannot_be_meant_is_said(tmp_path: Path, root: Path) -> None:
    for query, said in (("?task=candidate", "Did you mean 'candidates'"), ("?held_out=10", "Subsets are 0 to 9")):
        with pytest.raises(SettingError, match=said):
            opened(root, query)
    copy = shutil.copytree(root, tmp_path / "root")
    table = copy / "candidates_V2.csv"
    whole = table.read_text()
    for wrong, said in (
        (whole.replace(",1\n", ",2\n", 1), r"candidates_V2\.csv: class '2' of"),
        (whole.replace("coordZ", "z"), r"candidates_V2\.csv: has no column 'coordZ'"),
        ("\n".join((whole.splitlines()[0], whole.splitlines()[-1])), r"candidates_V2\.csv: names no scan that is here"),
    ):
        table.write_text(wrong)
        with pytest.raises(DataError, match=said):
            opened(copy, "?task=candidates")
    table.write_text(whole + luna16.line(f"{UID}10", (10, 10, 99), 0) + "\n")
    far = next(id for id in opened(copy, "?task=candidates&negatives=0").ids if id.endswith(",47.50000000"))
    with pytest.raises(DataError, match="lies outside of its scan"):
        opened(copy, "?task=candidates&negatives=0").read(far)
    (copy / "annotations.csv").write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\na,1,x,2,3\n")
    with pytest.raises(DataError, match=r"annotations\.csv: 1, x, 2, 3 are not all numbers"):
        opened(copy).labels(f"{UID}10")
