"""How a machine records what came through a body: Beer-Lambert, scatter, focal spot, quanta, and the film's manners.

The spread of contrast, brightness, curve and local contrast is that of a collection from many machines, and is what
makes the phantom hard: see `tests/data/test_phantom_difficulty.py`. It is fixed; change it and every number moves.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

WATER = 0.0195  # attenuation of water, 1/mm, near 70 keV
Image = NDArray[np.float32]


def expose(path: Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Water-equivalent mm (size, size) -> grey uint8, bone bright."""
    return np.round(255 * _film(_detect(path + _wires(len(path), rng), rng), rng)).astype(np.uint8)


def _detect(path: Image, rng: np.random.Generator) -> Image:
    """Minus the logarithm of what arrives: the beam that nothing stopped, what was scattered, and quantum noise."""
    size = len(path)
    beam = np.exp(-WATER * path)
    beam += rng.uniform(0.1, 0.35) * _blur(beam, 0.07 * size)
    beam = gaussian_filter(beam, rng.uniform(0.2, 0.7) * size / 256)
    beam += np.sqrt(beam / 10 ** rng.uniform(4.3, 5.2)) * rng.standard_normal(path.shape, np.float32)
    return np.asarray(-np.log(np.maximum(beam, 1e-4)), np.float32)


def _film(signal: Image, rng: np.random.Generator) -> Image:
    """Signal -> grey in 0..1: slow variation taken out, heel effect, window, curve, brightness, noise, collimation."""
    size = len(signal)
    signal = signal - np.float32(rng.uniform(0.1, 0.95)) * _blur(signal, rng.uniform(0.04, 0.15) * size)
    middle = signal[size // 8 : -size // 8, size // 8 : -size // 8]
    low, high = np.percentile(middle, (rng.uniform(0.5, 4), rng.uniform(95, 99.8)))
    grey = (signal - low) / (high - low)
    turn, ramp = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, size, dtype=np.float32)
    grey = grey + rng.uniform(0, 0.45) * (np.cos(turn) * ramp[:, None] + np.sin(turn) * ramp)
    grey = 1 / (1 + np.exp(-rng.uniform(2.5, 6) * (grey - rng.uniform(0.2, 0.8))))
    grey = rng.uniform(-0.1, 0.2) + rng.uniform(0.55, 1.1) * grey
    grey = grey + rng.uniform(0, 0.012) * rng.standard_normal(grey.shape, np.float32)
    grey = np.clip(grey, 0, 1).astype(np.float32)
    if rng.random() < 0.35:  # the diaphragm of the tube leaves a black border
        top, bottom, left, right = (rng.uniform(0, 0.07, 4) * size).astype(int)
        inside = np.zeros_like(grey)
        inside[top : size - bottom, left : size - right] = 1
        grey *= inside
    return np.asarray(grey, np.float32)


def _wires(size: int, rng: np.random.Generator) -> Image:
    """Leads and electrodes lying on some patients, in water-equivalent mm, (size, size)."""
    metal = np.zeros((size, size), np.float32)
    t = np.linspace(0, 1, 4 * size)[:, None]
    grid = np.arange(size)
    for _ in range(int(rng.integers(1, 5)) if rng.random() < 0.3 else 0):
        a, b, c = rng.uniform(-0.1, 1.1, (3, 2)) * size
        row, column = np.round((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c).astype(int).T
        seen = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        line = np.zeros_like(metal)
        line[row[seen], column[seen]] = rng.uniform(15, 40)
        disc = (grid[:, None] - a[0]) ** 2 + (grid - a[1]) ** 2 < (rng.uniform(0.015, 0.03) * size) ** 2
        metal += gaussian_filter(line, 0.6 * size / 256) + np.float32(rng.uniform(4, 15)) * disc
    return metal


def _blur(image: Image, sigma: float) -> Image:
    """Nearly a Gaussian of `sigma` pixels: three box filters, whose cost does not grow with sigma."""
    for _ in range(3):
        image = np.asarray(uniform_filter(image, max(round(np.sqrt(4 * sigma**2 + 1)), 1)), np.float32)
    return image
