"""Solids that every antero-posterior ray crosses at most once, and the painter that turns them into voxels.

Each shape answers one question, for the rays of a grid: where does a ray enter and leave? That makes a volume (sample
the rays) and a radiograph (add up along them) from one description. World: RAS+ mm, x right, y anterior, z superior.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Floats = NDArray[np.floating]
AIR = -1000.0  # HU


@dataclass(frozen=True, eq=False)
class Grid:
    """Regular voxel centres in mm, increasing: x (nx,), z (nz,) and, along the rays, y (ny,)."""

    x: Floats
    z: Floats
    y: Floats

    @classmethod
    def cover(cls, low: ArrayLike, high: ArrayLike, step: ArrayLike) -> "Grid":
        """The box from `low` to `high`, (x, y, z) mm, in voxels of `step` mm."""
        x, y, z = (
            a + h * (0.5 + np.arange(max(round((b - a) / h), 1)))
            for a, b, h in zip(*(np.asarray(v, float) for v in (low, high, step)), strict=True)
        )
        return cls(x, z, y)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nx, nz, ny): the rays run along the last axis, so that a ray is contiguous in memory."""
        return len(self.x), len(self.z), len(self.y)


@dataclass(frozen=True, eq=False)
class Crossing:
    """The n rays that meet a solid: their x and z indices (n,), and where they enter and leave, y in mm (n,)."""

    ix: NDArray[np.intp]
    iz: NDArray[np.intp]
    low: Floats
    high: Floats


class Shape(Protocol):
    """A solid whose meeting with every ray along y is one interval."""

    def cross(self, grid: Grid) -> Crossing:
        """Where the rays of `grid` cross it."""
        ...


def _span(axis: Floats, low: float, high: float) -> slice:
    start, stop = np.searchsorted(axis, (low, high))
    return slice(int(start), int(stop))


def _crossing(grid_x: slice, grid_z: slice, inside: NDArray[np.bool_], low: Floats, high: Floats) -> Crossing:
    ix, iz = np.nonzero(inside)
    return Crossing(ix + grid_x.start, iz + grid_z.start, low[ix, iz], high[ix, iz])


@dataclass(frozen=True, eq=False)
class Blob:
    """A superellipsoid |u/a|^p + |v/b|^p + |w/c|^p <= 1, turned by `angle` (rad) in the frontal plane.

    centre: (x, y, z) mm; axes: half sides (a, b, c) mm along x, y, z; lean: mm of y per mm of x and of z.
    """

    centre: Floats
    axes: tuple[float, float, float]
    angle: float = 0.0
    power: float = 2.0
    lean: tuple[float, float] = (0.0, 0.0)

    def cross(self, grid: Grid) -> Crossing:
        """Where the rays of `grid` cross it."""
        (cx, cy, cz), (a, b, c) = self.centre, self.axes
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        reach_x, reach_z = abs(a * cos) + abs(c * sin), abs(a * sin) + abs(c * cos)
        xs, zs = _span(grid.x, cx - reach_x, cx + reach_x), _span(grid.z, cz - reach_z, cz + reach_z)
        dx, dz = grid.x[xs, None] - cx, grid.z[None, zs] - cz
        u, w = np.abs(cos * dx + sin * dz) / a, np.abs(cos * dz - sin * dx) / c
        rest = 1 - u**self.power - w**self.power
        half = b * np.maximum(rest, 0) ** (1 / self.power)
        middle = cy + self.lean[0] * dx + self.lean[1] * dz
        return _crossing(xs, zs, rest > 0, middle - half, middle + half)


@dataclass(frozen=True, eq=False)
class Stack:
    """Superellipses stacked along z, their centre and half sides running smoothly through the knots (rows of `knots`).

    knots: (n, 5) z, centre x, half side x, centre y, half side y, in mm, z increasing.
    """

    knots: Floats
    power: float = 2.0

    def at(self, z: Floats) -> Floats:
        """(4, n): centre x, half side x, centre y, half side y at heights z, (n,), in mm."""
        return np.asarray(PchipInterpolator(self.knots[:, 0], self.knots[:, 1:])(z).T)

    def cross(self, grid: Grid) -> Crossing:
        """Where the rays of `grid` cross it."""
        zs = _span(grid.z, self.knots[0, 0], self.knots[-1, 0])
        cx, a, cy, b = self.at(grid.z[zs])
        a = np.maximum(a, 1e-6)
        xs = _span(grid.x, float((cx - a).min(initial=0)), float((cx + a).max(initial=0)))
        rest = 1 - np.abs((grid.x[xs, None] - cx) / a) ** self.power
        half = b * np.maximum(rest, 0) ** (1 / self.power)
        return _crossing(xs, zs, rest > 0, cy - half, cy + half)


@dataclass(frozen=True, eq=False)
class Tube:
    """A ball of changing radius swept along a polyline that no ray meets twice; `flat` scales its depth along y.

    points: (n, 3) mm; radii: (n,) mm.
    """

    points: Floats
    radii: Floats
    flat: float = 1.0

    def cross(self, grid: Grid) -> Crossing:
        """Where the rays of `grid` cross it: the union over its segments."""
        start, along, thin = self.points[:-1], np.diff(self.points, axis=0), np.diff(self.radii)
        origin = np.array((grid.x[0], grid.z[0]))
        step = np.array((grid.x[1], grid.z[1])) - origin
        low = np.minimum(start, self.points[1:])[:, ::2] - np.maximum(self.radii[:-1], self.radii[1:])[:, None]
        first = np.floor((low - origin) / step).astype(np.intp)
        width = np.ceil((np.abs(along[:, ::2]).max(0) + 2 * self.radii.max()) / step).astype(int) + 2
        ix, iz = (
            first[:, axis, None] + np.arange(width[axis]) for axis in (0, 1)
        )  # (segments, w): what each may touch
        dx = (origin[0] + step[0] * ix - start[:, :1])[:, :, None]
        dz = (origin[1] + step[1] * iz - start[:, 2:])[:, None, :]
        ex, ey, ez = along.T[..., None, None]
        t = np.minimum(np.maximum((dx * ex + dz * ez) / np.maximum(ex * ex + ez * ez, 1e-9), 0), 1)
        square = (self.radii[:-1, None, None] + t * thin[:, None, None]) ** 2 - (dx - t * ex) ** 2 - (dz - t * ez) ** 2
        known_x, known_z = (ix >= 0) & (ix < len(grid.x)), (iz >= 0) & (iz < len(grid.z))
        s, i, k = np.nonzero((square > 0) & known_x[:, :, None] & known_z[:, None, :])
        slope = ey / np.maximum(np.hypot(ex, ez), 1e-6)
        steep = np.minimum(np.hypot(1, slope), 1.5)  # a slanted tube is met for longer
        half = self.flat * steep[s, 0, 0] * np.sqrt(square[s, i, k])
        middle = start[s, 1] + t[s, i, k] * ey[s, 0, 0]
        return _union(ix[s, i], iz[s, k], middle - half, middle + half)


def _union(ix: NDArray[np.intp], iz: NDArray[np.intp], low: Floats, high: Floats) -> Crossing:
    """One interval a ray, from its lowest to its highest, where (ix, iz) may name a ray many times."""
    if not len(ix):
        return Crossing(ix, iz, low, high)
    corner = int(ix.min()), int(iz.min())
    shape = int(ix.max()) - corner[0] + 1, int(iz.max()) - corner[1] + 1
    lowest, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
    ray = (ix - corner[0]) * shape[1] + iz - corner[1]
    np.minimum.at(lowest.reshape(-1), ray, low)
    np.maximum.at(highest.reshape(-1), ray, high)
    i, k = np.nonzero(highest > lowest)
    return Crossing(i + corner[0], k + corner[1], lowest[i, k], highest[i, k])


@dataclass(frozen=True, eq=False)
class Part:
    """A shape filled with one tissue: mean HU, deviation of its texture in HU, and the label its voxels get.

    label 0 keeps the label that was there; `only_in_air` paints over lung and air alone (vessels inside a lung).
    """

    shape: Shape
    hu: float
    texture: float = 0.0
    label: int = 0
    only_in_air: bool = False


def _coverage(crossing: Crossing, y: Floats) -> tuple[slice, NDArray[np.float32]]:
    """The layers that a solid touches, and what share, 0..1, of each voxel of them lies between low and high: (n, m)."""
    step = y[1] - y[0]
    layers = _span(y, float(crossing.low.min()) - step / 2, float(crossing.high.max()) + step / 2)
    edge = (y[layers] - step / 2).astype(np.float32)
    low, high = (side.astype(np.float32)[:, None] for side in (crossing.low, crossing.high))
    share = np.minimum(high, edge + np.float32(step))
    share -= np.maximum(low, edge)
    share /= np.float32(step)
    return layers, np.clip(share, 0, 1, out=share)


def paint(parts: Sequence[Part], grid: Grid, texture: NDArray[np.float32]) -> NDArray[np.float32]:
    """HU of every voxel, (nx, nz, ny): each part over those before it, mixed in by the share of the voxel it fills.

    texture: (nx, nz, ny), zero mean and unit deviation; see `texture`.
    """
    hu = np.full(grid.shape, AIR, np.float32)
    for part in parts:
        crossing = part.shape.cross(grid)
        if not len(crossing.ix):
            continue
        layers, share = _coverage(crossing, grid.y)
        at = (crossing.ix, crossing.iz, layers)
        before = hu[at]
        if part.only_in_air:
            share *= before < -400
        tissue = texture[at] * np.float32(part.texture) + np.float32(part.hu) if part.texture else part.hu
        hu[at] = before + share * (tissue - before)
    return hu


def label(parts: Sequence[Part], grid: Grid) -> NDArray[np.uint8]:
    """The label of every voxel, (nx, nz, ny), 0 outside the body: that of the last part which fills half of it."""
    labels = np.zeros(grid.shape, np.uint8)
    for part in parts:
        crossing = part.shape.cross(grid) if part.label else None
        if crossing is None or not len(crossing.ix):
            continue
        layers, share = _coverage(crossing, grid.y)
        at = (crossing.ix, crossing.iz, layers)
        labels[at] = np.where(share >= 0.5, np.uint8(part.label), labels[at])
    return labels


def texture(grid: Grid, rng: np.random.Generator, pitch: float, reach: float = 340.0) -> NDArray[np.float32]:
    """Smooth noise at the voxels of `grid`, (nx, nz, ny) float32, zero mean, unit deviation on its lattice.

    The lattice of `pitch` mm spans -reach..reach mm whatever the grid: a volume and a radiograph see the same field.
    """
    n = int(np.ceil(2 * reach / pitch)) + 3
    x, z, y = (_spline((centres + reach) / pitch + 1, n) for centres in (grid.x, grid.z, grid.y))
    field = rng.standard_normal((n, n, n // 2), np.float32) @ y[:, n // 4 : n // 4 + n // 2].T
    return np.asarray((x @ (z @ field).reshape(n, -1)).reshape(grid.shape))


def _spline(position: Floats, n: int) -> NDArray[np.float32]:
    """(m, n) rows of quadratic B-spline weights at `position`, (m,), in lattice steps, scaled to unit energy."""
    away = np.abs(position[:, None] - np.arange(n))
    weights = np.where(away < 0.5, 0.75 - away**2, 0.5 * np.maximum(1.5 - away, 0) ** 2)
    energy = np.maximum((weights**2).sum(1, keepdims=True), 1e-6)
    return np.asarray(weights / np.sqrt(energy), np.float32)
