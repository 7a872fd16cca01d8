"""Jitter, grayscale, blur and units against Pillow, scipy and colorsys; the whole of Adam's view against the reference."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import correlate1d, gaussian_filter

from vesalius.errors import DataError
from vesalius.views.augment import apply_all, draw_all
from vesalius.views.crops import resize
from vesalius.views.intensity import ColorJitter, GaussianBlur, RandomGrayscale, ToUnit, luminance, shift_hue, to_unit
from vesalius.views.spatial import HorizontalFlip, Rotation

SHARED = Path(__file__).resolve().parents[3] / "shared"
OPS = {"brightness": 0, "contrast": 1, "saturation": 2, "hue": 3}


def images(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def slow_jitter(pixels: np.ndarray, params: np.ndarray) -> np.ndarray:
    """(3, N) RGB, one operation after the other, as its definition says."""
    grey = np.array((0.299, 0.587, 0.114))
    for op in np.argsort(params[4:]):
        factor = params[op]
        if op == OPS["hue"]:
            hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels.T]
            pixels = np.array([colorsys.hsv_to_rgb((h + factor) % 1, s, v) for h, s, v in hsv]).T
        else:
            other = (0, (grey @ pixels).mean(), grey @ pixels)[op]
            pixels = np.clip(factor * pixels + (1 - factor) * other, 0, 1)
    return pixels


@pytest.mark.parametrize("shape", [(3, 9, 7), (3, 5, 4, 3)])
def test_jitter_agrees_with_one_operation_after_the_other(shape: tuple[int, ...]) -> None:
    x, rng = images(0, (12, *shape)), np.random.default_rng(0)
    params = np.stack([draw_all([ColorJitter(p=0.9)], rng, 2) for _ in x])
    ours = ColorJitter().apply(x, torch.from_numpy(params)).numpy()
    for sample, jittered, own in zip(x.numpy(), ours, params, strict=True):
        np.testing.assert_allclose(jittered.reshape(3, -1), slow_jitter(sample.reshape(3, -1), own), atol=2e-5)


def test_one_grey_channel_is_jittered_as_grey_rgb() -> None:
    x, rng = images(1, (16, 1, 12, 10)), np.random.default_rng(1)
    params = torch.from_numpy(np.stack([draw_all([ColorJitter()], rng, 2) for _ in x]))
    colour = ColorJitter().apply(x.expand(-1, 3, -1, -1), params)
    grey = ColorJitter().apply(x, params)
    torch.testing.assert_close(colour, grey.expand_as(colour), atol=2e-5, rtol=0)
    assert not torch.allclose(grey, x)


def test_jitter_draws_what_torchvision_draws() -> None:
    rng, jitter = np.random.default_rng(0), ColorJitter()
    drawn = np.stack([jitter.draw(rng, 2) for _ in range(4000)])
    on = drawn[(drawn[:, :4] != (1, 1, 1, 0)).any(1)]
    assert len(on) / 4000 == pytest.approx(0.8, abs=0.02)
    for values, low, high in zip(on[:, :4].T, (0.6, 0.6, 0.6, -0.1), (1.4, 1.4, 1.4, 0.1), strict=True):
        assert np.abs((np.sort(values) - low) / (high - low) - np.linspace(0, 1, len(on))).max() < 1.63 / len(on) ** 0.5
    orders = np.unique(on[:, 4:], axis=0, return_counts=True)[1]
    assert len(orders) == 24
    assert orders.min() > 0.6 * len(on) / 24
    assert ColorJitter(brightness=3, p=1).draw(rng, 2)[0] >= 0


def test_neutral_parameters_and_whole_turns_change_nothing() -> None:
    x = images(2, (2, 3, 6, 5))
    off = torch.from_numpy(np.stack([draw_all([ColorJitter(p=0)], np.random.default_rng(0), 2)] * 2))
    assert torch.equal(ColorJitter().apply(x, off), x)
    torch.testing.assert_close(shift_hue(x, torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)), x, atol=1e-5, rtol=0)
    assert torch.equal(GaussianBlur().apply(x, torch.zeros(2, 1)), x)


def test_grayscale_agrees_with_pillow_and_leaves_one_channel() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    x = to_unit(torch.from_numpy(colour.transpose(2, 0, 1))[None], "0..1").repeat(2, 1, 1, 1)
    ours = RandomGrayscale().apply(x, torch.tensor([[1.0], [0.0]]))
    expected = np.asarray(Image.fromarray(colour).convert("L"), np.float32) / 255
    np.testing.assert_allclose(ours[0], np.broadcast_to(expected, (3, 9, 8)), atol=0.6 / 255)
    assert torch.equal(ours[1], x[1])
    assert torch.equal(RandomGrayscale().apply(x[:, :1], torch.ones(2, 1)), luminance(x[:, :1]))


@pytest.mark.parametrize("shape", [(1, 40, 33), (3, 20, 24), (1, 14, 12, 13)])
def test_blur_agrees_with_scipy(shape: tuple[int, ...]) -> None:
    x, sigmas = images(3, (5, *shape)), (0.1, 0.0, 0.7, 1.3, 2.0)
    ours = GaussianBlur().apply(x, torch.tensor(sigmas)[:, None]).numpy()
    for sample, blurred, sigma in zip(x.numpy(), ours, sigmas, strict=True):
        radius = int(np.ceil(3 * sigma))
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-6)) ** 2)
        expected = sample
        for axis in range(1, len(shape)):
            expected = correlate1d(expected, taps / taps.sum(), axis, mode="nearest")
        np.testing.assert_allclose(blurred, expected, atol=1e-5)
        exact = gaussian_filter(sample, sigma, mode="nearest", truncate=6, axes=range(1, len(shape)))
        assert np.abs(blurred - exact).max() < 0.01


def test_units() -> None:
    byte, wide = torch.tensor([0, 255], dtype=torch.uint8), torch.tensor([0, 65535]).to(torch.uint16)
    assert to_unit(byte, "0..1").tolist() == to_unit(wide, "0..1").tolist() == [0, 1]
    assert to_unit(torch.tensor([0.25, 0.5]), "0..1").tolist() == [0.25, 0.5]
    hounsfield = torch.tensor([-2000, -1000, 0, 1000, 3000], dtype=torch.int16)
    assert to_unit(hounsfield, "HU").tolist() == pytest.approx([0, 350 / 2350, 1350 / 2350, 1, 1])
    assert to_unit(hounsfield, "HU", (-1000, 0)).tolist() == [0, 0, 1, 1, 1]
    for values, unit in ((torch.ones(3), "arbitrary"), (hounsfield, "0..1")):
        with pytest.raises(DataError, match="no known range"):
            to_unit(values, unit)


@pytest.mark.parametrize("shape", [(1, 30, 31), (3, 16, 24), (1, 9, 10, 11)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_sample_comes_out_the_same_however_the_batch_is_split(shape: tuple[int, ...], threads: int) -> None:
    row = (ToUnit(), ColorJitter(), RandomGrayscale(), GaussianBlur(), Rotation(), HorizontalFlip())
    x, rng = (images(4, (8, *shape)) * 255).byte(), np.random.default_rng(0)
    params = torch.from_numpy(np.stack([draw_all(row, rng, len(shape) - 1) for _ in x]))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = apply_all(row, x, params)
        assert torch.equal(whole, torch.cat([apply_all(row, x[i : i + 4], params[i : i + 4]) for i in (0, 4)]))
        assert torch.equal(whole, torch.cat([apply_all(row, x[i : i + 1], params[i : i + 1]) for i in range(8)]))
    finally:
        torch.set_num_threads(before)
    assert 0 <= whole.min() <= whole.max() <= 1


@pytest.mark.parametrize("shape", [(1, 30, 31), (3, 16, 24), (1, 9, 10, 11)])
def test_whole_batches_agree_with_single_samples(shape: tuple[int, ...]) -> None:
    """`change` on a whole batch is what runs off the CPU, where mixed batches are taken apart and put together."""
    row = (ColorJitter(), RandomGrayscale(), GaussianBlur(), Rotation(), HorizontalFlip())
    x, rng = images(5, (8, *shape)), np.random.default_rng(0)
    for augmentation in row:
        params = torch.from_numpy(np.stack([draw_all([augmentation], rng, len(shape) - 1) for _ in x]))
        batched = augmentation.change(x.clone(), *augmentation.terms(params, shape))
        torch.testing.assert_close(batched, augmentation.apply(x, params), atol=1e-6, rtol=0)


def test_the_input_is_left_as_it_was_and_empty_batches_pass() -> None:
    row = (ColorJitter(p=1), GaussianBlur(p=1), Rotation())
    x, params = images(6, (2, 1, 20, 20)), torch.from_numpy(np.stack([draw_all(row, np.random.default_rng(0), 2)] * 2))
    before = x.clone()
    assert not torch.equal(apply_all(row, x, params), before)
    assert torch.equal(x, before)
    assert apply_all(row, x[:0], params[:0]).shape == (0, 1, 20, 20)
    assert apply_all((), x, torch.zeros(2, 0)) is x


def test_a_network_may_be_trained_on_the_result() -> None:
    views = apply_all((GaussianBlur(p=1), Rotation()), images(7, (2, 1, 8, 8)), torch.tensor([[1.0, 9.0, 0.0]] * 2))
    weight = torch.ones(1, requires_grad=True)
    (views * weight).sum().backward()
    torch.testing.assert_close(weight.grad, views.sum()[None])


class Recorder:
    """A generator that notes what the reference draws, so that our view can be made of the same numbers."""

    def __init__(self, seed: int) -> None:
        self.rng, self.calls = np.random.default_rng(seed), []

    def __getattr__(self, name: str):
        def draw(*args):
            value = getattr(self.rng, name)(*args)
            self.calls.append((name, args, value))
            return value

        return draw

    def view(self, width: int, height: int) -> tuple[tuple[slice, slice], np.ndarray]:
        """The crop, and the parameters of (ColorJitter, GaussianBlur, Rotation)."""
        values = [value for *_, value in self.calls]
        corner = next(i for i, (name, *_) in enumerate(self.calls) if name == "integers")
        area, ratio = width * height * values[corner - 2], np.exp(values[corner - 1])
        (x, y), (w, h) = values[corner : corner + 2], (round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio)))
        rest, jitter = self.calls[corner + 2 :], [1, 1, 1, 0, 0, 1, 2, 3]
        if rest.pop(0)[2] < 0.8:
            order = rest.pop(0)[2]
            for turn, op in enumerate(order):
                jitter[op], jitter[4 + op] = rest.pop(0)[2], turn
        sigma = rest.pop(0)[2] < 0.5 and rest.pop(0)[2]
        return (slice(y, y + h), slice(x, x + w)), np.array((*jitter, sigma, rest.pop(0)[2], 0), np.float32)


def test_adam_views_have_the_reference_s_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same images, same numbers: mean, deviation, quantiles and spectrum of 96 views agree; so does each view by itself."""
    if not (SHARED / "bench").is_dir():
        pytest.skip("the reference implementation and the radiographs are not in shared/ beside the checkout")
    monkeypatch.syspath_prepend(SHARED / "bench")
    reference = pytest.importorskip("reference")
    row = (ToUnit(), ColorJitter(), GaussianBlur(), Rotation(mode="nearest"))
    ours, theirs = [], []
    for i, file in enumerate(sorted((SHARED / "data/cxr/nih/images").glob("*.jpg"))[:24]):
        with Image.open(file) as opened:
            grey = np.asarray(opened.convert("L"))
        for seed in range(4):
            rng = Recorder(4 * i + seed)
            view = reference.adam_view(Image.fromarray(grey).convert("RGB"), rng, 112)
            theirs.append(view[0] * reference.IMAGENET_STD[0] + reference.IMAGENET_MEAN[0])
            box, params = rng.view(*grey.shape[::-1])
            x = torch.from_numpy(resize(grey[None, *box], (112, 112)))[None]
            ours.append(apply_all(row, x, torch.from_numpy(params)[None])[0, 0].numpy())
    a, b = np.stack(ours), np.stack(theirs)
    assert np.abs(a - b).mean() < 0.006  # a level and a half of 255: Pillow rounds after each step
    np.testing.assert_allclose(a.mean((1, 2)), b.mean((1, 2)), atol=0.01)
    np.testing.assert_allclose(a.std((1, 2)), b.std((1, 2)), atol=0.01)
    levels = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(np.quantile(a, levels), np.quantile(b, levels), atol=0.006)
    spectra = [(np.abs(np.fft.rfft2(v)) ** 2).mean(0) for v in (a, b)]
    radius = np.hypot(np.fft.fftfreq(112)[:, None], np.fft.rfftfreq(112))
    for low in np.arange(0, 0.5, 0.1):
        band = (radius >= low) & (radius < low + 0.1)
        assert spectra[0][band].sum() == pytest.approx(spectra[1][band].sum(), rel=0.1)


def test_our_own_draws_follow_the_reference_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers that the reference draws and ours have the same quantiles (jitter, sigma, angle)."""
    if not (SHARED / "bench").is_dir():
        pytest.skip("the reference implementation is not in shared/ beside the checkout")
    monkeypatch.syspath_prepend(SHARED / "bench")
    reference = pytest.importorskip("reference")
    row, tile, rng = (ColorJitter(), GaussianBlur(), Rotation()), Image.new("RGB", (32, 32)), np.random.default_rng(0)
    theirs = []
    for seed in range(1500):
        recorder = Recorder(seed)
        reference.adam_view(tile, recorder, 4)
        theirs.append(recorder.view(32, 32)[1])
    ours = np.stack([draw_all(row, rng, 2) for _ in theirs])
    for mine, other in zip(ours.T, np.stack(theirs).T, strict=True):
        points = np.unique(np.concatenate([mine, other]))
        distance = [np.searchsorted(np.sort(v), points, side="right") / len(v) for v in (mine, other)]
        assert np.abs(distance[0] - distance[1]).max() < 1.95 * np.sqrt(2 / len(ours))
