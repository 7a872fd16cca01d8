"""Heads that learn beside a pretraining: that they learn, go on, and measure what `patches` would; and the front door."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fakes.command import vesalius
from vesalius import checkpoint, zoo
from vesalius.chance import generator
from vesalius.errors import DataError
from vesalius.evaluate import online, patches
from vesalius.evaluate.online import Labelled, Probes
from vesalius.evaluate.patches import Config
from vesalius.features.subjects import Subject
from vesalius.methods.step import Progress
from vesalius.models.heads import WithHead

CPU = torch.device("cpu")
SMALL = Config(patch=(12, 12, 8), batch=3, lr=1e-2)


def image(i: int, ndim: int, structures: tuple[str, ...] = ("ball",)) -> Subject:
    """A bright ball in noise, air at one end; the mask of every structure is the ball."""
    rng, shape = generator(i), (20, 24, 18)[:ndim]
    ball = ((np.indices(shape) - rng.uniform(7, 11, (ndim, *[1] * ndim))) ** 2).sum(0) < 20
    body = np.ones(shape, bool)
    body[:, -4:] = False
    pixels = np.where(body, rng.normal(0, 60, shape), -1000) + 600 * ball
    packed = np.packbits(np.repeat(ball[None], len(structures), 0), axis=0)
    inside = np.packbits(body)
    return Subject(f"i{i}", f"p{i}", pixels[None].astype(np.int16), "HU", {}, structures, packed, inside=inside)


def probes(ndim: int, own: list[Subject], held: list[Subject], **more: Any) -> tuple[Probes, Any]:
    """Beside a pyramid of random weights, and that as a probe sees it."""
    torch.manual_seed(0)
    backbone = zoo.build("fpn4x2", ndim, 1).eval()
    names = tuple(dict.fromkeys(name for subject in own for name in subject.structures))
    data = Labelled(None, ("x",) * len(own + held), own, held, names)  # type: ignore[arg-type]
    see = torch.no_grad()(backbone)
    return Probes(backbone, CPU, data, SMALL, **more), see


def after(step: int, steps: int = 1000) -> Progress:
    return Progress(0, step, steps, 0, 1, 0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_dice_of_images_never_seen_rises(ndim: int) -> None:
    made, see = probes(ndim, [image(i, ndim) for i in range(3)], [image(8, ndim), image(9, ndim)], every=30)
    first = made(see, after(0, 1))
    numbers = [made(see, after(step)) for step in range(1, 60)]
    assert [place for place, some in enumerate(numbers) if some] == [28, 58]
    assert numbers[58]["probe_nonlinear_dice"] > max(0.4, first["probe_nonlinear_dice"] + 0.3)
    for kind in ("linear", "nonlinear"):
        assert numbers[58][f"probe_{kind}_loss"] < numbers[28][f"probe_{kind}_loss"]


def test_stopped_and_loaded_it_goes_on_bit_for_bit() -> None:
    own, held = [image(i, 2) for i in range(3)], [image(8, 2)]
    whole, see = probes(2, own, held, every=4)
    numbers = [whole(see, after(step)) for step in range(4)]
    torn, _ = probes(2, own, held, every=4)
    for step in range(2):
        torn(see, after(step))
    fresh, _ = probes(2, own, held, every=4)
    fresh.load_state_dict({name: value.clone() for name, value in torn.state_dict().items()})
    assert [fresh(see, after(step)) for step in (2, 3)] == numbers[2:]
    assert all(value.equal(whole.state_dict()[name]) for name, value in fresh.state_dict().items())
    other, _ = probes(2, [image(0, 2, ("ball", "cube"))], held)
    with pytest.raises(DataError, match="of other structures than ball, cube"):
        other.load_state_dict(torn.state_dict())


def test_every_head_finds_what_sliding_it_alone_finds() -> None:
    held = [image(8, 3)]
    made, see = probes(3, [image(0, 3)], held)
    made(see, after(0))
    made.heads.eval()
    found = made._found(see, held[0])
    for kind, head in made.heads.items():
        network = WithHead(zoo.build("fpn4x2", 3, 1), head)
        network.backbone.load_state_dict(see.__wrapped__.state_dict())
        (alone,) = patches.predict(network, held, SMALL)
        assert np.array_equal(found[kind], alone > 0.5)


def test_what_is_not_contoured_gives_no_number() -> None:
    made, see = probes(2, [image(0, 2, ("ball", "cube"))], [image(8, 2), image(9, 2, ("moon",))], every=1)
    dice = {name for name in made(see, after(0)) if "dice." in name}
    assert dice == {"probe_linear_dice.ball", "probe_nonlinear_dice.ball"}


def test_heads_learn_at_every_nth_update_alone() -> None:
    made, see = probes(2, [image(0, 2)], [image(8, 2)], steps=3)
    for step in range(7):
        made(see, after(step))
    assert made.losses[-1] == 2


DATA = "phantom:?ndim=3&bodies=4&voxel=12"
WORDS = (
    "--backbone fpn2x2 --spacing 12 12 12 --no-body --holdout 0 --batch 2 --epochs 1 --max-steps 2 --log-steps 1 --threads 1 "
    "--workers 0 --device cpu --method.patch 16 16 16 --method.voxels 50 --method.width 8"
).split()
PROBE = "--probe.every 1 --probe.patch 16 16 16 --probe.batch 2 --probe.holdout 0.4".split()


def test_beside_a_pretraining_from_the_command_line(tmp_path: Path, own_cache: Path) -> None:
    for name, more in (("alone", ()), ("beside", ("--probe.data", DATA, *PROBE))):
        done = vesalius("pretrain", "vox2vec", DATA, "--out", tmp_path / name, *WORDS, *more)
        assert done.status == 0, done
    assert "probe: 4 of 4 labelled patients are in the pretraining too" in done.err
    alone, beside = (load_file(tmp_path / name / "encoder.safetensors") for name in ("alone", "beside"))
    assert all(beside[name].equal(value) for name, value in alone.items())
    lines = [json.loads(line) for line in (tmp_path / "beside" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in lines if "probe_nonlinear_dice.heart" in row and "probe_linear_loss" in row] == [
        1,
        2,
    ]
    assert all(0 < row["probe_share"] < 1 for row in lines if "loss" in row)
    config = json.loads((tmp_path / "beside" / "config.json").read_text())
    assert config["probe"]["data"] == DATA
    assert checkpoint.describe(tmp_path / "beside" / "encoder.safetensors").config["probe"]["data"] == ""
    again = ("pretrain", "--config", tmp_path / "beside" / "config.json", "--resume")
    assert vesalius(*again).status == 0
    assert "was run with probe.every 1, not 2" in vesalius(*again, "--probe.every", 2).error


@pytest.mark.parametrize(
    ("data", "more", "words"),
    [
        ("fantom:?bodies=4", (), "unknown data set 'fantom'"),
        ("phantom:?ndim=2&bodies=4", (), "3-D ones are needed"),
        ("phantom:?ndim=3&bodies=1&voxel=12", (), "1 patients, but 2 are needed for holdout"),
        (DATA, ("--probe.holdout", 1), "setting probe.holdout is 1.0"),
        (DATA, ("--probe.patch", 16, 16), "setting probe.patch is (16, 16). Give 3 sides"),
        (DATA, ("--probe.batch", 1), "setting probe.batch is 1"),
    ],
)
def test_what_cannot_be_meant_is_said_before_training(
    tmp_path: Path, own_cache: Path, data: str, more: tuple[object, ...], words: str
) -> None:
    done = vesalius("pretrain", "vox2vec", DATA, "--out", tmp_path / "o", *WORDS, "--probe.data", data, *PROBE, *more)
    assert words in done.error
    assert not (tmp_path / "o" / "config.json").exists()


def test_images_without_masks_are_no_probe(radiographs: Path, tmp_path: Path) -> None:
    words = (
        "pretrain",
        "fakes.contrast",
        radiographs,
        "--out",
        tmp_path / "o",
        "--batch",
        4,
        "--probe.data",
        radiographs,
    )
    error = vesalius(*words).error
    assert f"{radiographs}: no image has masks to probe with" in error


def test_excluded_patients_are_not_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = online.labelled("phantom:?bodies=4&size=32", (), 0.5, 0)
    (tmp_path / "out.txt").write_text("body0001\nbody0003\n")
    online.say_seen(data, ["phantom:?bodies=9&size=32"], str(tmp_path / "out.txt"))
    assert "2 of 4 labelled patients" in capsys.readouterr().err
    online.say_seen(data, ["phantom:?bodies=9&first=20&size=32"])
    assert not capsys.readouterr().err
