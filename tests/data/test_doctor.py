import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import chestxray14, eyepacs, folder
from fakes.pictures import radiograph, smooth
from vesalius.data.datasets import open_dataset
from vesalius.data.doctor import inspect
from vesalius.data.duplicates import CORRELATION, groups, hashes, near_pairs, thumbnail
from vesalius.data.examine import Looked, Unreadable, examine, polarity
from vesalius.errors import SettingError

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "cxr"
real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data with real scans is not here")


def radiographs(n, shape=(96, 96)):
    return [radiograph(np.random.default_rng(i), shape) for i in range(n)]


def copy(image, scale=0.7, quality=60, contrast=0.9):
    """The same image resized, with another contrast, encoded anew."""
    small = Image.fromarray(image).resize((round(image.shape[1] * scale), round(image.shape[0] * scale)), Image.BICUBIC)
    stream = io.BytesIO()
    small.point(lambda v: int(v * contrast + 5)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def look(root, name="x.png"):
    data = open_dataset(str(root))
    return examine(data, name)


def report(root, how="?manifest=manifest.csv"):
    return inspect(open_dataset(f"{root}{how}"), workers=1)


def kinds(found):
    return {finding.kind: finding for finding in found.findings}


@pytest.fixture
def root(tmp_path):
    return folder.write(tmp_path / "root")


def test_thumbnail_is_the_mean_over_blocks():
    image = np.random.default_rng(0).integers(0, 255, (3, 64, 96))
    slow = image.mean(axis=0).reshape(32, 2, 32, 3).mean(axis=(1, 3)).ravel()
    slow = (slow - slow.mean()) / np.linalg.norm(slow - slow.mean())
    assert thumbnail(image) == pytest.approx(slow, abs=1e-3)


def test_thumbnail_of_any_shape_and_of_a_constant():
    for shape in ((1, 1, 1), (1, 5, 300), (2, 31, 33), (1, 20, 40, 33)):
        assert np.isfinite(thumbnail(np.random.default_rng(0).random(shape))).all()
    assert not thumbnail(np.full((1, 50, 50), 7)).any()


def test_near_pairs_are_the_copies_and_nothing_else():
    images = radiographs(40)
    copies = [copy(image) for image in images[::4]]
    thumbs = np.stack([thumbnail(image[None]) for image in (*images, *copies)])
    assert near_pairs(thumbs) == [(4 * i, 40 + i) for i in range(10)]


def test_near_pairs_agree_with_every_pair_compared():
    rng = np.random.default_rng(0)
    base = np.stack([thumbnail(smooth(rng, (32, 32))[None]) for _ in range(100)]).astype(np.float32)
    shaken = base + rng.uniform(0, 0.006, (100, 1)) * rng.standard_normal(base.shape)
    thumbs = np.concatenate((base, shaken)).astype(np.float16)
    thumbs = (thumbs / np.linalg.norm(thumbs.astype(np.float32), axis=1, keepdims=True)).astype(np.float16)
    codes = np.unpackbits(hashes(thumbs).view(np.uint8), axis=1)
    correlation = thumbs.astype(np.float32) @ thumbs.astype(np.float32).T
    truth = {
        (i, j) for i, j in np.argwhere(np.triu(correlation >= CORRELATION, 1)) if (codes[i] != codes[j]).sum() <= 15
    }
    assert truth <= set(near_pairs(thumbs))  # nothing within 15 bits is missed
    assert all(correlation[i, j] >= CORRELATION - 1e-3 for i, j in near_pairs(thumbs))


def test_near_pairs_of_all_alike_stay_linear():
    thumbs = np.repeat(thumbnail(radiographs(1)[0][None])[None], 800, axis=0)
    assert len(near_pairs(thumbs)) <= 800 * 64 * 16
    assert near_pairs(thumbs[:1]) == near_pairs(np.zeros((3, 1024), np.float16)) == []


def test_groups_of_equal_keys():
    assert groups(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]


def test_inversion_turns_the_polarity_round():
    for image in radiographs(20):
        small = thumbnail(image[None])
        assert polarity(small) > 0.3
        assert polarity(thumbnail(255 - image[None])) == pytest.approx(-polarity(small), abs=1e-2)


@real
@pytest.mark.parametrize(("name", "most"), [("nih", 1), ("hannover", 1), ("wingspan", 0)])
def test_polarity_of_real_radiographs(name, most):
    files = sorted((REAL / name / "images").glob("*.jpg"))[:: 2 if name == "hannover" else 8]
    scores = [polarity(thumbnail(np.asarray(Image.open(file))[None])) for file in files]
    assert sum(score < 0 for score in scores) <= most  # and as many inverted copies are missed


def test_a_sound_folder_is_found_sound(root):
    found = report(root)
    assert (found.images, found.patients, found.images_per_patient, found.ok) == (6, 3, (2, 2, 2), True)
    assert found.findings == ()
    assert found.units == {"0..1 uint8, 1 channel(s)": 6}
    assert found.forecast.bytes > 0
    assert found.forecast.seconds > 0


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no image at all"])
def test_unreadable_files_are_named_with_their_reason(root, content):
    (root / "p001/a0.png").write_bytes(content)
    found = report(root)
    ((name, reason),) = kinds(found)["unreadable"].groups
    assert name == "p001/a0.png"
    assert reason
    assert not found.ok


def test_nothing_readable_and_a_single_image_are_reports_too(tmp_path):
    root = folder.write(tmp_path / "one", patients=1, images=1)
    assert report(root).images_per_patient == (1, 1, 1)
    (root / "p000/a0.png").write_bytes(b"")
    found = report(root)
    assert (found.forecast, found.shapes, found.ok) == (None, {}, False)
    assert "p000/a0.png" in found.text()


def test_copies_across_patients_are_leaks_and_within_one_are_not(root):
    (root / "p000/a1.png").write_bytes((root / "p000/a0.png").read_bytes())
    Image.fromarray(copy(np.asarray(Image.open(root / "p001/a0.png")))).save(root / "p002/a0.png")
    found = kinds(report(root))
    assert found["exact duplicates"].groups == (("p000/a0.png", "p000/a1.png"),)
    assert found["near duplicates, leak"].groups == (("p001/a0.png", "p002/a0.png"),)
    assert found["near duplicates, leak"].severity == "error"


def test_unknown_patients_are_said_loudly(root):
    found = report(root, how="")
    assert "Patients are unknown" in found.text()
    assert found.patients == 6


def test_constant_saturated_and_inverted_images(root):
    image = np.asarray(Image.open(root / "p000/a0.png"))
    Image.new("L", (96, 96), 9).save(root / "p000/a0.png")
    Image.fromarray(np.where(image > 90, 255, image)).save(root / "p001/a0.png")
    Image.fromarray(255 - image).save(root / "p002/a0.png")
    found = kinds(report(root))
    assert found["constant"].groups == (("p000/a0.png",),)
    assert found["saturated"].groups == (("p001/a0.png",),)
    assert found["inverted"].groups == (("p002/a0.png",),)


def test_mixed_units_and_fractions_outside_are_reported(root):
    Image.fromarray(np.float32(radiographs(1)[0]) - 50).save(root / "p000/a2.tif")
    assert "units are mixed" in kinds(report(root, how=""))["unit"].text


def test_patients_in_two_splits_are_counted_and_not_named(tmp_path):
    root = chestxray14.write(tmp_path / "root")
    with (root / "test_list.txt").open("a") as file:
        file.write("\n00000001_001.png")
    found = inspect(open_dataset(f"chestxray14:{root}"), workers=1)
    assert "1 patients are both in train_val and in test" in kinds(found)["patients"].text
    assert not found.ok
    assert found.splits == {"train_val": (3, 2), "test": (2, 2)}


def test_facts_are_compared_with_what_is_counted(tmp_path):
    found = inspect(open_dataset(f"chestxray14:{chestxray14.write(tmp_path / 'root')}"), workers=1)
    assert "4 images here, 112,120 published" in found.text()
    assert "partial download" in found.text()
    assert "split test: 1 images of 1 patients" in found.text()


def test_colour_photographs_have_no_polarity(tmp_path):
    data = open_dataset(f"eyepacs:{eyepacs.write(tmp_path / 'root')}")
    assert examine(data, data.ids[0]).polarity is None


def test_no_report_holds_a_patient(tmp_path):
    root = folder.write(tmp_path / "root")
    names = (root / "manifest.csv").read_text()
    for number in range(3):
        names = names.replace(f",{number:03}", f",SECRET{number}")
    (root / "manifest.csv").write_text(names)
    (root / "p000/a1.png").write_bytes((root / "p001/a0.png").read_bytes())
    found = report(root)
    assert kinds(found)["exact duplicates, leak"].groups
    assert "SECRET" not in json.dumps(found.as_dict()) + found.text()


def test_two_workers_see_what_one_sees_and_progress_ends_at_all(root):
    data, seen = open_dataset(f"{root}?manifest=manifest.csv"), []
    alone, together = (inspect(data, workers=n, progress=lambda *at: seen.append(at)) for n in (1, 2))
    assert alone.findings == together.findings
    assert alone.shapes == together.shapes
    assert seen[-1] == (6, 6)


def test_a_sample_is_spread_and_patients_are_counted_in_full(root):
    found = inspect(open_dataset(f"{root}?manifest=manifest.csv"), sample=2, workers=1)
    assert (found.examined, found.images, found.patients) == (2, 6, 3)
    with pytest.raises(SettingError):
        inspect(open_dataset(str(root)), sample=0)


def test_nan_pixels_are_seen(root, monkeypatch):
    from vesalius.data import files
    from vesalius.data.scan import Scan

    image = np.full((1, 40, 40), np.nan, np.float32)
    image[0, :20] = np.linspace(0, 1, 800).reshape(20, 40)
    monkeypatch.setattr(files, "read", lambda path: Scan(image, "0..1"))
    found = look(root, "p000/a0.png")
    assert isinstance(found, Looked)
    assert found.not_finite == 800
    monkeypatch.setattr(files, "read", lambda path: Scan(image[:, :0], "0..1"))
    assert isinstance(look(root, "p000/a0.png"), Unreadable)
