"""PCRL v1: its transformation, what is mixed, gated and restored, its loss written out; that it learns and repeats."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fakes.memory import MemoryScan
from vesalius import zoo
from vesalius.chance import generator, permutation
from vesalius.errors import DataError, SettingError
from vesalius.methods import pcrl
from vesalius.methods.step import Progress
from vesalius.models.context import Gate, mixed
from vesalius.train.batches import collate
from vesalius.train.run import configure
from vesalius.views.turns import FlipsAndTurn, as_vector

SMALL = pcrl.Config(
    size=16, patch=(16, 16, 8), sizes=((16, 16, 8), (12, 16, 12)), width=8, bank=16, groups=1, margin=(0, 0, 0)
)
STEP = Progress(0, 3, 10, 0, 1, 0, logging=True)


def method(ndim: int = 2, backbone: str = "unet4x3", **settings: Any) -> pcrl.Method:
    torch.manual_seed(0)
    return pcrl.Method(zoo.build(backbone, ndim, 1), replace(SMALL, **settings))


def blobs(seed: int, ndim: int) -> MemoryScan:
    """A smooth image, which can be restored."""
    field = np.random.default_rng(seed).normal(size=(24,) * ndim)
    for axis in range(ndim):
        field = sum(np.roll(field, shift, axis) for shift in range(5))
    field = (field - field.min()) / np.ptp(field)
    if ndim == 2:
        return MemoryScan((255 * field[None]).astype(np.uint8), seed)
    return MemoryScan((1500 * field[None] - 800).astype(np.int16), seed, "HU")


def views(ndim: int = 2, config: pcrl.Config = SMALL, batch: int = 4) -> dict[str, Tensor]:
    samples = [pcrl.crops(generator(0, i), blobs(i, ndim), config, 0) for i in range(batch)]
    return pcrl.augment(collate(samples), config, 0)


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 3)], ids=str)
def test_the_transformation_is_numpys_flips_and_quarters(shape: tuple[int, ...]) -> None:
    ndim, turn, rng = len(shape), FlipsAndTurn(), np.random.default_rng(0)
    params = torch.tensor([turn.draw(rng, ndim) for _ in range(40)])
    images = torch.rand(40, 2, *shape)
    for x, y, row in zip(images, turn.apply(images, params), params.int().tolist(), strict=True):
        axes = tuple(1 + axis for axis in range(ndim) if row[axis])
        assert np.array_equal(np.rot90(np.flip(x.numpy(), axes), row[3], (1, 2)), y)
    assert {int(quarters) for quarters in params[:, 3]} == {0, 1, 2, 3}
    assert torch.all((params[:, :ndim].mean(0) - 0.5).abs() < 0.3)


def test_a_says_which_flips_and_which_turn() -> None:
    a = as_vector(torch.tensor([[1.0, 0, 1, 2], [0, 1, 0, 0]]), 3)
    assert a.tolist() == [[1, 0, 1, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0, 0]]
    assert as_vector(torch.tensor([[1.0, 0, 0, 3]]), 2).tolist() == [[1, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize("ndim", [2, 3])
def test_views_tell_how_they_were_transformed(ndim: int) -> None:
    found = views(ndim)
    for i in "12":
        for x, t, a in zip(found["x" + i], found["t" + i], found["a" + i], strict=True):
            axes = [1 + axis for axis in range(ndim) if a[axis]]
            assert torch.equal(x.flip(axes).rot90(int(a[ndim:].argmax()), (1, 2)), t)
    assert found["box"].shape == (4, 2 * ndim)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_crop_is_restored_neither_moved_nor_distorted(ndim: int) -> None:
    still: dict[str, Any] = {
        "flip": 0,
        "rotation": 0,
        "zoom": (1, 1),
        "grayscale": 0,
        "jitter": (0,) * 4,
        "blur": (0, 0),
    }
    still |= {"axis_blur": (0, 0), "cutouts": 0, "local_shuffle": 0, "paint": 0}
    plain, distorted = views(ndim, replace(SMALL, **still)), views(ndim)
    torch.testing.assert_close(plain["x1"], plain["y1"], atol=1e-4, rtol=0)
    assert (distorted["x1"] - distorted["y1"]).abs().mean() > 0.02
    assert 0 <= distorted["y1"].min() < distorted["y1"].max() <= 1
    torch.testing.assert_close(views(ndim, batch=1)["y1"], distorted["y1"][:1])  # as whatever else is in the batch


def test_all_of_the_first_is_the_first_and_a_mixture_lies_between() -> None:
    one, other = [torch.rand(2, 3, 4), torch.rand(2, 5)], [torch.rand(2, 3, 4), torch.rand(2, 5)]
    assert all(torch.equal(a, b) for a, b in zip(mixed(one, other, 1.0), one, strict=True))
    for found, a, b in zip(mixed(one, other, 0.7), one, other, strict=True):
        torch.testing.assert_close(found, 0.7 * a + 0.3 * b)


def test_at_alpha_1_the_mixed_image_is_the_students_own() -> None:
    made, batch = method(), views()
    own, other = made.f(batch["x1"])[0], made.slow(batch["x2"])[0]
    alone, together = made.restored(own, other, batch["y1"], batch["y2"], 1.0)
    assert torch.equal(alone, together)
    alone, together = made.restored(own, other, batch["y1"], batch["y2"], 0.6)
    assert not torch.equal(alone, together)


def test_the_mixed_target_is_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    made, batch = method().double(), {name: view.double() for name, view in views().items()}
    y1, y2 = batch["y1"], batch["y2"]
    answers = iter([made.target(y1), 0.8 * made.target(y1) + 0.2 * made.target(y2)])
    monkeypatch.setattr(made.up, "forward", lambda maps, shape: next(answers))
    errors = made.restored([y1], [y2], y1, y2, 0.8)
    assert torch.stack(errors).max() < 1e-25


def test_the_gate_weighs_the_coarsest_map_alone() -> None:
    gate, maps = Gate(6, 5), [torch.rand(2, 3, 8, 8), torch.rand(2, 5, 4, 4)]
    a = torch.tensor([[1.0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]])
    finest, coarsest = gate(maps, a)
    weight = (coarsest / maps[1]).mean((2, 3))
    assert finest is maps[0]
    torch.testing.assert_close(coarsest, maps[1] * weight[:, :, None, None])
    assert 0 < weight.min() < weight.max() < 1
    assert not torch.allclose(weight[0], weight[1])


def slow_nce(q: Tensor, k: Tensor, bank: Tensor, tau: float) -> Tensor:
    """One anchor after the other."""
    q, k = (functional.normalize(z, dim=1) for z in (q, k))
    losses = []
    for i in range(len(q)):
        logits = torch.stack([q[i] @ k[i], *(q[i] @ key for key in bank)]) / tau
        losses.append(-torch.log_softmax(logits, 0)[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_loss_equals_the_one_written_out(ndim: int) -> None:
    made = method(ndim).double().eval()  # norms give the same again
    made.training = True
    v = {name: view.double() if view.is_floating_point() else view for name, view in views(ndim).items()}
    u = generator(0, 0, 3, 2**31).random(3)
    alpha, beta, lam = np.maximum(u, 1 - u).tolist()
    p = permutation(4, 0, 0, 3, 2**31 + 1)

    def error(maps: list[Tensor], image: Tensor) -> Tensor:
        wanted = (image - made.encoder.mean[0]) / made.encoder.std[0] if ndim == 2 else image
        return (made.up(maps, image.shape[2:]) - wanted).square().mean()

    e, q = made.f(v["x1"])
    s, k = made.slow(v["x2"])
    for maps, a in ((e, v["a1"]), (s, v["a2"])):
        gate = torch.sigmoid(made.gate.layers[2](made.gate.layers[0](a).relu()))
        maps[-1] = maps[-1] * gate[(...,) + (None,) * ndim]
    restored = error(e, v["t1"])
    restored += error(
        [alpha * x + (1 - alpha) * y for x, y in zip(e, s, strict=True)], alpha * v["t1"] + (1 - alpha) * v["t2"]
    )
    x1, x2, y1, y2 = (lam * v[name] + (1 - lam) * v[name][p] for name in ("x1", "x2", "y1", "y2"))
    (h, q_), (hs, ks) = made.f(x1), made.slow(x2)
    restored += error(h, y1)
    restored += error([beta * x + (1 - beta) * y for x, y in zip(h, hs, strict=True)], beta * y1 + (1 - beta) * y2)
    pairs = ((q, k), (q_, ks), (q_, lam * k + (1 - lam) * k[p]))
    compared = sum(slow_nce(*pair, made.bank.keys, 0.2) for pair in pairs)
    torch.testing.assert_close(made(v, STEP).loss, compared / 3 + restored / 4)


def test_shares_are_of_the_student_mostly_and_count_from_seed_and_step_alone() -> None:
    drawn = np.array([pcrl.shares((0, 0, step)) for step in range(500)])
    assert drawn.min() >= 0.5
    assert np.all(np.abs(drawn.mean(0) - 0.75) < 0.03)
    assert np.all(np.abs(np.corrcoef(drawn.T) - np.eye(3)) < 0.15)
    assert pcrl.shares((0, 0, 3)) != pcrl.shares((1, 0, 3))


def test_the_loss_of_held_out_images_depends_on_no_draw_but_that_of_training_does() -> None:
    made, batch = method(), views()

    def losses() -> list[float]:
        return [float(made(batch, STEP._replace(step=step)).loss.detach()) for step in range(3)]

    assert len(set(losses())) == 3
    made.eval()
    assert len(set(losses())) == 1


@pytest.mark.parametrize("groups", [1, 2])
def test_all_learn_by_gradient_but_the_slow_copy(groups: int) -> None:
    made = method(groups=groups)
    made(views(), STEP).loss.backward()
    without = [name for name, p in made.named_parameters() if p.grad is None]
    assert without == [f"slow.{name}" for name, _ in made.slow.named_parameters()]
    assert all(p.grad.abs().sum() > 0 for p in made.gate.parameters())


def test_maps_of_the_slow_copy_come_back_in_order() -> None:
    made, x = method(groups=2).train(), views()["x2"]
    order = torch.from_numpy(permutation(4, 7))
    maps, z = made.slowly(x, (7,))
    shuffled = torch.empty_like(x)
    shuffled[:] = x[order]
    again, again_z = made.slow(shuffled)
    torch.testing.assert_close(z[order], again_z)
    assert all(torch.equal(a[order], b) for a, b in zip(maps, again, strict=True))


def test_slow_copy_and_bank_move_after_the_update_alone() -> None:
    made = method(momentum=0.75)
    step = made(batch := views(), STEP)
    with torch.no_grad():
        for p in made.f.parameters():
            p.add_(1)
    before = [p.clone() for p in made.slow.parameters()]
    made.after_update([step.carry])
    for slow, old in zip(made.slow.parameters(), before, strict=True):
        torch.testing.assert_close(slow, old + 0.25)
    assert torch.equal(made.bank.keys[:4], step.carry[0])
    torch.testing.assert_close(step.carry[0].norm(dim=1), torch.ones(4))
    assert torch.equal(made.bank.box[:4], batch["box"])
    assert made.bank.filled == 4


@pytest.mark.parametrize("ndim", [2, 3])
def test_it_learns_and_the_same_seed_gives_the_same_losses(ndim: int) -> None:
    batch = views(ndim)

    def losses(steps: int) -> list[float]:
        made, found = method(ndim), []
        optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
        for _ in range(steps):
            step = made(batch, STEP)
            optimizer.zero_grad()
            step.loss.backward()
            optimizer.step()
            made.after_update([step.carry])
            found.append(step.log["restoration"].item())
        return found

    first = losses(8)
    assert first[-1] < 0.9 * first[0]
    assert losses(2) == first[:2]


def test_defaults_of_the_run_are_the_references_in_2d() -> None:
    run = configure("pcrl", {})
    assert (run.backbone, run.ndim, run.batch, run.epochs, run.start) == ("resnet18", 2, 64, 240, "")
    optim = run.optim
    assert (optim.kind, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", 1e-3, 0.9, 1e-4)
    assert run.method.bank % run.batch == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patch": (16, 8, 8)}, "method.patch"),
        ({"sizes": ()}, "method.sizes"),
        ({"backbone": "fpn4x3-finest"}, "level"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words.replace(".", r"\.")):
        method(**settings)


def test_what_does_not_fit_is_refused_or_said() -> None:
    with pytest.raises(SettingError, match="multiple"):
        method().check(12, 1)
    with pytest.raises(DataError, match="arbitrary scale"):
        pcrl.crops(generator(0), SimpleNamespace(unit="arbitrary", path="some.b2nd"), SMALL, 0)
    log = method(3)(views(3, replace(SMALL, sizes=((32, 32, 24),))), STEP).log
    assert log["clamped"] == pytest.approx(1 - (24 / 32) ** 2)
    assert any("clamped" in text for text in pcrl.alarms({"clamped": float(log["clamped"])}, SMALL))
    assert any("collapse" in text for text in pcrl.alarms({"spread": 0.1, "effective_rank": 1.0}, SMALL))
    assert pcrl.alarms({"clamped": 0.0, "spread": 0.9}, SMALL) == []
