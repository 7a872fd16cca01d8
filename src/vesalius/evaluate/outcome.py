"""What one training gives back, whatever the protocol."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one training gives. predictions: one a test subject, in order: probabilities (K, *S) in its prepared image for
    masks, or (K,) scores for classes. parameters: trainable ones. network: kept for `vesalius predict`, where there is one.
    """

    predictions: Iterable[NDArray[np.float32]]
    parameters: int
    network: nn.Module | None = None
