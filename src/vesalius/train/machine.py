"""Device, precision, processes, threads: what `auto` chooses, and saying so."""

import ctypes
import os
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from vesalius.compute import device_named, has_bf16
from vesalius.errors import SettingError
from vesalius.train.run import Run

PRECISIONS: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp64": "64-true"}


@dataclass(frozen=True)
class Machine:
    """Fabric, and what `auto` became."""

    fabric: Fabric
    threads: int
    workers: int
    device: str
    precision: Literal["fp32", "bf16", "fp64"]

    @property
    def words(self) -> str:
        """One line for the user."""
        processes = f"{self.fabric.world_size} processes, " if self.fabric.world_size > 1 else ""
        return (
            f"device {self.device}, precision {self.precision}, {processes}{self.threads} CPU threads, "
            f"{self.workers} loader workers"
        )


def prepare(run: Run[Any]) -> Machine:
    """Choose and set up the machine for `run`. SettingError where it asks for what is not there."""
    device = device_named(run.device)
    if run.devices > 1 and device == "cuda" and torch.cuda.device_count() < run.devices:
        raise SettingError(f"setting devices is {run.devices}", remedy=f"This machine has {torch.cuda.device_count()}.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = max(1, run.devices)
    threads = run.threads if run.threads != "auto" else _threads(device, cores, here)
    workers = run.workers if run.workers != "auto" else _workers(device, cores // here)
    torch.set_num_threads(threads)
    _flush_denormals()
    if device == "cuda":
        torch.backends.cudnn.benchmark = (
            True  # no TF32 for products: it blurs the pruner's cosines by 0.001, and saves nothing
        )
    precision = run.precision if run.precision != "auto" else "bf16" if has_bf16(device) else "fp32"
    many = run.devices * run.nodes > 1
    # Banks and statistics are the same on all ranks by construction: no need to send 32 MiB of buffers a step.
    strategy: Any = DDPStrategy(broadcast_buffers=False) if many else "auto"
    fabric = Fabric(
        accelerator=device,
        devices=run.devices,
        num_nodes=run.nodes,
        strategy=strategy,
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return Machine(fabric, threads, workers, device, precision)


def resolved(run: Run[Any], machine: Machine) -> Run[Any]:
    """`run` with every `auto` replaced by what was chosen."""
    return replace(
        run, device=machine.device, precision=machine.precision, threads=machine.threads, workers=machine.workers
    )


def _flush_denormals() -> None:
    """On all threads of this process: tails of exp under a peaked softmax are denormal, and slow, on CPUs.

    A thread of OpenMP takes this from the thread that starts it, so those that earlier work has started are let go.
    """
    torch.set_flush_denormal(True)
    let_go = getattr(ctypes.CDLL(torch._C.__file__), "omp_pause_resource_all", None)
    if let_go is not None:  # OpenMP 5.0
        let_go(1)  # softly: they start anew with the next parallel work


def flushes_denormals() -> bool:
    """Whether this thread takes denormal numbers for 0."""
    return bool(torch.tensor(1e-310, dtype=torch.float64) * 1 == 0)


def _threads(device: str, cores: int, processes: int) -> int:
    """This process's share of the cores, unless OMP_NUM_THREADS asks for fewer."""
    wish = os.environ.get("OMP_NUM_THREADS", "")
    share = cores // processes if device == "cpu" else min(8, cores)
    return max(1, min(share, int(wish)) if wish.isdecimal() else share)


def _workers(device: str, cores: int) -> int:
    """On a CPU one worker hides the cutting, 1 to 4 % of the step's own work; a GPU needs many."""
    return min(8, max(1, cores - 1)) if device == "cuda" else 1
