"""The demo on images, at a size that says nothing about learning."""

import re

import pytest

from vesalius import results
from vesalius.errors import SettingError
from vesalius.recipes import demo


def test_its_sentence_is_of_landmark_patches_alone_and_said_again_by_a_run_that_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VESALIUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "UNSEEN", 3)
    # A U-Net's fine maps name voxels of organs by k-NN, too: other rows of the same name.
    monkeypatch.setattr(demo, "QUICK", {**demo.QUICK, "measures": ("locality", "organs")})
    monkeypatch.setattr("vesalius.report.command.write", lambda runs, path: path)  # test_demo_3d looks at a page
    views = {**demo.PCRLV2["method"], "size": 16, "small_size": 8, "small": 1}
    tiny = {"backbone": "unet2x2", "batch": 2, "size": 64, "workers": 0, "method": views}
    monkeypatch.setitem(demo.METHODS, "pcrlv2", {**demo.PCRLV2, **tiny})
    demo.main(str(tmp_path / "run"), "pcrlv2", bodies=2, epochs=1)
    rows = results.select(results.read(tmp_path / "run" / results.FILE), name="knn_accuracy", condition="upright")
    assert {row.measure for row in rows} == {"locality", "organs"}
    sentence = re.compile(r"pretrained (\S+), random weights (\S+); difference")
    said = sentence.search(capsys.readouterr().out)
    for run, mean in zip(("trained", "random"), said.groups(), strict=True):
        own = results.select(rows, measure="locality", run=run)
        assert float(mean) == pytest.approx(sum(row.value for row in own) / 3, abs=6e-4)
    demo.main(str(tmp_path / "run"), "pcrlv2", bodies=2, epochs=1)  # goes on: nothing is left to do but to say it
    assert sentence.search(capsys.readouterr().out).groups() == said.groups()
    with pytest.raises(SettingError, match="was run with seed 0, not 1"):
        demo.main(str(tmp_path / "run"), "pcrlv2", seed=1, bodies=2, epochs=1)
