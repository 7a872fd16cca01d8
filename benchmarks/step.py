"""A whole Adam training step at 224 px, the product's settings against plain ones: what step_resnet*_bf16.py share.

Plain: fp32, contiguous. The product's: what `auto` chooses (bf16 autocast where the device is fast at it), channels-last.
Both make the same step on the same views from the same weights, in turn, in one process on the same threads: two towers,
pruned InfoNCE against 65,536 keys, SGD, the slow copy and the bank. Augmenting and reading are in other benchmarks.
On a GPU both keep PyTorch's own TF32 defaults. Run alone, this file does nothing.
"""

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import vesalius
from race import race, tell, track
from vesalius import zoo
from vesalius.methods import adam
from vesalius.methods.step import Progress
from vesalius.train import optim
from vesalius.train.run import Optim

SIDE = 224


def stepper(
    backbone: str, views: dict[str, Tensor], device: str, bf16: bool, layout: torch.memory_format
) -> Callable[[int], float]:
    """A function of the step's number that makes the step and gives its loss."""
    torch.manual_seed(0)
    method = adam.Method(zoo.build(backbone, 2, 3), adam.Config(size=SIDE)).to(device)
    method.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = optim.build(method.parameters(), Optim())

    def step(t: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            made = method(views, Progress(1, t, 100, 0, 1, 0))
        made.loss.backward()
        optimizer.step()
        method.after_update([made.carry])
        return float(made.loss.detach())

    return step


def measure(backbone: str, batch: int, rounds: int = 5) -> None:
    """Print what was measured; last line `step_BACKBONE_bf16 RATIO`, or `step_BACKBONE_auto RATIO` without bf16."""
    on = track()
    rng = torch.Generator().manual_seed(0)
    image, part = torch.arange(batch), torch.randint(10_000, (batch, 4), generator=rng, dtype=torch.int32)
    x1, x2 = torch.rand(2, batch, 1, SIDE, SIDE, generator=rng)
    views = {name: x.to(on.device) for name, x in {"x1": x1, "x2": x2, "image": image, "part": part}.items()}
    plain = stepper(backbone, views, on.device, False, torch.contiguous_format)
    product = stepper(backbone, views, on.device, on.bf16, torch.channels_last)
    tell(f"step_{backbone}", f"{backbone}, batch {batch}", *race(plain, product, rounds, on.device), on)


def compare_curves(steps: int = 32, last: int = 8, seeds: int = 3) -> None:
    """Say whether bf16 leaves the loss at the end of a tiny run on the phantom where fp32 has it, within the noise of seeds."""
    with tempfile.TemporaryDirectory() as folder:
        ends = {
            precision: [_end_of_curve(Path(folder), precision, seed, steps, last) for seed in range(seeds)]
            for precision in ("fp32", "bf16")
        }
    noise = statistics.stdev(ends["fp32"])
    change = statistics.mean(ends["bf16"]) - statistics.mean(ends["fp32"])
    same = "unchanged within noise" if abs(change) <= 2 * noise / seeds**0.5 else "CHANGED"
    print(
        f"loss over the last {last} of {steps} steps on the phantom: fp32 {statistics.mean(ends['fp32']):.3f} "
        f"(deviation over {seeds} seeds {noise:.3f}), bf16 {change:+.3f}: {same}"
    )


def _end_of_curve(folder: Path, precision: str, seed: int, steps: int, last: int) -> float:
    out = folder / f"{precision}{seed}"
    method = {"size": 32, "bank": 64, "momentum": 0.9, "levels": (0,), "groups": 2, "prune_from": 0.8}
    settings: dict[str, Any] = {
        "backbone": "resnet18",
        "size": 64,
        "batch": 16,
        "epochs": steps // 2,
        "holdout": 0.0,
        "log_steps": 1,
    }
    numbers: dict[str, Any] = {"workers": 0, "seed": seed, "optim": {"lr": 0.01}, "cache": str(folder / "cache")}
    data = "phantom:?bodies=32&size=64"
    vesalius.pretrain("adam", data, out=out, precision=precision, method=method, **settings, **numbers)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return statistics.mean([float(row["loss"]) for row in rows if "loss" in row][-last:])
