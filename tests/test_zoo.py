"""A run becomes a Backbone; an exported encoder is the same network, and tells of nobody."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vesalius as front_door
from fakes.command import vesalius
from vesalius import checkpoint, zoo
from vesalius.checkpoint import Card
from vesalius.errors import CheckpointError, SettingError


def images(ndim: int = 2, channels: int = 1) -> torch.Tensor:
    return torch.rand(2, channels, *(64,) * ndim, generator=torch.Generator().manual_seed(1))


def same(a: Any, b: Any, x: torch.Tensor) -> bool:
    with torch.inference_mode():
        return all(torch.equal(left, right) for left, right in zip(a(x), b(x), strict=True))


def test_a_run_is_loaded_ready_to_use(tiny_run: Path) -> None:
    loaded = front_door.load(tiny_run)
    assert not loaded.backbone.training
    assert [tuple(level.shape[1:]) for level in loaded.backbone(images())][-1] == (512, 2, 2)
    assert same(loaded.backbone, zoo.load(tiny_run / "encoder.safetensors").backbone, images())
    assert (loaded.card.method, loaded.card.backbone["name"], loaded.card.unit) == ("adam", "resnet18", "0..1")


def test_an_export_gives_equal_features_under_torchvisions_names(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "encoder.safetensors"
    done = vesalius("export", tiny_run, "--out", out)
    assert (done.status, done.out.strip()) == (0, str(out))
    tensors = load_file(out)
    assert {"conv1.weight", "bn1.running_mean", "layer4.1.bn2.num_batches_tracked"} < tensors.keys()
    network = zoo.build("resnet18")
    network.load_state_dict(tensors)  # as torchvision or timm would
    assert same(network.eval(), zoo.load(tiny_run).backbone, images(channels=3))
    settings = json.loads(out.with_suffix(".json").read_text())
    assert (settings["name"], settings["unit"], settings["method"]) == ("resnet18", "0..1", "adam")
    assert [step["name"] for step in settings["prepare"]] == ["Dimensions", "Grey", "ResizeShort", "ToUint8"]


def test_in_bf16_an_export_is_half_as_large_and_nearly_the_same(tiny_run: Path, tmp_path: Path) -> None:
    whole, half = (zoo.export(tiny_run, tmp_path / f"{bf16}.safetensors", bf16) for bf16 in (False, True))
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    assert load_file(half)["layer1.0.bn1.running_var"].dtype == torch.float32
    x = images(channels=3)
    a, b = (zoo.load(file).backbone(x)[-1].detach() for file in (whole, half))
    assert 0 < (a - b).norm() / a.norm() < 0.02


def test_an_export_that_gives_other_features_is_refused(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = [zoo.load(tiny_run), zoo.load(tiny_run)]
    with torch.no_grad():
        loads[1].backbone.conv1.weight[0, 0, 0, 0] += 1e-3
    monkeypatch.setattr(zoo, "load", lambda source: loads.pop(0))
    with pytest.raises(CheckpointError, match="gives other features than the encoder"):
        zoo.export(tiny_run, tmp_path / "encoder.safetensors")


def test_a_card_tells_licences_and_notices_and_nobodys_name_or_place(
    tiny_run: Path, radiographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "encoder.safetensors"
    assert vesalius("export", tiny_run, "--out", out).status == 0
    card = checkpoint.describe(out)
    assert any("US-12639932-B2" in notice for notice in card.notices)
    assert any("non-commercial" in notice for notice in card.notices)
    assert [(source["dataset"], source["licence"]) for source in card.data] == [("folder", "that of the images")]
    assert sum(source["images"] for source in card.data) == 16
    secrets = {str(radiographs), radiographs.name, str(tiny_run), str(tmp_path), "manifest.csv", "p000", "a0.png"}
    for path in (out, out.with_suffix(".json"), tiny_run / "encoder.safetensors", tiny_run / "last.safetensors"):
        header = path.read_bytes()[:100_000]  # safetensors keep all their text in front
        assert b"resnet18" in header
        assert not [secret for secret in secrets if secret.encode() in header]
    (source,) = json.loads((tiny_run / "patients.json").read_text())["sources"]
    assert not (set(source["train"]) & {f"{i:03}" for i in range(8)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder.json", "encoder.safetensors"]


def test_half_precision_weights_are_loaded_as_fp32(tiny_run: Path, tmp_path: Path) -> None:
    tensors, card = checkpoint.read(tiny_run / "encoder.safetensors")
    half = {name: value.bfloat16() if value.is_floating_point() else value for name, value in tensors.items()}
    checkpoint.write(tmp_path / "half.safetensors", half, card)
    network = zoo.load(tmp_path / "half.safetensors").backbone
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}
    rounded = zoo.build("resnet18").eval()
    rounded.load_state_dict(half)  # torch's own conversion
    assert same(network, rounded, images())


def test_mean_and_deviation_travel_with_the_weights(tmp_path: Path) -> None:
    network = zoo.build("resnet18", 2, 1, [0.3], [0.7]).eval()
    card = Card(backbone=zoo.description("resnet18", network))
    checkpoint.write(tmp_path / "a.safetensors", network.state_dict(), card)
    assert same(network, zoo.load(tmp_path / "a.safetensors").backbone, images())


def test_a_folder_without_an_encoder_says_how_to_get_one(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Has its run finished\? Go on with it \(--resume\), or give a "):
        zoo.load(tmp_path)
    shutil.copy(tiny_run / "stage0.safetensors", tmp_path)
    with pytest.raises(CheckpointError, match=r"or give the encoder of a stage that did, .*stage0.safetensors\.$"):
        zoo.load(tmp_path)
    assert zoo.load(tmp_path / "stage0.safetensors").card.stage == 0


@pytest.mark.parametrize("backbone", [{}, {"name": "resnet18"}, {"name": "vit", "ndim": 2}])
def test_a_card_without_a_network_known_here(tmp_path: Path, backbone: dict[str, Any]) -> None:
    values = {"ndim": 2, "in_channels": 3, "mean": [0.5] * 3, "std": [1.0, 1.0, 0.0], **backbone}
    checkpoint.write(tmp_path / "a.safetensors", {"x": torch.ones(1)}, Card(backbone=values))
    with pytest.raises(CheckpointError, match="describes no network known here"):
        zoo.load(tmp_path / "a.safetensors")


def test_unknown_names_and_numbers() -> None:
    with pytest.raises(SettingError, match=r"unknown backbone resnet51. Did you mean resnet50"):
        zoo.build("resnet51")
    with pytest.raises(SettingError, match="setting ndim is 4"):
        zoo.build("resnet18", 4)


def test_an_export_is_never_a_pickle(tiny_run: Path, tmp_path: Path) -> None:
    assert "does not end in .safetensors" in vesalius("export", tiny_run, "--out", tmp_path / "encoder.pth").error
    assert not list(tmp_path.iterdir())
