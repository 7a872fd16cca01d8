"""Activation checkpointing as one setting of a run."""

import pytest
import torch

import vesalius
from vesalius import checkpoint
from vesalius.errors import SettingError

SMALL = {
    "backbone": "fpn2x2", "spacing": (), "holdout": 0.0, "batch": 2, "epochs": 2, "workers": 0, "threads": 1,
    "method": {"patch": (8, 8, 8), "voxels": 20},
}  # fmt: skip


def test_a_run_with_it_ends_where_the_run_without_it_does(tmp_path):
    data, found = "phantom:?bodies=2&ndim=3&voxel=12", []
    for wanted in (False, True):
        settings = {**SMALL, "cache": str(tmp_path / "cache"), "checkpointing": wanted}
        found.append(checkpoint.read(vesalius.pretrain("vox2vec", data, out=tmp_path / str(wanted), **settings))[0])
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    assert int(found[1]["encoder.0.0.layers.0.num_batches_tracked"]) == 4  # two views in each of two steps


def test_a_network_that_has_none_is_refused(tmp_path):
    with pytest.raises(SettingError, match="checkpointing is on, and resnet18 cannot"):
        vesalius.pretrain("adam", "phantom:?bodies=4", out=tmp_path, backbone="resnet18", checkpointing=True)
