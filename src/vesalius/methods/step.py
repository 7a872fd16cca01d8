"""What a method hands back to the loop after one forward pass, and what a method module must offer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """loss: scalar to differentiate. log: name -> number or scalar tensor. carry: what `after_update` gets."""

    loss: Tensor
    log: Mapping[str, Tensor | float] = field(default_factory=dict)
    carry: Any = None


@dataclass(frozen=True)
class Progress:
    """Where the run stands. stage counts from 0; step counts from 0 within the stage; epochs is of this stage."""

    stage: int
    step: int
    steps: int
    epoch: int
    epochs: int
    seed: int
