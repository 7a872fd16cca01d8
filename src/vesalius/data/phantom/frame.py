"""The canonical torso and how one person departs from it: lengths in mm, the carina at the origin.

The numbers are those of an adult's textbook anatomy, rounded: heights of vertebrae, the shape of the rib cage.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from vesalius.data.phantom.shapes import Floats

STRUCTURES = (
    "trunk",
    "lung_right",
    "lung_left",
    "heart",
    "aorta",
    "trachea",
    "spine",
    "ribs",
    "clavicles",
    "liver",
    "spleen",
    "kidney_right",
    "kidney_left",
)  # label k of a voxel is STRUCTURES[k - 1]; the mask of the trunk is every voxel of the body
SIDES = ((1, "right"), (-1, "left"))  # sign of x, name
LABEL = {name: k + 1 for k, name in enumerate(STRUCTURES)}

VERTEBRAE = ("C5", "C6", "C7", *(f"T{k}" for k in range(1, 13)), "L1", "L2", "L3", "L4", "L5")
_PITCH = (17, 17, 18, 19, 19.5, 20, 20.5, 21, 21.5, 22, 22.5, 23.5, 24.5, 26, 29, 30, 32, 33, 34)
HEIGHT = dict(zip(VERTEBRAE, 5 + sum(_PITCH[:7]) - np.cumsum((0, *_PITCH)), strict=True))  # z of each body, T5 at 5 mm
CURVE = PchipInterpolator((-420, -310, -200, -60, 60, 140), (-56, -34, -36, -60, -46, -26))  # y of the vertebral bodies

# inner wall of the rib cage: z, half width, half depth, centre y
_CAGE = np.array(
    (
        (-320, 118, 88, 2),
        (-240, 128, 96, 2),
        (-200, 135, 97, 1),
        (-160, 140, 98, 0),
        (-120, 139, 97, 0),
        (-80, 134, 93, -1),
        (-40, 126, 87, -3),
        (0, 116, 79, -6),
        (30, 105, 70, -9),
        (55, 91, 60, -13),
        (75, 80, 50, -17),
        (95, 68, 40, -20),
        (115, 56, 28, -22),
    ),
    float,
)


@dataclass(frozen=True, eq=False)
class Frame:
    """One person's departures from the canon, and the smooth map that carries canonical points to that person."""

    scale: Floats  # (3,) along x, y, z
    scoliosis: tuple[float, float]  # mm of lateral shift, phase in rad
    waves: Floats  # (3, 3, 5) for each axis three waves: direction (3), phase, height mm
    taper: float  # > 0: a chest wide at the base
    fat: float  # mm under the skin
    female: bool
    slope: float  # of the ribs, 1 is the canon
    bone: float  # density, 1 is the canon
    breath: tuple[float, float]  # mm by which the right and the left diaphragm stand higher
    heart: float  # size, 1 is the canon
    heart_turn: float  # rad

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Frame":
        """One person, out of many."""
        size = rng.normal(1, 0.05)
        waves = rng.normal(size=(3, 3, 5)) * (0.012, 0.012, 0.012, 0, 0)
        waves[..., 3] = rng.uniform(0, 2 * np.pi, (3, 3))
        waves[..., 4] = rng.normal(0, 2.5, (3, 3))
        deep = rng.normal(0, 7)
        return cls(
            scale=np.clip(size * np.array((rng.normal(1, 0.05), rng.normal(1, 0.07), rng.normal(1, 0.045))), 0.8, 1.2),
            scoliosis=(float(rng.normal(0, 5)), float(rng.uniform(0, 2 * np.pi))),
            waves=waves,
            taper=float(rng.normal(0, 0.05)),
            fat=float(rng.gamma(3, 4) + 3),
            female=bool(rng.random() < 0.5),
            slope=float(np.clip(rng.normal(1, 0.14), 0.6, 1.4)),
            bone=float(rng.uniform(0.75, 1.2)),
            breath=(float(deep + rng.normal(4, 5)), float(deep + rng.normal(-6, 6))),
            heart=float(np.clip(rng.normal(1, 0.1), 0.8, 1.3)),
            heart_turn=float(rng.normal(0, 0.15)),
        )

    def cage(self, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Half width, half depth and centre y (n,) of the inner rib cage at canonical heights z, (n,)."""
        a, b, y = PchipInterpolator(_CAGE[:, 0], _CAGE[:, 1:])(np.clip(z, -320, 115)).T
        return a * (1 - self.taper * z / 150), b, y

    def place(self, points: ArrayLike) -> Floats:
        """Canonical points (..., 3) -> this person's, mm."""
        at = np.asarray(points, float)
        x, z = at[..., 0], at[..., 2]
        phase = np.einsum("...k,dwk->...dw", at, self.waves[..., :3]) + self.waves[..., 3]
        moved = at + (np.sin(phase) * self.waves[..., 4]).sum(-1)
        moved[..., 0] += self.scoliosis[0] * np.sin(z / 70 + self.scoliosis[1]) * np.exp(-((x / 110) ** 2))
        return np.asarray(moved * self.scale)

    def lengths(self, a: float, b: float, c: float) -> tuple[float, float, float]:
        """Canonical lengths along x, y, z -> this person's, mm."""
        return a * float(self.scale[0]), b * float(self.scale[1]), c * float(self.scale[2])

    def knots(self, rows: Floats) -> Floats:
        """Canonical knots of a Stack, (n, 5), -> this person's."""
        rows = np.asarray(rows, float)
        centres = self.place(rows[:, (1, 3, 0)])
        sides = rows[:, (2, 4)] * self.scale[:2]
        placed = np.stack((centres[:, 2], centres[:, 0], sides[:, 0], centres[:, 1], sides[:, 1]), 1)
        return placed[np.argsort(placed[:, 0])]
