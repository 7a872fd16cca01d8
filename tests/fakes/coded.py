"""Phantom bodies whose pixels say where in the body they are, and the embedding that reads it: what a measure must score well.

Every body is laid over body 0 by the affine motion that fits their landmarks best; the channels of an image hold the place
in body 0. So the best match of a point is known without any search, and with it the error that a measure must find.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from vesalius.data.datasets import open_dataset
from vesalius.data.scan import Labels, Scan
from vesalius.space.warp import fit_affine, inverse, move

TOP = 65535
MARGIN = 1.0  # places from -1 to 2 of the image fit into 0..1


@dataclass
class Coded:
    """A phantom with `ndim` channels of places; landmarks and masks are the phantom's."""

    spec: str
    exact: bool = False  # landmarks moved to where body 0's lie after the fit, so that an oracle makes no error at all
    cache: dict = field(default_factory=dict)

    def __post_init__(self):
        self.data = open_dataset(self.spec)
        self.ids = self.data.ids
        self.patient = self.data.patient

    def matrix(self, id):
        """Voxels of `id` -> voxels of the first body."""
        if id not in self.cache:
            one, first = self.data.landmarks(id), self.data.landmarks(self.ids[0])
            common = sorted(one.keys() & first.keys())
            self.cache[id] = fit_affine([one[name] for name in common], [first[name] for name in common])
        return self.cache[id]

    def read(self, id):
        scan = self.data.read(id)
        shape = np.array(scan.shape)
        places = move(self.matrix(id), np.stack(np.indices(scan.shape), -1).reshape(-1, len(shape)))
        code = ((places / shape + MARGIN) / 3).clip(0, 1).T.reshape(-1, *scan.shape)
        image = np.rint(code * TOP).astype(np.uint16)
        return Scan(image, "0..1", id, scan.patient, scan.spacing, scan.affine)

    def landmarks(self, id):
        first, own = self.data.landmarks(self.ids[0]), self.data.landmarks(id)
        if not self.exact:
            return own
        back = inverse(self.matrix(id))
        return {name: move(back, first[name][None])[0] for name in own if name in first}

    def labels(self, id):
        found = self.data.labels(id)
        return Labels({}, found.structures, found.mask, found.known, self.landmarks(id), {})


def oracle(patches, _):
    """(N, ndim, *size) -> (N, 2 * ndim): the place at the middle of each patch, on a circle; zeros out of the image."""
    inner = tuple(slice((n - 1) // 2, n // 2 + 1) for n in patches.shape[2:])
    middle = patches[(slice(None), slice(None), *inner)].flatten(2)
    code = 3 * middle.mean(2)
    even = (middle.amax(2) - middle.amin(2)).amax(
        1
    ) < 0.08  # else black came in from outside: it would look like another place
    seen = even & (middle.amin((1, 2)) > 0.1)
    return torch.cat([code.cos(), code.sin()], 1) * seen[:, None]


def constant(patches, _):
    """The same for every patch."""
    return torch.ones(len(patches), 3)
