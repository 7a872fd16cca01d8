"""What may run beside a training: it looks through the encoder, keeps books of its own, and changes nothing of the run.

The loop does not know what it is, and keeps the promise for it: the encoder is shown as a function without gradients and in
evaluation mode, random numbers drawn beside the run are not missed in it, and the time is told apart.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vesalius.features import evaluating
from vesalius.methods.step import Progress
from vesalius.train.logbook import Clock

See = Callable[[Tensor], list[Tensor]]  # images (B, C, *S) in 0..1 -> the pyramid, fp32, finest first


class Beside(Protocol):
    """Called after each update of the encoder. name: of its share of the time."""

    name: str

    def __call__(self, see: See, now: Progress) -> Mapping[str, float]:
        """Numbers for a line of the log after step `now`, none for no line. see: the encoder as it is then."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that it needs to go on as if it had never stopped."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> None:
        """Put back what `state_dict` gave. An error where it does not fit."""
        ...


Begin = Callable[[nn.Module, torch.device], Beside]  # the method's encoder, still on the CPU, and where it will be


class Aside:
    """What runs beside a training, or nothing; on the first process alone."""

    def __init__(self, fabric: Fabric, encoder: nn.Module, begin: Begin | None) -> None:
        self._fabric, self._encoder = fabric, encoder
        self._gpus = [fabric.device] if fabric.device.type == "cuda" else []
        self._beside: Beside | None = None
        if begin is not None and fabric.is_global_zero:
            with torch.random.fork_rng(self._gpus):
                self._beside = begin(encoder, fabric.device)

    def __call__(self, now: Progress, clock: Clock) -> dict[str, float]:
        """The numbers after step `now`; {} for none."""
        if self._beside is None:
            return {}
        begun = self._time()
        with torch.random.fork_rng(self._gpus):
            numbers = dict(self._beside(self._see, now))
        name = self._beside.name
        clock.beside[name] = clock.beside.get(name, 0.0) + self._time() - begun
        return numbers

    def state_dict(self) -> dict[str, Tensor]:
        """To be saved with the run."""
        return {} if self._beside is None else self._beside.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on; where nothing was saved, it begins anew."""
        if self._beside is not None and state:
            self._beside.load_state_dict(state)

    def _see(self, images: Tensor) -> list[Tensor]:
        encoder: Any = self._encoder
        weight = next(encoder.parameters())
        # Nothing could be trained on tensors that were made in inference mode.
        with evaluating(encoder), torch.inference_mode(False), torch.no_grad(), self._fabric.autocast():
            return [level.float() for level in encoder(images.to(weight))]

    def _time(self) -> float:
        """Seconds, once a GPU has done what it was given."""
        for gpu in self._gpus:
            torch.cuda.synchronize(gpu)
        return time.perf_counter()
