"""Where a patient stands before the machine."""

from dataclasses import dataclass

import numpy as np

from vesalius.data.phantom.shapes import Floats

FIELD = 370.0  # mm, side of the square that is kept
CENTRE = (0.0, 0.0, -38.0)  # canonical mm: what is aimed at
EXTENT = ((-280, -150, -430), (280, 150, 230))  # canonical mm: where there is a body


@dataclass(frozen=True, eq=False)
class Pose:
    """world = turn @ (body - centre) + shift, in RAS+ mm; the detector sees `field` mm of the world's x and z."""

    turn: Floats  # (3, 3) rotation
    centre: Floats  # (3,)
    shift: Floats  # (3,)
    field: float

    @classmethod
    def draw(cls, rng: np.random.Generator, scale: Floats) -> "Pose":
        """A patient never stands quite straight: tilt +-20, yaw +-8, pitch +-6 degrees; shift; magnification."""
        tilt, yaw, pitch = np.deg2rad(rng.uniform(-1, 1, 3) * (20, 8, 6))
        turn = _rotation(1, tilt) @ _rotation(0, pitch) @ _rotation(2, yaw)
        shift = rng.uniform(-1, 1, 3) * (30, 8, 30)
        return cls(turn, np.array(CENTRE) * scale, shift, FIELD * float(rng.uniform(0.76, 1.3)))

    def world(self, points: Floats) -> Floats:
        """Body mm (..., 3) -> world RAS+ mm."""
        return np.asarray((np.asarray(points) - self.centre) @ self.turn.T + self.shift)

    def reach(self, half: tuple[float, float, float], scale: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest corner, body mm, of what a world box of `half` sides around its origin holds of the body."""
        corners = np.stack(np.meshgrid(*((-h, h) for h in half), indexing="ij"), -1).reshape(-1, 3)
        inside = self.body(corners)
        low, high = np.array(EXTENT) * scale
        return np.maximum(inside.min(0), low), np.minimum(inside.max(0), high)

    def body(self, world: Floats) -> Floats:
        """World RAS+ mm (..., 3) -> body mm."""
        return np.asarray((np.asarray(world) - self.shift) @ self.turn + self.centre)

    def pixel(self, world: Floats, size: int) -> Floats:
        """World mm (..., 3) -> (row, column) (..., 2) on a detector of size x size pixels: head up, right on the left."""
        pitch = self.field / size
        return np.stack(((size - 1) / 2 - world[..., 2] / pitch, (size - 1) / 2 - world[..., 0] / pitch), -1)


def _rotation(axis: int, angle: float) -> Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = cos, -sin, sin, cos
    return matrix
