import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from fakes.arrays import Arrays, write_arrays
from vesalius.data.build import build, forecast
from vesalius.data.cache import folder_of, key_hash, outdated, read_index, salt_of
from vesalius.data.prepare import RADIOGRAPH, VOLUME, prepare, restore_points
from vesalius.data.scan import Scan
from vesalius.data.steps import ResizeShort, ToUint8
from vesalius.errors import DataError
from vesalius.space.box import Box

STEPS = (ResizeShort(30), ToUint8())
NIH = Path(__file__).resolve().parents[3] / "shared/data/cxr/nih/images"


@pytest.fixture
def built(tmp_path):
    dataset = write_arrays(tmp_path / "data", 5)
    return build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)


def total(cache):
    return sum(int(scan.read().sum()) for scan in cache)


def test_what_is_read_is_what_was_prepared(tmp_path, built):
    dataset = Arrays(tmp_path / "data")
    assert (built.made, built.reused, built.set_aside, len(built.cache)) == (5, 0, (), 5)
    for scan, id in zip(built.cache, dataset.ids, strict=True):
        expected = prepare(dataset.read(id), STEPS)
        assert (scan.read() == expected.scan.image).all()
        assert (scan.id, scan.shape, scan.channels, scan.dtype) == (id, (30, 38), 1, np.uint8)
        assert (scan.unit, scan.spacing, scan.trace) == ("0..1", expected.scan.spacing, expected.trace)
    at = restore_points(np.array([[14.5, 18.5]]), STEPS, built.cache[0].trace)
    np.testing.assert_allclose(at, [[19.5, 24.5]])


@pytest.mark.parametrize(("shape", "dtype"), [((3, 150, 1100), np.uint8), ((1, 70, 33, 90), np.int16)])
def test_a_region_is_the_slice_of_the_whole(tmp_path, shape, dtype):
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "a_0.npy", rng.integers(0, 200, shape).astype(dtype))
    cache = build(Arrays(tmp_path / "data"), ["a_0.npy"], (), tmp_path / "cache", workers=1).cache
    whole = np.load(tmp_path / "data" / "a_0.npy")
    assert (cache[0].read() == whole).all()
    for _ in range(20):
        a, b = np.sort(rng.integers(0, np.add(shape[1:], 1), (2, len(shape) - 1)), axis=0)
        part = cache[0].read(Box(tuple(map(int, a)), tuple(map(int, b))))
        assert part.dtype == dtype
        np.testing.assert_array_equal(part, whole[(slice(None), *map(slice, a, b))])
    with pytest.raises(ValueError, match="not within"):
        cache[0].read(Box((0,) * cache[0].ndim, (9999,) * cache[0].ndim))


def test_a_volume_larger_than_a_read_keeps_its_affine(tmp_path):
    image = np.random.default_rng(0).integers(-1000, 1000, (1, 96, 96, 96)).astype(np.int16)
    affine = np.diag([-1.0, 1, 2, 1])

    class Volume(Arrays):
        def read(self, id):
            return Scan(image, "HU", id=id, affine=affine, spacing=(1.0, 1.0, 2.0))

    dataset = write_arrays(tmp_path / "data", 1)
    scan = build(Volume(dataset.root), dataset.ids, VOLUME, tmp_path / "cache", workers=1).cache[0]
    assert scan.path.stat().st_size > 1 << 20
    assert (scan.read(Box((3, 4, 5), (90, 9, 70))) == image[:, ::-1][:, 3:90, 4:9, 5:70]).all()
    assert (scan.affine == [[1, 0, 0, -95], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]).all()
    assert (scan.unit, scan.spacing, scan.dtype) == ("HU", (1, 1, 2), np.int16)


def test_the_second_call_makes_nothing_and_a_new_image_makes_one(tmp_path, built):
    dataset = write_arrays(tmp_path / "data", 6)
    again = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    assert (again.reused, again.made) == (5, 1)
    assert again.cache.entries[:5] == built.cache.entries


def test_a_changed_source_is_prepared_again_and_a_touched_one_is_not_decoded(tmp_path, built):
    dataset = Arrays(tmp_path / "data")
    first, second = dataset.ids[:2]
    np.save(tmp_path / "data" / first, np.full((1, 40, 50), 9, np.uint8))
    os.utime(tmp_path / "data" / second, ns=(1, 1))
    before = built.cache[1].path.stat().st_mtime_ns
    again = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    assert (again.reused, again.made) == (3, 2)
    assert (again.cache[0].read() == 9).all()
    assert again.cache[1].path == built.cache[1].path
    assert again.cache[1].path.stat().st_mtime_ns == before


def test_other_steps_another_folder_and_other_patients_another_hash(tmp_path, built):
    dataset = Arrays(tmp_path / "data", prefix="x")
    other = build(dataset, dataset.ids, RADIOGRAPH, tmp_path / "cache", workers=1)
    assert other.cache.folder != built.cache.folder
    same = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    assert (same.cache.folder, same.made) == (built.cache.folder, 5)
    assert {scan.patient for scan in same.cache}.isdisjoint({scan.patient for scan in built.cache})


def test_what_an_earlier_format_left_is_found_and_never_read(tmp_path, built):
    root, dataset = tmp_path / "cache", Arrays(tmp_path / "data")
    assert outdated(root, STEPS) == ()
    built.cache.folder.rename(old := folder_of(root, STEPS, 1))
    again = build(dataset, dataset.ids, STEPS, root, workers=1)
    assert (again.made, again.reused, again.cache.folder) == (5, 0, built.cache.folder)
    assert outdated(root, STEPS) == (old,)
    assert outdated(root, RADIOGRAPH) == ()


def test_equal_bytes_are_stored_once(tmp_path):
    dataset = write_arrays(tmp_path / "data", 2)
    (tmp_path / "data" / "patient9_9.npy").write_bytes((tmp_path / "data" / dataset.ids[0]).read_bytes())
    cache = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1).cache
    assert cache[0].path == cache[2].path
    assert len(list(cache.folder.rglob("*.b2nd"))) == 2
    assert cache[0].patient != cache[2].patient


def test_patients_and_ids_are_nowhere_in_the_cache(tmp_path, built):
    scans = list(built.cache)
    assert [scans[0].patient == scans[1].patient, scans[1].patient == scans[2].patient] == [True, False]
    assert scans[0].patient == key_hash(salt_of(tmp_path / "cache"), "patient0")
    for file in filter(Path.is_file, (tmp_path / "cache").rglob("*")):
        assert b"patient" not in file.read_bytes() or file.name == "index.jsonl"
        assert b"patient0" not in file.read_bytes()
        assert "patient" not in file.name
    assert (tmp_path / "cache" / "salt").stat().st_mode & 0o777 == 0o600


def test_bad_files_are_set_aside_and_named_until_they_are_mended(tmp_path):
    dataset = write_arrays(tmp_path / "data", 3)
    (tmp_path / "data" / "b_torn.npy").write_bytes(b"\x93NUMPY\x01\x00")
    np.save(tmp_path / "data" / "c_nan.npy", np.full((1, 40, 50), np.nan))
    built = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    assert [id for id, _, _ in built.set_aside] == ["b_torn.npy", "c_nan.npy"]
    rows = [json.loads(line) for line in (built.cache.folder / "set_aside.jsonl").read_text().splitlines()]
    reason = "2000 of 2000 values are NaN or infinite. Replace them or remove the file."
    assert rows[1] == {"file": str(dataset.path("c_nan.npy")), "reason": reason}
    np.save(tmp_path / "data" / "c_nan.npy", np.zeros((1, 40, 50)))
    again = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    assert (again.made, again.reused, [id for id, _, _ in again.set_aside]) == (1, 3, ["b_torn.npy"])
    assert len((built.cache.folder / "set_aside.jsonl").read_text().splitlines()) == 1


def test_nothing_readable_and_nothing_at_all_are_errors(tmp_path):
    (tmp_path / "a_0.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"a_0\.npy: none of the first 1 of 1 images"):
        build(Arrays(tmp_path), ["a_0.npy"], STEPS, tmp_path / "cache", workers=1)
    with pytest.raises(DataError, match="no images"):
        build(Arrays(tmp_path), [], STEPS, tmp_path / "cache", workers=1)


def test_a_wrong_setting_is_said_before_all_files_are_tried(tmp_path):
    dataset, seen = write_arrays(tmp_path / "data", 50, (1, 8, 8)), []
    with pytest.raises(
        DataError,
        match=r"none of the first 16 of 50 .* an image of 8 x 8 voxels where 3-D ones are needed\. Set ndim to 2",
    ):
        build(dataset, dataset.ids, VOLUME, tmp_path / "c", workers=1, progress=lambda *now: seen.append(now))
    assert seen[-1] == (16, 50)
    for i in range(49):
        (tmp_path / "data" / dataset.ids[i]).write_bytes(b"")
    assert len(build(dataset, dataset.ids[33:], STEPS, tmp_path / "c", workers=1).cache) == 1


def test_workers_give_what_one_process_gives_name_a_crash_and_report_progress(tmp_path, built):
    dataset = write_arrays(tmp_path / "data", 20)
    np.save(tmp_path / "data" / "crash_1.npy", np.zeros((1, 40, 50), np.uint8))
    seen = []
    many = build(dataset, dataset.ids, STEPS, tmp_path / "two", workers=2, progress=lambda *now: seen.append(now))
    alone = build(dataset, many.cache.ids, STEPS, tmp_path / "one", workers=1)
    assert many.set_aside == (("crash_1.npy", dataset.path("crash_1.npy"), "the process that read it crashed"),)
    assert len(many.cache) == 20
    assert all((a.read() == b.read()).all() for a, b in zip(many.cache, alone.cache, strict=True))
    assert seen[0] == (0, 21)
    assert seen[-1] == (21, 21)
    assert sorted(seen) == seen


def test_pickled_forked_spawned_and_threaded_readers_agree(built):
    expected = total(built.cache)
    assert total(pickle.loads(pickle.dumps(built.cache))) == expected
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(total, (built.cache,)) == expected
    child = os.fork() if len(os.listdir("/proc/self/task")) == 1 else None
    if child == 0:
        os._exit(0 if total(built.cache) == expected else 1)
    if child is not None:
        assert os.waitpid(child, 0)[1] == 0
    sums = []
    threads = [Thread(target=lambda: sums.append([total(built.cache) for _ in range(5)])) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sums == [[expected] * 5] * 4


def test_slices_are_caches_and_negative_indices_count_from_the_end(built):
    assert [scan.id for scan in built.cache[1:3]] == list(built.cache.ids[1:3])
    assert built.cache[-1].id == built.cache.ids[-1]
    with pytest.raises(IndexError):
        built.cache[5]


@pytest.mark.parametrize("damage", [b"", b"not a frame at all", None])
def test_a_damaged_array_is_named_and_made_again(tmp_path, built, damage):
    path = built.cache[2].path
    path.write_bytes(path.read_bytes()[:-50] if damage is None else damage)
    with pytest.raises(DataError, match=f"{path.name}.*Delete it and prepare again"):
        built.cache[2].read()
    dataset = Arrays(tmp_path / "data")
    again = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    assert (again.reused, again.made) == (4, 1)
    assert (again.cache[2].read() == prepare(dataset.read(dataset.ids[2]), STEPS).scan.image).all()


def test_an_array_that_is_gone_is_an_error_that_says_what_to_do(built):
    built.cache[0].path.unlink()
    with pytest.raises(DataError, match=r"gone from the cache\. Prepare again"):
        built.cache[0].read()


def test_a_torn_line_costs_one_scan_whatever_its_length(tmp_path, built):
    index = built.cache.folder / "index.jsonl"
    content, dataset = index.read_bytes(), Arrays(tmp_path / "data")
    last = content.splitlines(keepends=True)[-1]
    for cut in (1, 2, len(last) // 2, len(last) - 1):
        index.write_bytes(content[:-cut])
        assert len(read_index(built.cache.folder)) == 4
        again = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
        assert (again.reused, again.made, len(read_index(built.cache.folder))) == (4, 1, 5)
    index.write_bytes(b"\xff\x00{]\n[1]\n3\n" + content)
    assert build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1).reused == 5


KILLED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # who was started in the background ignores it
from pathlib import Path
from fakes.arrays import Arrays
from vesalius.data.build import build
from vesalius.data.steps import ResizeShort, ToUint8

class Slow(Arrays):
    def read(self, id):
        time.sleep(0.1)
        return super().read(id)

data = Slow(Path(sys.argv[1]))
def progress(done, total):
    print(done, flush=True)
build(data, data.ids, (ResizeShort(30), ToUint8()), Path(sys.argv[2]), workers=2, progress=progress)
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle_no_worker_stays_and_the_next_call_does_the_rest(tmp_path, kill):
    dataset = write_arrays(tmp_path / "data", 60)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", KILLED, dataset.root, tmp_path / "cache"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        while int(process.stdout.readline()) < 10:
            pass
        process.send_signal(kill)
        process.communicate(timeout=30)  # ends when the last worker has let go of its standard output
        assert process.returncode != 0
    again = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    assert again.reused >= 10
    assert again.reused + again.made == 60
    assert all((s.read() == prepare(dataset.read(s.id), STEPS).scan.image).all() for s in again.cache)


def test_a_full_disk_names_the_file_and_leaves_nothing_torn(tmp_path):
    dataset = write_arrays(tmp_path / "data", 2, (1, 300, 300))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"b2nd: cannot be written \(File too large\)\. Free some space"):
            build(dataset, dataset.ids, (), tmp_path / "cache", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "cache").rglob("*.b2nd*"))
    assert build(dataset, dataset.ids, (), tmp_path / "cache", workers=1).made == 2


def test_too_small_a_disk_is_said_early(tmp_path, monkeypatch):
    dataset = write_arrays(tmp_path / "data", 30)
    usage = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr("vesalius.data.build.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match="GB more are needed"):
        build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    monkeypatch.undo()
    assert build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1).reused >= 8


def test_the_forecast_is_near_and_writes_nothing(tmp_path):
    dataset = write_arrays(tmp_path / "data", 20)
    guess = forecast(dataset, dataset.ids, STEPS)
    built = build(dataset, dataset.ids, STEPS, tmp_path / "cache", workers=1)
    assert guess.bytes == pytest.approx(sum(e.stored for e in built.cache.entries), rel=0.1)
    assert guess.sampled == 8
    assert guess.seconds > 0


def test_a_cache_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    dataset = write_arrays(tmp_path / "data", 1)
    with pytest.raises(DataError, match="cannot be written"):
        build(dataset, dataset.ids, STEPS, tmp_path / "file", workers=1)


def test_a_damaged_salt_is_an_error(tmp_path, built):
    (tmp_path / "cache" / "salt").write_bytes(b"short")
    with pytest.raises(DataError, match="salt of the cache is damaged"):
        salt_of(tmp_path / "cache")


def test_real_radiographs(tmp_path):
    if not NIH.is_dir():
        pytest.skip("the radiographs of ../shared/data/cxr/nih are not here")
    from vesalius.data.datasets import open_dataset

    dataset = open_dataset(str(NIH))
    built = build(dataset, dataset.ids[:20], RADIOGRAPH, tmp_path, workers=2)
    assert (built.made, built.set_aside) == (20, ())
    assert {(min(s.shape), s.channels, s.dtype.name, s.unit) for s in built.cache} == {(512, 1, "uint8", "0..1")}
    part = Box((100, 50), (400, 420))
    whole = prepare(dataset.read(built.cache[7].id), RADIOGRAPH).scan.image
    assert (built.cache[7].read(part) == whole[:, 100:400, 50:420]).all()
