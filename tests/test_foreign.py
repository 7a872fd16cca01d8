"""Weights from elsewhere give the features that they gave there, or a sentence; and no code of theirs is run.

ResNets have the first block or two of their first two layers here, so that a file is small; the last test has all.
"""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fakes.command import vesalius
from vesalius import checkpoint, zoo
from vesalius.data.prepare import prepare
from vesalius.data.scan import Scan
from vesalius.errors import CheckpointError, SettingError
from vesalius.foreign import Origin, Report, flatten, import_weights
from vesalius.models import resnet
from vesalius.models.resnet import Basic, Bottleneck
from vesalius.views.intensity import to_unit

State = dict[str, Any]
WHOLE = resnet.LAYOUTS
SMALL = {18: (Basic, (1, 1, 0, 0)), 34: (Basic, (2, 2, 0, 0)), 50: (Bottleneck, (1, 1, 0, 0))}
CHILDREN = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet, "LAYOUTS", SMALL)


def network(name: str = "resnet18", ndim: int = 2, channels: int = 3, seed: int = 0) -> Any:
    """A network none of whose tensors is at its start, so that one that does not arrive is seen."""
    torch.manual_seed(seed)
    made = zoo.build(name, ndim, channels).eval()
    for tensor in made.state_dict().values():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
    return made


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(resnet, "LAYOUTS", SMALL)
    NETWORK, OTHER = network(), network(seed=1)
STATE: State = dict(NETWORK.state_dict())
HEAD: State = {"fc.0.weight": torch.ones(4, 512), "fc.0.bias": torch.ones(4)}


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def save(folder: Path, content: Any, name: str = "weights.pth", **options: Any) -> Path:
    torch.save(content, folder / name, **options)
    return folder / name


def imported(file: Path, architecture: str = "resnet18", **settings: Any) -> tuple[Report, zoo.Loaded]:
    out = file.parent / "out" / "encoder.safetensors"
    report = import_weights(file, architecture, out, **settings)
    return report, zoo.load(out)


def same(a: Any, b: Any) -> bool:
    x = torch.rand(2, a.in_channels, *(32,) * a.ndim, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return all(torch.equal(left, right) for left, right in zip(a(x), b(x), strict=True))


def sequential(state: State) -> State:
    return {f"{CHILDREN[name.split('.')[0]]}.{name.partition('.')[2]}": tensor for name, tensor in state.items()}


WRAPPED: dict[str, tuple[Any, str, dict[str, int]]] = {
    "torchvision": (STATE | {"fc.weight": torch.ones(2, 512), "fc.bias": torch.ones(2)}, "", {"fc": 2}),
    "MoCo": (
        {"epoch": 3, "arch": "resnet18", "state_dict": under("module.encoder_q.", STATE | HEAD)
         | {"module.queue": torch.ones(8, 4), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}},
        "state_dict.module.encoder_q", {"fc": 2, "queue": 1, "queue_ptr": 1},
    ),
    "DDP": (under("module.", STATE), "module", {}),
    "Lightning": (
        {"state_dict": under("model.backbone.", STATE) | {"criterion.weight": torch.ones(2)},
         "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}], "hparams": {"lr": 0.1}},
        "state_dict.model.backbone", {"criterion": 1, "optimizer_states": 1},
    ),
    "nested": ({"model": {"teacher": {"encoder": STATE}, "step": 3}}, "model.teacher.encoder", {}),
    "children": (under("backbone.", sequential(STATE)), "backbone", {}),
    "twice the same": ((lambda state: {"model": state, "state_dict": state})(dict(STATE)), "model", {}),
}  # fmt: skip


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_features_are_equal_bit_for_bit_whatever_the_wrapper(tmp_path: Path, wrapper: str) -> None:
    content, part, left_over = WRAPPED[wrapper]
    report, loaded = imported(save(tmp_path, content))
    assert same(NETWORK, loaded.backbone)
    assert (report.part, report.left_over, report.arrived, report.filled) == (part, left_over, len(STATE), 0)
    assert (report.missing, report.misshapen, report.surplus) == ((), (), ())


@pytest.mark.parametrize("format", ["safetensors", "old PyTorch"])
def test_other_formats_are_told_by_their_content(tmp_path: Path, format: str) -> None:
    if format == "safetensors":
        save_file(under("resnet.", STATE), file := tmp_path / "model.bin")
    else:
        file = save(tmp_path, STATE, "model.pth.tar", _use_new_zipfile_serialization=False)
    assert same(NETWORK, imported(file)[1].backbone)


def both() -> State:
    return {"state_dict": under("module.encoder_q.", STATE) | under("module.encoder_k.", dict(OTHER.state_dict()))}


def test_of_two_networks_neither_is_guessed(tmp_path: Path) -> None:
    file = save(tmp_path, both())
    with pytest.raises(CheckpointError, match=r"several such networks: \S*module.encoder_q, \S*encoder_k\. .*--part"):
        imported(file)
    assert same(NETWORK, imported(file, part="encoder_q")[1].backbone)
    assert same(OTHER, imported(file, part="state_dict.module.encoder_k.")[1].backbone)
    with pytest.raises(CheckpointError, match=r"no such network in encoder_x, but in \S*encoder_q, \S*encoder_k"):
        imported(file, part="encoder_x")


def test_the_top_of_a_file_is_a_part_too(tmp_path: Path) -> None:
    file = save(tmp_path, STATE | under("ema.", dict(OTHER.state_dict())))
    with pytest.raises(CheckpointError, match=r"several such networks: \., ema\."):
        imported(file)
    assert same(NETWORK, imported(file, part=".")[1].backbone)
    assert same(OTHER, imported(file, part="ema")[1].backbone)


@pytest.mark.parametrize(("ndim", "channels"), [(2, 1), (2, 4), (3, 1), (3, 2)])
def test_the_first_kernel_decides_axes_and_channels(tmp_path: Path, ndim: int, channels: int) -> None:
    made = network("resnet18", ndim, channels)
    report, loaded = imported(save(tmp_path, dict(made.state_dict())))
    assert (report.ndim, report.in_channels) == (ndim, channels)
    assert same(made, loaded.backbone)


def test_a_resnet50_is_no_resnet18_and_is_told(tmp_path: Path) -> None:
    state = dict(network("resnet50").state_dict())
    file = save(tmp_path, {"state_dict": state})
    with pytest.raises(
        CheckpointError, match=r"does not fit resnet18: .* of another shape .*It is a resnet50: give --as"
    ):
        imported(file)
    assert not (tmp_path / "out" / "encoder.safetensors").exists()
    assert imported(file, "resnet50")[0].arrived == len(state)


def test_a_resnet34_has_all_of_a_resnet18_and_is_none(tmp_path: Path) -> None:
    file = save(tmp_path, dict(network("resnet34").state_dict()))
    with pytest.raises(CheckpointError, match=r"24 too many \(layer1.1.bn1.bias, .*It is a resnet34"):
        imported(file)


def changed(**values: Any) -> State:
    """STATE with tensors changed (`__` for a dot), or taken away where None."""
    state = STATE | {name.replace("__", "."): value for name, value in values.items()}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed(layer2__0__bn2__running_var=None), r"1 missing \(layer2.0.bn2.running_var\)\. Is it another network"),
        (changed(conv1__weight=None), r"1 missing \(conv1.weight\)"),
        (changed(bn1__bias=torch.ones(32)), r"1 of another shape \(bn1.bias float32 \(32,\) for float32 \(64,\)\)"),
        (changed(bn1__bias=torch.ones(64).char()), r"bn1.bias int8 \(64,\) for float32 \(64,\)"),
        (changed(bn1__bias=torch.ones(64).to_sparse()), r"1 of another shape \(bn1.bias"),
        (changed(conv1__weight=torch.ones(64, 3, 3, 3)), r"1 of another shape \(conv1.weight"),
        (changed(conv1__weight=torch.ones(64, 3, 7)), r"has a first kernel of shape \(64, 3, 7\)"),
        (changed(conv1__weight=torch.ones(64, 0, 7, 7)), r"has a first kernel of shape \(64, 0, 7, 7\)"),
        (changed(layer1__0__se__fc__weight=torch.ones(2)), r"1 too many \(layer1.0.se.fc.weight\)"),
        (changed(bn1__bias=torch.full((64,), torch.nan)), r"NaN or infinite weights in 1 of 36 tensors \(bn1.bias\)"),
        (changed(bn1__bias=torch.full((64,), 1e300, dtype=torch.float64)), r"NaN or infinite weights in 1 of 36 tensors"),
        ({"patch_embed.proj.weight": torch.ones(2), "head.bias": torch.ones(1)}, r"no such network among its 2 tensors"),
        (HEAD, r"holds no such network among its 2 tensors \(fc 2\)"),
        ({"epoch": 3}, r"holds no such network among its 0 tensors"),
        (torch.ones(3), r"holds no such network among its 1 tensors"),
        ({"a": {"b.c": torch.ones(1)}, "a.b": {"c": torch.ones(1)}}, r"holds two tensors called a.b.c"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_and_nothing_is_written(tmp_path: Path, state: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        imported(save(tmp_path, state))
    assert str(caught.value).startswith(str(tmp_path / "weights.pth"))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("how", ["zip", "old", "bare"])
def test_a_pickle_that_runs_code_is_refused_and_never_runs(tmp_path: Path, how: str) -> None:
    trace, file = tmp_path / "it_ran", tmp_path / "weights.pth"
    content = {"state_dict": HEAD, "extra": Payload(trace)}
    if how == "bare":
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        save(tmp_path, content, _use_new_zipfile_serialization=how == "zip")
    error = vesalius("import", file, "--as", "resnet18", "--out", tmp_path / "out" / "a.safetensors").error
    assert f"{file}: holds more than weights, and loading it could run code (" in error
    assert "Nothing of it was run." in error
    assert not trace.exists()
    torch.load(save(tmp_path, Payload(trace), "proof.pth"), weights_only=False)  # the payload does work
    assert trace.exists()


def test_an_environment_that_asks_for_unsafe_loading_is_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(CheckpointError, match="could run code"):
        imported(save(tmp_path, Payload(tmp_path / "it_ran")))
    assert not (tmp_path / "it_ran").exists()


def damaged(folder: Path) -> dict[str, bytes]:
    zipped = save(folder, HEAD).read_bytes()
    old = save(folder, HEAD, _use_new_zipfile_serialization=False).read_bytes()
    noise = np.random.default_rng(0).bytes(2000)
    return {
        "short zip": zipped[:900], "short old": old[:700], "very short": old[:3], "text": b"hello, this is text\n",
        "page": b"<html><body>404 Not Found</body></html>", "json": b'{"abcde": {"a": 1}}', "noise": noise,
        "PK noise": b"PK\x03\x04" + noise, "pickle noise": b"\x80\x02" + noise, "tensors": b"\x10" + bytes(7) + b"{" + noise,
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    }  # fmt: skip


def test_damaged_files_and_files_of_other_kinds_are_named_in_one_line(tmp_path: Path) -> None:
    for kind, content in damaged(tmp_path).items():
        (file := tmp_path / f"{kind}.pth").write_bytes(content)
        with pytest.raises(
            CheckpointError, match=r"is not a readable file of weights \(\w+\)\. It is damaged"
        ) as caught:
            imported(file)
        assert "\n" not in str(caught.value), kind
    (tmp_path / "empty.pth").touch()
    for file, message in (("empty.pth", "is empty"), ("none.pth", "no such file"), (".", "no such file")):
        with pytest.raises(CheckpointError, match=message):
            imported(tmp_path / file)


def test_absent_counters_are_0_and_said(tmp_path: Path) -> None:
    old = {name: tensor for name, tensor in STATE.items() if not name.endswith("num_batches_tracked")}
    report, loaded = imported(save(tmp_path, old))
    assert report.filled == sum(isinstance(module, torch.nn.BatchNorm2d) for module in NETWORK.modules()) == 6
    assert "set to 0: 6 counters of batch norm" in report.text()
    assert same(NETWORK, loaded.backbone)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_fp32_and_it_is_said(tmp_path: Path, kind: torch.dtype) -> None:
    state = {name: value.to(kind) if value.is_floating_point() else value for name, value in STATE.items()}
    report, loaded = imported(save(tmp_path, state))
    assert report.text().splitlines()[2] == f"converted to float32: {str(kind)[6:]}"
    expected = network()
    expected.load_state_dict(state)  # torch's own conversion
    assert same(expected, loaded.backbone)


def test_the_card_says_how_the_network_saw_images(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    file = save(tmp_path / "private", both(), "moco.pth.tar")
    origin = Origin(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), size=96, short_side=256, grey=False, licence="CC BY 4.0")
    card = imported(file, part="encoder_q", origin=origin)[1].card
    assert checkpoint.describe(tmp_path / "private" / "out" / "encoder.safetensors") == card
    assert (card.method, card.parent, card.notices) == ("imported", "moco.pth.tar", ["Weights: CC BY 4.0"])
    assert (card.config["method"]["size"], card.config["size"], card.config["name"]) == (96, 256, "moco")
    assert card.config["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert card.backbone["mean"] == pytest.approx([0.1, 0.2, 0.3])
    assert [step["name"] for step in card.prepare] == ["Dimensions", "ResizeShort", "ToUint8"]
    assert "private" not in str(card)


def test_the_size_of_patches_stands_where_a_run_has_it(tmp_path: Path) -> None:
    run = checkpoint.describe(Path(__file__).parents[1] / "weights" / "adam_nih_small-adam.safetensors")
    own = imported(save(tmp_path, STATE))[1].card
    assert [card.config["method"]["size"] for card in (run, own)] == [64, 224]


def test_a_window_decides_which_hu_become_0_to_1(tmp_path: Path) -> None:
    hu = np.linspace(-400, 400, 16, dtype=np.float32).reshape(1, 4, 4, 1).repeat(4, axis=3)
    file = save(tmp_path, dict(network(ndim=3, channels=1).state_dict()))
    steps = imported(file, origin=Origin(window=(-160.0, 240.0), spacing=(1.0, 1.0, 2.0)))[1].steps
    scan = prepare(Scan(hu, "HU", spacing=(1.0, 1.0, 1.0)), steps).scan
    assert scan.spacing == (1.0, 1.0, 2.0)
    expected = (hu[0, ..., :2] + 160) / 400
    assert np.abs(to_unit(torch.from_numpy(scan.image), scan.unit)[0].numpy() - expected.clip(0, 1)).max() < 0.51 / 255


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--as resnet20", "unknown backbone resnet20. Did you mean resnet"),
        ("--mean 123.7 116.3 103.5", "setting mean is (123.7, 116.3, 103.5). It must be from 0 to 1."),
        ("--mean nan 0 0", "setting mean is"),
        ("--mean 0.5", "mean (0.5,) and std (0.229, 0.224, 0.225) do not describe 3 channels"),
        ("--std 0 1 1", "do not describe 3 channels. Give one mean and one positive deviation"),
        ("--size 0", "setting size is 0. It must be at least 1."),
        ("--spacing 1 1", "setting spacing is (1.0, 1.0). Give 3 numbers."),
        ("--spacing 1 1 1", "spacing is given for a 2-D network"),
        ("--window 100 -100", "setting window is 100.0 -100.0. It must be the least and the greatest"),
        ("--out a.pth", "a.pth: does not end in .safetensors"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, words: str, message: str) -> None:
    out = tmp_path / "out" / "encoder.safetensors"
    done = vesalius("import", save(tmp_path, STATE), "--as", "resnet18", "--out", out, *words.split())
    assert message in done.error
    assert done.status == 2
    assert not out.exists()


def test_the_file_itself_is_not_written_over(tmp_path: Path) -> None:
    save_file(STATE, file := tmp_path / "weights.safetensors")
    before = file.read_bytes()
    with pytest.raises(SettingError, match="would be written over"):
        import_weights(file, "resnet18", tmp_path / "." / "weights.safetensors")
    assert file.read_bytes() == before


def test_a_pickle_that_contains_itself_comes_to_an_end(tmp_path: Path) -> None:
    content: State = {"model": dict(STATE)}
    content["self"] = [content, content]
    assert list(flatten(content, tmp_path)) == [f"model.{name}" for name in STATE]
    assert imported(save(tmp_path, content))[0].part == "model"


def test_import_embed_and_export_go_together(
    tmp_path: Path, radiographs: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resnet, "LAYOUTS", WHOLE)
    content = {"state_dict": under("module.encoder_q.", network().state_dict() | HEAD)}
    out, data = tmp_path / "encoder.safetensors", f"{radiographs}?manifest=manifest.csv"
    done = vesalius("import", save(tmp_path, content), "--as", "resnet18", "--out", out, "--short-side", 64)
    first, fits = (
        "resnet18, 2-D, 3 channels, from state_dict.module.encoder_q of the file",
        "missing: none; of another shape: none",
    )
    assert done.out.splitlines() == [first, "arrived: 120 of 120 tensors", fits, "left over: fc 2", str(out)]
    assert vesalius("embed", out, data, "--out", tmp_path / "features.npz").status == 0
    with np.load(tmp_path / "features.npz") as features:
        assert features["features"].shape == (16, 512)
    assert vesalius("export", out, "--out", tmp_path / "again.safetensors").status == 0
    assert same(zoo.load(out).backbone, zoo.load(tmp_path / "again.safetensors").backbone)
    assert (
        "is a file of vesalius already"
        in vesalius("import", out, "--as", "resnet18", "--out", tmp_path / "b.safetensors").error
    )
