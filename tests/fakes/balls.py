"""Volumes that hold one bright ball, as a data set hands them over."""

import numpy as np

from vesalius.chance import generator
from vesalius.features.subjects import Subject


def volume(i, shape=(20, 24, 18), structures=("ball",)):
    """A bright ball in a body of noise, air on one side; the mask is the ball."""
    rng = generator(i)
    middle = rng.uniform(7, 11, 3).reshape(3, 1, 1, 1)
    ball = ((np.indices(shape) - middle) ** 2).sum(0) < 20
    body = np.ones(shape, bool)
    body[:, -4:] = False
    pixels = np.where(body, rng.normal(0, 60, shape), -1000) + 600 * ball
    packed = np.packbits(np.repeat(ball[None], len(structures), 0), axis=0)
    return Subject(
        f"i{i}", f"p{i}", pixels[None].astype(np.int16), "HU", {}, structures, packed, inside=np.packbits(body)
    )


def places(subject):
    return {"ball": np.flatnonzero(subject.mask[0])}
