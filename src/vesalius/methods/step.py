"""What a method hands back to the loop after one forward pass, and what a method module must offer."""

from typing import Any, NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """loss: scalar to differentiate. log: name -> scalar tensor. carry: what `after_update` gets."""

    loss: Tensor
    log: dict[str, Tensor]
    carry: Any = None


class Progress(NamedTuple):
    """Where the run stands: stage from 0, step from 0 within the stage, of the `steps` of its epochs, wherever it is to stop.

    logging: this step's log will be written, so numbers that cost time are worth making. A tuple, because Fabric takes no
    frozen dataclass under mixed precision."""

    stage: int
    step: int
    steps: int
    epoch: int
    epochs: int
    seed: int
    logging: bool = False
