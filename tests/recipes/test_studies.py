"""What the recipes of transfer ask: beside every frozen architecture stands the same one with random weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vesalius import checkpoint, zoo
from vesalius.checkpoint import Card
from vesalius.recipes import pcrlv2_ct_small, transfer_headneck, vox2vec_ct_small


def untrained(folder: Path, backbone: str) -> None:
    """A run's folder with its encoder alone."""
    folder.mkdir(parents=True)
    network = zoo.build(backbone, 3, 1)
    checkpoint.write(folder / "encoder.safetensors", network.state_dict(), Card(zoo.description(backbone, network)))


@pytest.fixture
def studies(tmp_path: Path) -> Mapping[str, Any]:
    for name, (_, backbone) in vox2vec_ct_small.RUNS.items():
        untrained(tmp_path / "vox2vec" / name, backbone.replace("8x5", "2x2"))
    for name in pcrlv2_ct_small.SEEDS:
        untrained(tmp_path / "pcrlv2" / name, "unet2x2")
    return transfer_headneck.studies(str(tmp_path), str(tmp_path / "vox2vec"), str(tmp_path / "pcrlv2"))


def test_every_architecture_has_its_control(studies: Mapping[str, Any]) -> None:
    assert {"linear", "nonlinear", "finetune", "finetune_unet", "linear_pcrlv2"} <= set(studies)
    for name, (runs, study) in studies.items():
        word = "random" if study.protocol in ("linear", "nonlinear") else "scratch"
        controls = {str(run).partition(":")[2] for run in runs.values() if zoo.template(run) is not None}
        trained = {str(run) for run in runs.values() if zoo.template(run) is None}
        assert all(str(run).startswith(word) for run in runs.values() if zoo.template(run) is not None)
        architectures = [{zoo.load(run).card.backbone["name"] for run in some} for some in (trained, controls)]
        assert architectures[0] == architectures[1], name
