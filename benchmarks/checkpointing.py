"""Activation checkpointing of the pyramid: peak memory and time of a step of vox2vec without it and with it, the full pyramid
on a pair of patches of 128 x 128 x 32 (on a GPU ten pairs, the paper's batch). Last line: `checkpointing RATIO`, of memory.

Each side is a process of its own, since the peak of a process never falls. Memory is what the step takes above weights and
views: activations, gradients, the loss and the optimiser's numbers. The losses of both sides are compared. Smaller:
--backbone fpn8x4 --patch 64 64 32.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import psutil
import torch
import tyro
from torch import Tensor

from race import seconds, stepper, track
from step_fpn3d_bf16 import OPTIM, method, pair
from vesalius.train import optim


def peak(device: str) -> int:
    """Bytes at the highest moment since the process began."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kilobytes)


def held(device: str) -> int:
    """Bytes now."""
    return int(torch.cuda.memory_allocated() if device == "cuda" else psutil.Process().memory_info().rss)


def side(backbone: str, patch: tuple[int, ...], pairs: int, wanted: bool, rounds: int) -> dict[str, float]:
    """Bytes above weights and views, seconds of the fastest step after the first, the last loss."""
    on = track()
    warm = method(
        "fpn2x2", (16, 16, 16), on.device
    )  # libraries take their own memory with the first step of any network
    stepper(_on(on.device, (16, 16, 16), 1), warm, optim.build(warm.parameters(), OPTIM), on.bf16, OPTIM.clip)(0)
    views, own = _on(on.device, patch, pairs), method(backbone, patch, on.device)
    own.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    own.backbone.checkpoint = wanted
    step = stepper(views, own, optim.build(own.parameters(), OPTIM), on.bf16, OPTIM.clip)
    before, losses = held(on.device), []
    times = [seconds(lambda t: losses.append(step(t)), t, on.device) for t in range(rounds + 1)][1:]
    whole = peak(on.device)
    return {"taken": whole - before, "peak": whole, "seconds": min(times), "loss": losses[-1]}


def _on(device: str, patch: tuple[int, ...], pairs: int) -> dict[str, Tensor]:
    return {name: x.to(device) for name, x in pair(patch, pairs).items()}


def main(
    backbone: str = "fpn",
    patch: tuple[int, int, int] = (128, 128, 32),
    pairs: int = 0,
    rounds: int = 2,
    child: bool | None = None,
) -> None:
    """Measure both sides.

    Args:
        backbone: the pyramid
        patch: sides, voxels
        pairs: of patches; 0: 1, on a GPU 10
        rounds: steps that are timed
        child: measure one side in this process, with checkpointing or without, and print it
    """
    count = pairs or (10 if track().device == "cuda" else 1)
    if child is not None:
        print(json.dumps(side(backbone, patch, count, child, rounds)))
        return
    asked = ["--backbone", backbone, "--patch", *map(str, patch), "--pairs", str(count), "--rounds", str(rounds)]
    found = []
    for flag in ("False", "True"):
        command = [sys.executable, __file__, *asked, "--child", flag]
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    without, with_it = found
    print(f"{backbone}, {count} pair(s) of {' x '.join(map(str, patch))}")
    for name, one in (("without", without), ("with", with_it)):
        print(
            f"{name}: {one['taken'] / 2**30:.2f} GB above weights and views, {one['peak'] / 2**30:.2f} GB in all, "
            f"{one['seconds']:.2f} s a step, loss {one['loss']:.5f}"
        )
    assert abs(with_it["loss"] - without["loss"]) <= 1e-3 * abs(without["loss"])
    print(f"time with checkpointing: {with_it['seconds'] / without['seconds']:.2f} of that without")
    print(f"checkpointing {without['taken'] / with_it['taken']:.2f}")


if __name__ == "__main__":
    tyro.cli(main)
