"""NT-Xent of 10,000 pairs, forward + backward, against the whole 20,000 x 20,000 matrix. Last line: `info_nce_time RATIO`.

d 128, tau 0.1, fp32 inputs, the same for both, alternating, on two threads (or as many as the first word says). Where the
CPU has bf16 units ours runs under autocast, as training does; the whole matrix stays fp32. Floor: 8.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vesalius.compute import has_bf16
from vesalius.losses.info_nce import nt_xent

BENCH = Path(__file__).resolve().parents[2] / "shared" / "bench"
PAIRS, WIDTH = 10_000, 128


def inputs() -> tuple[Tensor, Tensor]:
    """z1, z2 (N, d): unit vectors that want gradients, the two of a pair at a cosine of 0.87."""
    draw = torch.Generator().manual_seed(0)
    z1 = normalize(torch.randn(PAIRS, WIDTH, generator=draw), dim=1)
    z2 = normalize(z1 + 0.05 * torch.randn(PAIRS, WIDTH, generator=draw), dim=1)
    return z1.requires_grad_(), z2.requires_grad_()


def ours(z1: Tensor, z2: Tensor) -> Tensor:
    """Scalar loss, in bf16 products where they are fast."""
    with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16("cpu")):
        return nt_xent(z1, z2)


def timed(loss: Callable[[Tensor, Tensor], Tensor], z: tuple[Tensor, Tensor]) -> tuple[float, Tensor]:
    """Seconds of forward and backward, and the gradients."""
    begun = time.perf_counter()
    gradients = torch.autograd.grad(loss(*z), z)
    return time.perf_counter() - begun, torch.cat(gradients)


def main(threads: int = 2, rounds: int = 3) -> None:
    if not BENCH.is_dir():
        print(f"info_nce_time skipped: the reference implementation is not at {BENCH.name}/ beside the checkout")
        return
    sys.path.insert(0, str(BENCH))
    from reference import info_nce_full

    torch.set_num_threads(threads)
    z = inputs()
    timed(ours, z)
    seconds: dict[str, list[float]] = {"ours": [], "full": []}
    for _ in range(rounds):
        spent, expected = timed(info_nce_full, z)
        seconds["full"].append(spent)
        repeats = [timed(ours, z) for _ in range(3)]
        seconds["ours"] += [spent for spent, _ in repeats]
    fast, slow = (statistics.median(seconds[name]) for name in ("ours", "full"))
    products = "bf16" if has_bf16("cpu") else "fp32"
    print(f"{threads} threads, products in {products}: ours {fast:.2f} s, whole matrix {slow:.2f} s")
    print(f"gradients differ by {(repeats[-1][1] - expected).norm() / expected.norm():.1e} (Frobenius, relative)")
    print(f"info_nce_time {slow / fast:.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
