"""What is prepared for a run: voxels made finer when asked, and never otherwise; caches of earlier versions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import brats18
from fakes.command import vesalius
from fakes.volumes import ct, save
from vesalius.data.cache import folder_of
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import steps_for, steps_from_json
from vesalius.errors import SettingError
from vesalius.features.subjects import load
from vesalius.train.run import configure
from vesalius.train.sources import Sources, open_sources, prepare_only

RAS = np.diag((4.0, 4.0, 4.0, 1.0))
MM = (2.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CT of 4 mm."""
    root = tmp_path_factory.mktemp("volumes")
    for number in range(2):
        save(root / f"{number}.nii.gz", ct(number), RAS)
    return root


def opened(volumes: Path, **values: Any) -> Sources:
    own = {"data": (str(volumes),), "body": False, "holdout": 0.0, "cache": str(volumes / "cache"), "spacing": MM}
    return open_sources(configure("vox2vec", {**own, **values}))


def test_voxels_of_4_mm_become_2_mm_when_asked_and_stay_when_not(volumes: Path, capsys: Any) -> None:
    kept, asked = opened(volumes), opened(volumes, upsample=True)
    assert (kept.train[0].shape, kept.train[0].spacing) == ((8, 7, 6), (4, 4, 4))
    assert (asked.train[0].shape, asked.train[0].spacing) == ((16, 14, 12), MM)
    assert kept.train[0].folder != asked.train[0].folder
    said = capsys.readouterr().err
    for words in ("keep them, since nothing is upsampled", "are upsampled, which adds no detail"):
        assert f"asked, and {words}: x 4 mm in 2, y 4 mm in 2, z 4 mm in 2" in said


def test_what_reads_the_encoder_prepares_as_its_run_did(volumes: Path) -> None:
    run, data = opened(volumes, upsample=True), open_dataset(str(volumes))
    subjects = load(data, data.ids, steps_from_json(run.prepare), b"key")
    for subject, scan in zip(subjects, run.train, strict=True):
        np.testing.assert_array_equal(subject.pixels, scan.read())


def test_the_command_line_upsamples_where_it_is_told_to_what(volumes: Path) -> None:
    words = ("prepare", volumes, "--ndim", "3", "--upsample", "--cache", volumes / "by-hand")
    done = vesalius(*map(str, words), "--spacing", "2", "2", "2")
    assert "2 of 2 volumes had voxels coarser than the 2 x 2 x 2 mm asked, and are upsampled" in done.out
    assert str(folder_of(volumes / "by-hand", steps_for(3, spacing=MM, upsample=True))) in done.out.replace("\n", "")
    for wrong in ({"spacing": ()}, {"ndim": 2}):
        with pytest.raises(SettingError, match="setting upsample is True"):
            opened(volumes, upsample=True, **wrong)


def test_a_cache_of_an_earlier_version_is_named_and_made_again(volumes: Path, capsys: Any) -> None:
    root = volumes / "older"
    old = folder_of(root, steps_for(3), 1)
    assert "2 prepared, 0 were there" in prepare_only(str(volumes), 3, 512, str(root))
    assert str(old) not in capsys.readouterr().err
    folder_of(root, steps_for(3)).rename(old)  # its arrays are whole, and of another format
    assert "2 prepared, 0 were there" in prepare_only(str(volumes), 3, 512, str(root))
    assert f"{old}: of an earlier version" in capsys.readouterr().err


def test_what_the_data_set_leaves_out_is_said(tmp_path: Path, capsys: Any) -> None:
    root = brats18.write(tmp_path / "root")
    next(root.glob("HGG/*/*_flair.nii.gz")).unlink()
    spec, cache = f"brats18:{root}", str(tmp_path / "cache")
    settings = {
        "data": (spec,),
        "ndim": 3,
        "in_channels": 4,
        "holdout": 0.0,
        "cache": cache,
        "spacing": (),
        "upsample": False,
    }
    assert len(open_sources(configure("pcrlv2", settings)).train) == brats18.IMAGES - 1
    prepare_only(spec, 3, 16, cache)
    said = capsys.readouterr().err
    assert said.count(f"{spec}: 1 patients are left out, who lack a modality") == 2
