"""LiTS and BraTS 2018: structures that lie in each other, modalities as channels, lists that make the split."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import brats18, lits
from fakes.volumes import LPS, dots, mr, save
from vesalius.data.build import build
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import prepare, restore_image
from vesalius.data.steps import Percentiles
from vesalius.errors import DataError

FIRST = "Brats18_2013_2_1"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {fake.__name__[6:]: fake.write(tmp_path_factory.mktemp("root")) for fake in (brats18, lits)}


def opened(name: str, root: Path, query: str = "") -> Any:
    return open_dataset(f"{name}:{root}{query}")


def test_a_tumour_of_the_liver_is_liver(roots: dict[str, Path]) -> None:
    data = opened("lits", roots["lits"])
    for id in data.maps:
        labels, values = data.labels(id), dots((1, 1) if id == "volume-130" else (1, 1, 1, 2, 2), int(id[7:]))
        assert labels.structures == ("liver", "tumour")
        assert (labels.mask == np.stack([values > 0, values == 2])).all()
        assert labels.known.all()
    assert data.splits()["unlabelled"] == ("test-volume-0",)
    assert data.splits()["train"] == ("volume-0", "volume-130", "volume-27", "volume-28")


def test_lits_is_found_in_one_folder_too_and_a_volume_twice_is_refused(tmp_path: Path, roots: dict[str, Path]) -> None:
    for batch in lits.BATCHES:
        shutil.copytree(roots["lits"] / batch, tmp_path / "flat", dirs_exist_ok=True)
    assert len(opened("lits", tmp_path / "flat").ids) == 4
    shutil.copytree(roots["lits"] / "Training Batch 1", tmp_path / "flat" / "again")
    with pytest.raises(DataError, match=r"has segmentation-0 twice"):
        opened("lits", tmp_path / "flat")


def test_brats_reads_four_modalities_in_their_order(roots: dict[str, Path]) -> None:
    scan = opened("brats18", roots["brats18"]).read(FIRST)
    assert (scan.image == np.stack([brats18.image(0, channel) for channel in range(4)])).all()
    assert (scan.unit, scan.meta["modality"]) == ("arbitrary", "MR")


def test_each_modality_is_brought_to_0_1_by_its_own_values(roots: dict[str, Path]) -> None:
    scan = opened("brats18", roots["brats18"]).read(FIRST)
    image = scan.image.copy()
    image[2] = 7  # a modality that shows nothing
    all4 = prepare(replace(scan, image=image), [Percentiles()])
    for channel, made in enumerate(all4.scan.image):
        (alone,) = prepare(replace(scan, image=image[channel : channel + 1]), [Percentiles()]).scan.image
        assert (made == alone).all()
        assert made.max() == (0 if channel == 2 else 65535)
    inside = (all4.scan.image > 0) & (all4.scan.image < 65535)
    assert (restore_image(all4.scan.image, [Percentiles()], all4.trace) == image)[inside].all()


def test_the_three_structures_lie_in_each_other(roots: dict[str, Path]) -> None:
    data = opened("brats18", roots["brats18"])
    for number, case in enumerate(brats18.HOMES):
        values = dots((1, 2, 2, 4) if brats18.HOMES[case] == "HGG" else (1, 2, 2), number)
        whole, core, enhancing = data.labels(case).mask
        assert (whole == (values > 0)).all()
        assert (core == np.isin(values, (1, 4))).all()
        assert (enhancing == (values == 4)).all()
        assert (whole >= core).all()
        assert (core >= enhancing).all()


def test_lists_make_the_split_of_brats(tmp_path: Path, roots: dict[str, Path]) -> None:
    names = list(brats18.HOMES)
    for part, lines in (("a", names[:2]), ("b", [f"/data/HGG/{names[2]}/"]), ("c", [names[3]])):
        (tmp_path / f"{part}.txt").write_text("\n".join(lines))
    query = "&".join(
        f"{part}_list={tmp_path}/{file}.txt" for part, file in zip(("train", "val", "test"), "abc", strict=True)
    )
    assert opened("brats18", roots["brats18"], f"?{query}").splits() == {
        "train": tuple(sorted(names[:2])),
        "val": (names[2],),
        "test": (names[3],),
        "unlabelled": ("Brats18_CBICA_ABT_1",),
    }
    (tmp_path / "c.txt").write_text(f"{names[3]}\nBrats18_gone_1\n")
    with pytest.raises(DataError, match=r"c\.txt: names 'Brats18_gone_1', which is not here"):
        opened("brats18", roots["brats18"], f"?{query}").splits()
    (tmp_path / "c.txt").write_text(f"{names[3]}\nBrats18_CBICA_ABT_1\n")  # without a label map
    with pytest.raises(DataError, match=r"c\.txt: names 'Brats18_CBICA_ABT_1', which is not here with a label map"):
        opened("brats18", roots["brats18"], f"?{query}").splits()
    assert opened("brats18", roots["brats18"], f"?{query}&partial=yes").splits()["test"] == (names[3],)


def test_a_modality_that_is_absent_or_elsewhere_is_an_error(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = shutil.copytree(roots["brats18"], tmp_path / "root")
    flair = root / "HGG" / FIRST / f"{FIRST}_flair.nii.gz"
    before = opened("brats18", root).content(FIRST)
    save(flair, mr(99))
    assert opened("brats18", root).content(FIRST) != before
    save(flair, mr(99), LPS + np.eye(4, k=3))
    with pytest.raises(DataError, match=r"_flair\.nii\.gz: lies elsewhere"):
        opened("brats18", root).read(FIRST)
    shutil.copy(root / "HGG" / FIRST / f"{FIRST}_t1.nii.gz", flair)
    shutil.copy(flair, root / "LGG" / flair.name)
    with pytest.raises(DataError, match=rf"has {FIRST}_flair twice"):
        opened("brats18", root)


def test_a_change_of_any_modality_is_seen_by_the_cache(tmp_path: Path, roots: dict[str, Path]) -> None:
    data = opened("brats18", shutil.copytree(roots["brats18"], tmp_path / "root"), "?only=train")
    assert build(data, [FIRST], [Percentiles()], tmp_path / "cache", workers=1).made == 1
    assert build(data, [FIRST], [Percentiles()], tmp_path / "cache", workers=1).reused == 1
    save(data.path(FIRST).with_name(f"{FIRST}_flair.nii.gz"), mr(99))
    again = build(data, [FIRST], [Percentiles()], tmp_path / "cache", workers=1)
    assert again.made == 1
    assert (again.cache[0].read() == prepare(data.read(FIRST), [Percentiles()]).scan.image).all()


def test_a_patient_who_lacks_a_modality_is_left_out_and_noted(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = shutil.copytree(roots["brats18"], tmp_path / "root")
    assert opened("brats18", root).notes == ()
    for path in root.glob(f"HGG/{FIRST}/*_flair.nii.gz"):
        path.unlink()
    data = opened("brats18", root)
    assert set(opened("brats18", roots["brats18"]).ids) - set(data.ids) == {FIRST}
    assert FIRST not in data.maps
    assert data.notes == (f"1 patients are left out, who lack a modality: {FIRST} (no flair).",)
    (root / "list.txt").write_text(FIRST)
    with pytest.raises(DataError, match=rf"list\.txt: names '{FIRST}', which is not here"):
        opened("brats18", root, "?train_list=list.txt").splits()
    for path in root.rglob("*_t2.nii.gz"):
        path.unlink()
    with pytest.raises(DataError, match=r"no patient has all four modalities; no t2 of Brats18_2013_0_1\. Complete"):
        opened("brats18", root)
