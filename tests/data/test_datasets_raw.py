"""Raw files, runs and label maps: what JSRT, SIIM-ACR and one's own tables say, against what was written."""

from pathlib import Path

import numpy as np
import pytest

from fakes import manifest, scr_jsrt, siim_acr
from fakes.dicom import write as write_dicom
from vesalius.data.datasets import open_dataset
from vesalius.data.datasets.siim_acr import unpack
from vesalius.errors import DataError, SettingError


def test_jsrt_is_turned_to_bright_bone_and_fills_the_range(tmp_path: Path) -> None:
    data = open_dataset(f"scr_jsrt:{scr_jsrt.write(tmp_path / 'root')}")
    scan = data.read("JPCNN001")
    assert (scan.spacing, scan.image.dtype) == ((0.175, 0.175), np.uint16)
    assert np.allclose(scan.image[0] / 65535, scr_jsrt.shown(2) / 4095, atol=1e-5)


def test_scr_masks_are_enlarged_and_folds_are_official(tmp_path: Path) -> None:
    data = open_dataset(f"scr_jsrt:{scr_jsrt.write(tmp_path / 'root')}")
    labels = data.labels("JPCLN001")
    assert labels.structures == scr_jsrt.STRUCTURES
    for k, plane in enumerate(labels.mask if labels.mask is not None else ()):
        assert np.argwhere(plane.all(axis=1)).ravel().tolist() == list(range(128 * k, 128 * (k + 1)))
    assert data.splits() == {"train": ("JPCLN001", "JPCNN001"), "test": ("JPCLN002",)}
    assert open_dataset(f"scr_jsrt:{tmp_path / 'root'}?test_fold=1").splits()["train"] == ("JPCLN002",)


@pytest.mark.parametrize(
    ("stored", "message"),
    [(np.full(2048**2, 4096, ">u2"), r"001\.IMG: holds 4096"), (np.zeros(7, ">u2"), r"001\.IMG: has 14 bytes")],
)
def test_jsrt_of_another_size_or_byte_order_is_refused(tmp_path: Path, stored: np.ndarray, message: str) -> None:
    stored.tofile(tmp_path / "JPCLN001.IMG")
    data = open_dataset(f"scr_jsrt:{tmp_path}")
    assert (data.splits()["train"], data.labels("JPCLN001").mask) == (("JPCLN001",), None)  # odd numbers are fold 1
    with pytest.raises(DataError, match=message):
        data.read("JPCLN001")


def test_runs_are_relative_and_go_down_the_columns() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        numbers, flat, place = rng.integers(0, 4, 8), [0] * 7 * 5, 0
        for skip, length in numbers.reshape(-1, 2):
            place += skip
            for i in range(place, place + length):
                flat[i] = 1
            place += length
        expected = np.array([[flat[7 * column + row] for column in range(5)] for row in range(7)], bool)
        assert np.array_equal(unpack(" ".join(map(str, numbers)), (7, 5)), expected)


def test_siim_rows_of_an_image_are_one_mask(tmp_path: Path) -> None:
    data = open_dataset(f"siim_acr:{siim_acr.write(tmp_path / 'root')}")
    points = np.argwhere(data.labels(siim_acr.TWICE).mask[0]).tolist()  # type: ignore[index]
    assert points == [[0, 0], [1, 0], [5, 10], [5, 11], [6, 10], [6, 11], [7, 10]]
    classes = [data.labels(id).classes["pneumothorax"] for id in (siim_acr.TWICE, siim_acr.NONE, siim_acr.TEST)]
    assert np.array_equal(classes, [1, 0, np.nan], equal_nan=True)
    assert data.labels(siim_acr.TEST).mask is None
    assert {name: len(ids) for name, ids in data.splits().items()} == {"train": 3, "test": 1}


def test_siim_refuses_an_image_of_another_size(tmp_path: Path) -> None:
    root = siim_acr.write(tmp_path / "root")
    write_dicom(root / f"dicom-images-train/1.2.0/1.3.0/{siim_acr.TWICE}.dcm", np.zeros((50, 64), np.uint8))
    with pytest.raises(DataError, match=rf"{siim_acr.TWICE}\.dcm: is 50 x 64, but its mask 1024 x 1024"):
        open_dataset(f"siim_acr:{root}").labels(siim_acr.TWICE)


def test_manifest_tells_unlabelled_from_absent(tmp_path: Path) -> None:
    data = open_dataset(f"manifest:{manifest.write(tmp_path / 'root')}")
    assert data.splits() == {"test": ("scans/b1.png",), "train": ("scans/a1.png", "scans/a2.png")}
    assert np.array_equal(list(data.labels("scans/a1.png").classes.values()), [1, np.nan], equal_nan=True)
    both, lungs, none = (data.labels(f"scans/{name}.png") for name in ("a1", "a2", "b1"))
    assert (both.structures, none.structures) == (("heart", "lungs"), ())
    assert both.known is not None
    assert lungs.known is not None
    assert (both.known.tolist(), lungs.known.tolist()) == ([True, True], [False, True])


def test_manifest_reads_a_map_of_labels(tmp_path: Path) -> None:
    root = manifest.write(tmp_path / "root")
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace("masks/lungs.png", "masks/map.png"))
    labels = open_dataset(f"manifest:{root}?masks=mask_lungs&structures=heart,lungs").labels("scans/a1.png")
    assert labels.mask is not None
    assert (labels.structures, labels.classes) == (("heart", "lungs"), {})
    assert labels.mask[:, :20, :30].sum(axis=(1, 2)).tolist() == [0, 600]
    assert labels.mask.sum(axis=(1, 2)).tolist() == [20 * 66, 30 * 96]
    with pytest.raises(DataError, match=r"map\.png: holds the label 2, out of range 0 to 1"):
        open_dataset(f"manifest:{root}?masks=mask_lungs&structures=heart").labels("scans/a1.png")
    with pytest.raises(SettingError, match="2 mask columns"):
        open_dataset(f"manifest:{root}?structures=heart")
