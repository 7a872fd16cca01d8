"""Two ways of one step in turn, in one process on the same threads: what the benchmarks of bf16 share. Alone it does nothing.

Each prints a last line `NAME_bf16 RATIO`, plain seconds over the product's; `NAME_auto RATIO` on a device without bf16 units,
where the product stays in fp32. With --emulate bf16 runs there all the same, to see that it works: its ratio says nothing.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vesalius.compute import has_bf16
from vesalius.methods.step import Progress

Step = Callable[[int], object]  # of its number


@dataclass(frozen=True)
class Track:
    """Where the sides race. bf16: whether the product's does; units: whether the device has what makes it fast."""

    device: str
    bf16: bool
    units: bool


def track(emulate: bool = False) -> Track:
    """The GPU where there is one; set up as training sets it up, for both sides."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_flush_denormal(True)
    else:
        torch.backends.cudnn.benchmark = True
    units = has_bf16(device)
    return Track(device, units or emulate, units)


def stepper(
    views: dict[str, Tensor], method: nn.Module, optimizer: torch.optim.Optimizer, bf16: bool, clip: float = math.inf
) -> Callable[[int], float]:
    """A function of the step's number that makes a step of pretraining on `views` and gives its loss.

    clip: greatest norm of the gradient, which is measured in any case, as the loop does.
    """
    device = views["x1"].device.type

    def step(t: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = method(views, Progress(0, t, 100, 0, 1, 0)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), clip)
        optimizer.step()
        return float(loss.detach())

    return step


def seconds(step: Step, t: int, device: str) -> float:
    """Of one step, which should read its loss at its end: a GPU has then all but finished; the rest is waited for too."""
    begun = time.perf_counter()
    step(t)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def race(plain: Step, product: Step, rounds: int, device: str) -> tuple[float, float]:
    """Seconds of a step of each: the median of `rounds`, after one that does not count."""
    spent = [[seconds(step, t, device) for step in (plain, product)] for t in range(rounds + 1)][1:]
    slow, quick = (statistics.median(times) for times in zip(*spent, strict=True))
    return slow, quick


def tell(name: str, what: str, plain: float, product: float, on: Track) -> None:
    """Print both times, what can be said of bf16 here, and the ratio."""
    where = torch.cuda.get_device_name() if on.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{what}, {where}: plain {plain * 1e3:.0f} ms, product {product * 1e3:.0f} ms")
    if not on.units:
        done = "bf16 is emulated, and its time says nothing" if on.bf16 else "bf16 is not measured"
        print(f"this {on.device} has no bf16 instructions: {done}; the product chooses fp32 channels-last here")
    print(f"{name}_{'bf16' if on.bf16 else 'auto'} {plain / product:.2f}")
