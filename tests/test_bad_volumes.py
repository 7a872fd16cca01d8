"""Bad volumes among good CT: `inspect` names each before, `pretrain` sets each aside, says why, and ends well."""

import json
from pathlib import Path

import numpy as np
import pytest

import vesalius
from fakes.command import vesalius as command
from fakes.volumes import LPS, ct, save
from vesalius import checkpoint

SHAPE = (14, 13, 12)
SHEARED = LPS @ np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
REASONS = {
    "flat": "2-D image (14 x 13)",
    "times": "4 dimensions (14 x 13 x 12 x 2)",
    "nan": "1 NaN",
    "air": "all air",
    "sheared": "sheared affine",
    "torn": "truncated",
    "raw": "not in HU",
}
SETTINGS = {
    "backbone": "fpn2x2", "spacing": (), "holdout": 0.0, "batch": 2, "epochs": 1, "max_steps": 2, "log_steps": 1,
    "workers": 0, "threads": 1, "device": "cpu", "method": {"patch": (8, 8, 8), "voxels": 20},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five good volumes, one good and short, and one for each of REASONS."""
    root, hu = tmp_path / "data", ct(9, SHAPE)
    for k in range(5):
        save(root / f"good{k}.nii.gz", ct(k, SHAPE))
    save(root / "short.nii.gz", ct(5, (14, 13, 8)))  # its first and last slice are air
    save(root / "flat.nii.gz", hu[:, :, 3])
    save(root / "times.nii.gz", np.stack([hu, hu], -1))
    broken = hu.astype(np.float32)
    broken[4, 4, 4] = np.nan
    save(root / "nan.nii.gz", broken)
    save(root / "air.nii.gz", np.full_like(hu, -1000))
    save(root / "sheared.nii.gz", hu, SHEARED)
    whole = save(root / "torn.nii.gz", ct(8, SHAPE)).read_bytes()
    (root / "torn.nii.gz").write_bytes(whole[: len(whole) // 2])
    raw = hu + np.int16(1024)
    raw[0] = -2000  # padding, as scanners leave it
    save(root / "raw.nii.gz", raw)
    return root


def test_inspect_names_each(folder: Path) -> None:
    done = command("inspect", folder, "--json")
    report = json.loads(done.out)
    found = {f["kind"]: {id.split(".")[0]: why for id, *why in f["groups"]} for f in report["findings"]}
    unreadable = found["unreadable"]
    assert set(unreadable) == {"flat", "times", "nan", "sheared", "torn"}
    assert all(REASONS[name] in why for name, (why,) in unreadable.items())
    assert (set(found["air"]), set(found["not HU"])) == ({"air"}, {"raw"})
    assert report["examined"] == 6 + len(REASONS)


def test_pretraining_sets_each_aside_with_its_reason_and_uses_the_short_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cache = tmp_path / "run", str(tmp_path / "cache")
    encoder = vesalius.pretrain("vox2vec", str(folder), out=out, cache=cache, **SETTINGS)
    aside = {Path(row["file"]).name: row["reason"] for row in json.loads((out / "set_aside.json").read_text())}
    assert set(aside) == {f"{name}.nii.gz" for name in REASONS}
    said = capsys.readouterr().err
    for name, reason in REASONS.items():
        assert reason in aside[f"{name}.nii.gz"]
    named = [name for name in REASONS if f"set aside: {folder / name}.nii.gz: " in said]
    assert f"set aside: {len(REASONS) - len(named)} more" in said
    assert "1 of 6 images are shorter than a patch of 8 x 8 x 8" in said
    (about,) = checkpoint.describe(encoder).data
    assert (about["images"], about["set_aside"]) == (6, len(REASONS))
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 2
    assert np.isfinite(losses).all()


def test_where_all_are_bad_one_is_named_and_nothing_is_trained(folder: Path, tmp_path: Path) -> None:
    for path in (*folder.glob("good*"), folder / "short.nii.gz"):
        path.unlink()
    out, cache = tmp_path / "run", tmp_path / "cache"
    words = "--backbone fpn2x2 --batch 2 --workers 0 --threads 1 --device cpu --method.patch 8 8 8".split()
    error = command("pretrain", "vox2vec", folder, "--out", out, "--cache", cache, *words).error
    assert f"none of the first {len(REASONS)} of {len(REASONS)} images could be prepared; this one: " in error
    assert not (out / "last.safetensors").exists()
