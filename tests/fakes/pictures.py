"""Pictures with the look of the real thing, no two alike: enough for readers, hashes and the polarity rule."""

import numpy as np
from numpy.typing import NDArray


def radiograph(rng: np.random.Generator, shape: tuple[int, int] = (96, 96)) -> NDArray[np.uint8]:
    """(H, W): dark air, a bright body, two dark lungs, a bright spine, and smooth noise."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    dy, dx = rng.uniform(-0.1, 0.1, 2)
    body = np.hypot((x - dx) / 0.9, (y - 0.5 - dy) / 1.4) < 1
    lungs = np.minimum(
        np.hypot((x - dx - 0.4) / 0.25, (y + 0.1) / 0.6), np.hypot((x - dx + 0.4) / 0.25, (y + 0.1) / 0.6)
    )
    image = 120.0 * body - 70 * (lungs < 1) + 30 * (abs(x - dx) < 0.12)
    return np.clip(image + 30 + 12 * smooth(rng, shape), 0, 255).astype(np.uint8)


def fundus(rng: np.random.Generator, side: int = 64) -> NDArray[np.uint8]:
    """(H, W, 3): a red disc with an optic disc, black outside."""
    y, x = np.meshgrid(*2 * [np.linspace(-1, 1, side)], indexing="ij")
    disc = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.2, 0.2)) < 0.15
    colour = np.array((180, 80, 40)) + 60 * disc[..., None] + 10 * smooth(rng, (side, side))[..., None]
    return (np.clip(colour, 0, 255) * (np.hypot(x, y) < 1)[..., None]).astype(np.uint8)


def smooth(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Noise of mean 0 and about unit size, made of eight waves."""
    y, x = np.meshgrid(*(np.linspace(0, 2 * np.pi, side) for side in shape), indexing="ij")
    waves = [np.sin(a * x + b * y + c) for a, b, c in rng.uniform(-6, 6, (8, 3))]
    return np.sum(waves, axis=0) / 2
