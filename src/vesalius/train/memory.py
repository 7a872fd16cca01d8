"""What batch "auto" becomes: the largest power of two that images, method and memory allow.

A trial forward of a copy of the method counts the bytes that autograd keeps for each image; nothing of the run is touched.
"""

import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from vesalius.errors import SettingError
from vesalius.methods.step import Progress
from vesalius.train import optim, start
from vesalius.train.batches import Batches, Scans
from vesalius.train.machine import Machine
from vesalius.train.run import Run

# A step's peak, as a multiple of what autograd keeps: gradients of activations, the kernels' own space. Measured on a CPU:
# 1.1 (ResNet-50, 224 px) to 1.5 (ResNet-18, 32 px), 1.9 in 3-D.
SAFETY = 2.0


def largest(run: Run[Any], module: ModuleType, made: nn.Module, machine: Machine, scans: Scans) -> int:
    """Images a step, over all processes. SettingError where not even the smallest batch fits into the free memory."""
    batches = start.batches(run, made, machine.fabric.world_size, len(scans))
    shares = run.accumulate * machine.fabric.world_size
    few = next((batch for batch in batches if batch >= 2 * shares), batches[-1])  # batch norm wants two
    try:
        stages = range(int(run.method.stages))
        each = max(_kept_by(run, module, made, machine, scans, few // shares, stage) for stage in stages)
    except torch.OutOfMemoryError as error:
        raise _too_little(machine, few) from error
    room = _free(run, machine) - _to_come(run, made, machine)
    fitting = [batch for batch in batches if SAFETY * each * batch / shares <= room]
    if not fitting:
        raise _too_little(machine, batches[0])
    return fitting[-1]


def _kept_by(
    run: Run[Any], module: ModuleType, made: nn.Module, machine: Machine, scans: Scans, share: int, stage: int
) -> float:
    """Bytes an image that autograd keeps of one forward pass over `share` images on each process."""
    fabric = machine.fabric
    every = share * fabric.world_size
    batches = Batches(scans, module.crops, run.method, stage, every, run.seed, fabric.global_rank, fabric.world_size)
    trial = copy.deepcopy(made).train().to(fabric.device)
    own_generators = [fabric.device] if machine.device == "cuda" else []
    with torch.random.fork_rng(own_generators):
        batch = {name: value.to(fabric.device) for name, value in batches[0].items()}
        views = module.augment(batch, run.method, stage)
        if machine.precision == "fp64":
            trial, views = trial.double(), {n: v.double() if v.is_floating_point() else v for n, v in views.items()}
        now = Progress(stage, 0, 1, 0, run.epochs, run.seed)
        with fabric.autocast():
            return kept(lambda: trial(views, now), trial) / share


def kept(forward: Callable[[], Any], network: nn.Module) -> int:
    """Bytes that autograd keeps of `forward()` until the backward pass: each storage once, the network's own not at all."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*network.parameters(), *network.buffers()]}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        made = forward()  # held, so that no storage is freed and its place counted for another
    del made
    return sum(size for place, size in found.items() if place not in own)


def _to_come(run: Run[Any], made: nn.Module, machine: Machine) -> int:
    """Bytes that a step takes whatever its batch: gradients, the optimiser's numbers, and on a GPU the method itself."""
    learned = sum(p.numel() * p.element_size() for p in made.parameters() if p.requires_grad)
    whole = sum(tensor.numel() * tensor.element_size() for tensor in made.state_dict().values())
    return learned * (1 + optim.KEPT[run.optim.kind]) + (whole if machine.device == "cuda" else 0)


def _free(run: Run[Any], machine: Machine) -> float:
    """Bytes that each process may take, the same on all: of the one that has least."""
    machine.fabric.barrier()  # the other trials are over
    if machine.device == "cuda":
        torch.cuda.empty_cache()
        free = float(torch.cuda.mem_get_info(machine.fabric.device)[0])  # each process has a GPU of its own
    else:
        free = psutil.virtual_memory().available / run.devices
    least = machine.fabric.all_reduce(torch.tensor(free), reduce_op="min")
    assert isinstance(least, Tensor)
    return float(least)


def _too_little(machine: Machine, batch: int) -> SettingError:
    reason = f"batch auto: the free memory of the {machine.device} does not hold a batch of {batch}"
    return SettingError(reason, remedy="Use smaller views or a smaller backbone, more devices, or a --batch you know.")
