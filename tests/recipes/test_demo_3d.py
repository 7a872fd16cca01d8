"""The demo on volumes, at a size that says nothing about learning."""

import re

import pytest

from vesalius import results
from vesalius.data.cache import key_hash
from vesalius.errors import SettingError
from vesalius.recipes import demo, demo_3d
from vesalius.recipes.demo import cleared


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Voxels of 12 mm, two organs, a pyramid of two levels."""
    monkeypatch.setenv("VESALIUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo_3d, "VOXEL", 12)
    monkeypatch.setattr(demo_3d, "ORGANS", ("liver", "heart"))
    small = {
        "vox2vec": {"backbone": "fpn2x2", "method": {"patch": (8, 8, 8), "voxels": 20}},
        "pcrlv2": {
            "backbone": "unet2x2",
            "method": {**demo_3d.PCRLV2["method"], "patch": (8, 8, 8), "small_patch": (8, 8, 8), "small": 1},
        },
    }
    for name, settings in small.items():
        monkeypatch.setitem(demo_3d.METHODS, name, {**demo_3d.METHODS[name], "batch": 2, "workers": 0, **settings})
    return tmp_path / "run"


@pytest.mark.parametrize("method", ["vox2vec", "pcrlv2"])
def test_it_ends_with_a_page_and_a_sentence_of_what_is_in_the_rows(tiny, method, capsys):
    demo_3d.main(str(tiny), method, bodies=2, unseen=3, epochs=1)
    rows = results.select(results.read(tiny / results.FILE), name="knn_accuracy", condition="upright")
    said = re.search(r"pretrained (\S+), random weights (\S+); difference", capsys.readouterr().out)
    unseen = {key_hash(b"synthetic", f"body{demo_3d.FIRST + k}") for k in range(3)}
    for run, mean in zip(("trained", "random"), said.groups(), strict=True):
        own = results.select(rows, run=run)
        assert {row.patient for row in own} == unseen
        assert float(mean) == pytest.approx(sum(row.value for row in own) / 3, abs=6e-4)
    page = (tiny / "report.html").read_text()
    assert "Voxels of organs" in page
    assert ("Restored images" in page) == (method == "pcrlv2")


@pytest.mark.parametrize("recipe", [demo, demo_3d])
def test_too_few_bodies_for_a_batch_are_refused(recipe, tmp_path):
    with pytest.raises(SettingError, match="Give --bodies"):
        recipe.main(str(tmp_path / "run"), "pcrlv2", bodies=3)
    assert not (tmp_path / "run").exists()


def test_what_is_no_run_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingError, match="not a run"):
        cleared(str(tmp_path), overwrite=True)
    assert cleared(str(tmp_path), overwrite=False) == tmp_path
    (tmp_path / "config.json").write_text("{}")
    assert not cleared(str(tmp_path), overwrite=True).exists()
