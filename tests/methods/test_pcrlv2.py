"""PCRLv2: its size, its loss where it is known and written out, its scales and ablations; that it learns and repeats."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vesalius
from fakes.command import vesalius as command
from fakes.memory import MemoryScan
from fakes.pictures import radiograph
from fakes.volumes import ct, save
from vesalius import checkpoint, zoo
from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.losses.cosine import distance
from vesalius.losses.restore import beta
from vesalius.methods import pcrlv2
from vesalius.methods.step import Progress
from vesalius.train.batches import collate
from vesalius.train.loop import train
from vesalius.train.optim import build, rate
from vesalius.train.run import Optim, configure
from vesalius.views.patches import GREY

SMALL = pcrlv2.Config(
    size=16,
    small_size=8,
    patch=(16, 16, 8),
    small_patch=(8, 8, 8),
    small=2,
    sizes=((16, 16, 8), (12, 16, 12)),
    small_sizes=((8, 8, 8), (6, 6, 6)),
    swaps=5,
    groups=1,
)
STEP = Progress(0, 3, 10, 0, 1, 0, logging=True)


def method(ndim: int = 2, backbone: str = "unet4x3", **settings: Any) -> pcrlv2.Method:
    torch.manual_seed(0)
    return pcrlv2.Method(zoo.build(backbone, ndim, 1), replace(SMALL, **settings))


def steady(made: pcrlv2.Method) -> pcrlv2.Method:
    """As in training, but norms give the same again."""
    for module in made.eval().modules():
        module.training = module is made
    return made


def blobs(seed: int, ndim: int) -> MemoryScan:
    """A smooth image, which can be restored."""
    field = np.random.default_rng(seed).normal(size=(24,) * ndim)
    for axis in range(ndim):
        field = sum(np.roll(field, shift, axis) for shift in range(5))
    field = (field - field.min()) / np.ptp(field)
    if ndim == 2:
        return MemoryScan((255 * field[None]).astype(np.uint8), seed)
    return MemoryScan((1500 * field[None] - 800).astype(np.int16), seed, "HU")


def views(ndim: int = 2, config: pcrlv2.Config = SMALL, seed: int = 0, batch: int = 4) -> dict[str, torch.Tensor]:
    samples = [pcrlv2.crops(generator(seed, i), blobs(i, ndim), config, 0) for i in range(batch)]
    return pcrlv2.augment(collate(samples), config, 0)


@pytest.mark.parametrize(
    ("name", "ndim", "channels", "whole", "kept"),
    [("resnet18", 2, 3, 14_678_226, 11_176_512), ("unet", 3, 1, 17_111_434, 7_027_776)],
)
def test_as_large_as_the_reference(name: str, ndim: int, channels: int, whole: int, kept: int) -> None:
    with torch.device("meta"):
        made = pcrlv2.Method(zoo.build(name, ndim, channels), pcrlv2.Config())
    assert sum(p.numel() for p in made.parameters()) == whole
    assert sum(p.numel() for p in made.encoder.parameters()) == kept


@pytest.mark.parametrize("average", [True, False])
def test_perfect_restoration_and_alignment_cost_minus_two(average: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made, batch = method(average=average).double(), {name: view.double() for name, view in views().items()}
    network = made.network
    image = network.target(batch["y1"])
    monkeypatch.setattr(network, "restored", lambda maps, chosen: (image, [image] * len(chosen)))
    monkeypatch.setattr(network, "vectors", lambda maps, i: (torch.ones(len(maps[0]), 5),) * 2)
    assert made(batch, STEP).loss.item() == pytest.approx(-2)


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_loss_equals_the_one_written_out(ndim: int, average: bool) -> None:
    made, batch = steady(method(ndim, average=average).double()), views(ndim)
    batch = {name: view.double() for name, view in batch.items()}
    shares, scales = made.shares(STEP), range(2)
    g1, g2, small = (made.network(batch[name].flatten(0, -2 - ndim)) for name in ("x1", "x2", "small"))
    y = batch["y1"]
    slow = (made.network.final(g1[-1]) - y).square().mean()
    weight = (1 + np.cos(0.3 * np.pi)) / 2
    for s in scales:
        restored = made.network.restorations[s](g1[s], y.shape[2:])
        slow = slow + shares[s, 0] * weight * (restored - y).square().mean()
        (z1, p1), (z2, p2), (z, p) = (made.network.comparisons[s](maps[s]) for maps in (g1, g2, small))
        slow = slow + shares[s, 0] * distance(p1, z1, p2, z2)
        for view, (zg, pg) in enumerate(((z1, p1), (z2, p2))):
            for k in range(2):
                slow = slow + shares[s, 1 + 2 * view + k] / 4 * distance(pg, zg, p[k::2], z[k::2])
    torch.testing.assert_close(made(batch, STEP).loss, slow)


def test_one_scale_a_term_drawn_from_seed_and_step_alone() -> None:
    made = method(backbone="resnet18", small=6)
    drawn = np.stack([made.shares(STEP._replace(step=step)) for step in range(200)])
    assert drawn.shape == (200, 5, 13)
    assert np.array_equal(drawn.sum(1), np.ones((200, 13)))
    assert np.all(np.abs(drawn.mean((0, 2)) - 0.2) < 0.03)
    assert np.array_equal(made.shares(STEP), method(backbone="resnet18", small=6).shares(STEP))
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.all(method(average=True).shares(STEP) == 0.5)


def test_the_loss_of_held_out_images_does_not_depend_on_the_step() -> None:
    made, batch = method().eval(), views()
    assert np.all(made.shares(STEP) == 0.5)
    assert made(batch, STEP).loss == made(batch, STEP._replace(step=9)).loss
    made.train()
    assert not np.all(made.shares(STEP) == 0.5)


def test_of_held_out_images_only_the_restoration_is_watched_and_the_last_encoder_is_kept(tmp_path: Path) -> None:
    made, batch = method().eval(), views()
    assert set(made(batch, STEP).log) >= {"restoration", "explained"}
    torch.testing.assert_close(made(batch, STEP).loss, made(batch, STEP).log["restoration"])
    assert "comparison" in method(restore=False).eval()(batch, STEP).log  # there is nothing else
    for number in range(6):
        Image.fromarray(radiograph(np.random.default_rng(number), (24, 24))).save(tmp_path / f"{number}.png")
    own: dict[str, Any] = {"in_channels": 1, "backbone": "unet4x2", "batch": 2, "epochs": 4, "threads": 1, "workers": 0}
    own |= {"size": 24, "holdout": 0.34, "cache": str(tmp_path / "cache"), "device": "cpu", "optim": {"lr": 10.0}}
    own["method"] = {"size": 16, "small_size": 8, "small": 1, "groups": 1}
    kept = vesalius.pretrain("pcrlv2", str(tmp_path), out=tmp_path / "run", **own)
    tensors, last = (checkpoint.read(path)[0] for path in (kept, tmp_path / "run" / "stage0.safetensors"))
    assert all(torch.equal(tensors[name], last[name]) for name in tensors)


def test_small_views_leave_no_trace_in_running_statistics() -> None:
    batch = views()
    one, other = method(), method()
    one(batch, STEP)
    other({**batch, "small": torch.zeros_like(batch["small"])}, STEP)
    found = [dict(made.encoder.named_buffers()) for made in (one, other)]
    assert any("running_mean" in name for name in found[0])
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_it_says_whether_images_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    made, eye = method(), torch.eye(4)
    maps = [torch.zeros(4, 1)]
    monkeypatch.setattr(made.network, "vectors", lambda maps, i: (eye, eye))
    assert made.told_apart(maps, maps).tolist() == [1, 0]
    monkeypatch.setattr(made.network, "vectors", lambda maps, i: (torch.ones(4, 3), torch.ones(4, 3)))
    torch.testing.assert_close(made.told_apart(maps, maps), torch.ones(2))
    blind = {"comparison": -1.2, "own": 0.93, "other": 0.92}
    assert any("as alike" in text for text in pcrlv2.alarms(blind, SMALL))
    assert pcrlv2.alarms({**blind, "other": 0.1}, SMALL) == []
    assert pcrlv2.alarms({**blind, "comparison": -0.1}, SMALL) == []


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"average": True},
        {"skips": True},
        {"restore": False},
        {"compare": False},
        {"small": 0},
        {"scales": (1,)},
        {"scales": (0,), "restore": False},
    ],
    ids=str,
)
def test_every_weight_gets_a_gradient_in_every_ablation(settings: dict[str, Any], ndim: int) -> None:
    config = replace(SMALL, **settings)
    made, batch = method(ndim, **settings), views(ndim, config)
    for step in range(3):  # other scales idle in each
        made.zero_grad(set_to_none=True)
        found = made(batch, STEP._replace(step=step))
        found.loss.backward()
        assert [name for name, p in made.named_parameters() if p.grad is None] == []
        assert {"restoration", "comparison"} & set(found.log) == {
            name for name, on in (("restoration", config.restore), ("comparison", config.compare)) if on
        }


def test_the_error_of_pixels_is_weighed() -> None:
    once, more = (steady(method(compare=False, pixels=pixels))(views(), STEP) for pixels in (1.0, 20.0))
    torch.testing.assert_close(more.loss, 20 * once.loss)
    assert more.log["restoration"] == once.log["restoration"]


def test_idle_heads_stay_where_they_are() -> None:
    made = method(small=0)
    shares = made.shares(STEP)
    made(views(config=replace(SMALL, small=0)), STEP).loss.backward()
    for heads in (made.network.comparisons, made.network.restorations):
        for head, share in zip(heads, shares[:, 0], strict=True):
            assert (sum(p.grad.abs().sum() for p in head.parameters()) > 0) == bool(share)


def test_coarse_scales_are_restored_at_the_start_and_not_at_the_end() -> None:
    made, batch = steady(method(compare=False, average=True)), views()
    start, middle, end = (made(batch, STEP._replace(step=step)).loss.item() for step in (0, 5, 10))
    y = made.network.target(batch["y1"])
    final = made.network.restored(made.network(batch["x1"]), [])[0]
    assert end == pytest.approx((final - y).square().mean().item(), rel=1e-5)
    assert start > end
    assert middle == pytest.approx((start + end) / 2, rel=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_is_restored_is_moved_and_not_distorted(ndim: int) -> None:
    plain = replace(SMALL, jitter=(0,) * 4, grayscale=0, blur=(0, 0), cutouts=0, swaps=0, axis_blur=(0, 0))
    plain = replace(plain, noise=(0, 0), gamma=0)
    distorted, clean = views(ndim, batch=1), views(ndim, plain, batch=1)
    torch.testing.assert_close(distorted["y1"], clean["y1"])
    torch.testing.assert_close(clean["x1"], clean["y1"], atol=1e-5, rtol=0)
    assert not torch.allclose(distorted["x1"], distorted["y1"], atol=0.02)
    assert 0 <= distorted["y1"].min() < distorted["y1"].max() <= 1


def test_only_large_views_are_cut_out_and_with_grey() -> None:
    plain = replace(SMALL, jitter=(0,) * 4, grayscale=0, blur=(0, 0), cutout=0.5, cutouts=1)
    found = views(config=plain, batch=1)
    grey = (found["x1"] - GREY).abs() < 1e-6
    assert grey.sum() >= 64  # 8 x 8 of 16 x 16
    torch.testing.assert_close(found["x1"][~grey], found["y1"][~grey], atol=1e-5, rtol=0)
    assert ((found["small"] - GREY).abs() < 1e-6).sum() < 4


@pytest.mark.parametrize("ndim", [2, 3])
def test_it_learns_and_the_same_seed_gives_the_same_losses(ndim: int) -> None:
    batch = views(ndim)

    def losses(steps: int) -> list[float]:
        made, found = method(ndim, average=True), []
        optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
        for _ in range(steps):
            loss = made(batch, STEP).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    first = losses(8)
    assert first[-1] < first[0] - 0.2
    assert losses(2) == first[:2]


@pytest.mark.parametrize("ndim", [2, 3])
def test_pictures_are_the_image_at_every_scale(ndim: int) -> None:
    made, x = method(ndim).eval(), views(ndim)["x1"]
    pictures = made.network.pictures(x)
    assert [picture.shape for picture in pictures] == [x.shape] * 3
    assert all(picture.min() >= 0 and picture.max() <= 1 for picture in pictures)
    with pytest.raises(SettingError, match="restore"):
        method(ndim, restore=False).network.pictures(x)


def test_defaults_of_the_run_are_the_references_in_2d() -> None:
    run = configure("pcrlv2", {"optim": {"clip": 1.0}})
    assert (run.backbone, run.ndim, run.in_channels, run.batch, run.epochs) == ("resnet18", 2, 3, 64, 240)
    assert run.start == ""  # not ImageNet
    optim = run.optim
    assert (optim.kind, optim.lr, optim.momentum, optim.weight_decay, optim.clip) == ("sgd", 0.01, 0.9, 1e-4, 1)


@pytest.mark.parametrize("words", [("--ndim", "3"), ("--ndim=3",)])
def test_of_volumes_they_are_those_in_3d_and_what_is_given_counts_more(words: tuple[str, ...]) -> None:
    run = configure("pcrlv2", {"ndim": 3, "spacing": (2.0, 2.0, 2.0), "optim": {"clip": 1.0}})
    assert (run.backbone, run.in_channels, run.batch, run.spacing, run.upsample) == ("unet", 1, 32, (2, 2, 2), True)
    assert (run.optim.lr, run.optim.kind, run.optim.clip) == (1e-3, "sgd", 1)
    said, flat = (command("pretrain", "pcrlv2", "data", *some, "--help").out for some in (words, ()))
    assert "(default: unet)" in said
    assert "(default: resnet18)" in flat


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"restore": False, "compare": False}, "method.restore"),
        ({"scales": (2,)}, "method.scales"),
        ({"backbone": "fpn4x3"}, "fpn"),
        ({"backbone": "fpn4x3-finest", "skips": True}, "method.scales"),
        ({"sizes": ()}, "method.sizes"),
        ({"patch": (64, 64, 4)}, "method.patch"),
        ({"least_iou": 1.0}, "method.least_iou"),
        ({"axis_blur": (0.0, 2.1)}, "method.axis_blur"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words.replace(".", r"\.")):
        method(**settings)


def test_a_step_after_the_last_epoch_moves_statistics_alone() -> None:
    """The reference code has one, in which rate and beta are 0."""
    optim = Optim(**pcrlv2.DEFAULTS["optim"])
    assert beta(1.0) == 0
    assert rate(optim, 240 * 7, 7, 240) == 0
    made = method()
    optimizer = build(made.parameters(), optim)
    for group in optimizer.param_groups:
        group["lr"] = rate(optim, 240 * 7, 7, 240)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made(views(), STEP).loss.backward()
    optimizer.step()
    moved = {name for name, value in made.state_dict().items() if not value.equal(before[name])}
    assert moved
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in moved)


@pytest.mark.usefixtures("own_cache")
def test_a_run_that_is_to_stop_early_is_until_then_the_whole_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "data": ("phantom:?bodies=8&size=32",), "size": 32, "holdout": 0.0, "batch": 4, "epochs": 3, "log_steps": 1,
        "threads": 1, "workers": 0, "device": "cpu", "backbone": "unet4x2",
        "method": {"size": 16, "small_size": 8, "small": 1, "groups": 1},
    }  # fmt: skip
    logs = []
    for most in (0, 3):
        out = tmp_path / str(most)
        train(configure("pcrlv2", {**settings, "max_steps": most, "out": str(out)}))
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        logs.append([(row["loss"], row["restoration"], row["lr"]) for row in rows])
    assert len(logs[0]) == 6
    assert logs[0][:3] == logs[1]


def test_images_that_cannot_be_used_are_refused_and_short_ones_are_said() -> None:
    pcrlv2.check_scan((16, 16, 8), pcrlv2.Config())
    with pytest.raises(DataError, match=r"Lower method\.patch"):
        pcrlv2.check_scan((16, 15, 8), pcrlv2.Config())
    with pytest.raises(DataError, match="arbitrary scale"):
        pcrlv2.crops(generator(0), SimpleNamespace(unit="arbitrary", path="some.b2nd"), SMALL, 0)
    log = method(3)(views(3, replace(SMALL, sizes=((32, 32, 24),))), STEP).log
    assert log["clamped"] == pytest.approx(1 - (24 / 32) ** 2)
    assert any("clamped" in text for text in pcrlv2.alarms({"clamped": float(log["clamped"])}, SMALL))
    assert any("collapse" in text for text in pcrlv2.alarms({"effective_rank": 1.0}, SMALL))
    assert pcrlv2.alarms({"clamped": 0.0, "effective_rank": 5.0}, SMALL) == []


@pytest.mark.parametrize("ndim", [2, 3])
def test_an_image_of_air_among_others_is_set_aside_by_name_and_the_run_ends(ndim: int, tmp_path: Path) -> None:
    for number in range(5):
        if ndim == 2:
            image = radiograph(np.random.default_rng(number), (24, 24))
            Image.fromarray(np.zeros_like(image) if number == 1 else image).save(tmp_path / f"{number}.png")
        else:
            image = ct(number, (16, 16, 16))
            save(tmp_path / f"{number}.nii.gz", np.full_like(image, -1000) if number == 1 else image)
    method = {name: getattr(SMALL, name) for name in ("size", "small_size", "patch", "small_patch", "small")}
    method |= {"sizes": SMALL.sizes, "small_sizes": SMALL.small_sizes, "margin": (0, 0, 0), "swaps": 1, "groups": 1}
    own = {"ndim": ndim, "in_channels": 1, "backbone": "unet4x2", "batch": 2, "epochs": 1, "threads": 1, "workers": 0}
    own |= {"size": 24, "holdout": 0.0, "cache": str(tmp_path / "cache"), "device": "cpu", "method": method}
    assert vesalius.pretrain("pcrlv2", str(tmp_path), out=tmp_path / "run", **own).exists()
    (aside,) = json.loads((tmp_path / "run" / "set_aside.json").read_text())
    assert Path(aside["file"]).name.startswith("1.")
    assert "nothing but air" in aside["reason"]
    own["method"] = {**method, "tissue": (0.0, 1.0)}  # for those who want it
    assert vesalius.pretrain("pcrlv2", str(tmp_path), out=tmp_path / "all", **own).exists()
    assert json.loads((tmp_path / "all" / "set_aside.json").read_text()) == []
