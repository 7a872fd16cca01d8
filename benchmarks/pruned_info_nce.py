"""Purposive pruner and InfoNCE, forward + backward, against a loop over anchors. Last line: `pruned_info_nce RATIO`.

Batch 256, K 65,536, d 128, gamma 0.8, tau 0.2, fp32, the same inputs and two threads for both, alternating.
Floor: 50. About one negative in sixteen is close to some anchor, so that the pruner has work.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vesalius.losses.info_nce import pruned_info_nce

BENCH = Path(__file__).resolve().parents[2] / "shared" / "bench"
BATCH, KEYS, WIDTH, GAMMA, TAU = 256, 65536, 128, 0.8, 0.2


def inputs(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    q = normalize(torch.randn(BATCH, WIDTH, generator=generator), dim=1)
    k = normalize(q + 0.05 * torch.randn(BATCH, WIDTH, generator=generator), dim=1)
    near = q[torch.randint(BATCH, (KEYS // 16,), generator=generator)]
    near = near + 0.06 * torch.randn(near.shape, generator=generator)
    far = torch.randn(KEYS - len(near), WIDTH, generator=generator)
    bank = normalize(torch.cat([near, far]), dim=1)
    return q.requires_grad_(), k.requires_grad_(), bank[torch.randperm(KEYS, generator=generator)]


def timed(loss: Callable[[Tensor, Tensor, Tensor], Tensor], q: Tensor, k: Tensor, bank: Tensor) -> tuple[float, Tensor]:
    q.grad = k.grad = None
    start = time.perf_counter()
    loss(q, k, bank).backward()  # type: ignore[no-untyped-call]
    seconds = time.perf_counter() - start
    gradients = [x.grad for x in (q, k) if x.grad is not None]
    return seconds, torch.cat(gradients)


def main(rounds: int = 3) -> None:
    if not BENCH.is_dir():
        print(f"pruned_info_nce skipped: the reference implementation is not at {BENCH.name}/ beside the checkout")
        return
    sys.path.insert(0, str(BENCH))
    from reference import pruned_info_nce_loop

    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    q, k, bank = inputs(torch.Generator().manual_seed(0))
    ours, loop = (lambda q, k, bank: pruned_info_nce(q, k, bank, GAMMA, TAU)[0]), pruned_info_nce_loop
    for _ in range(2):
        timed(ours, q, k, bank)
    seconds: dict[str, list[float]] = {"ours": [], "loop": []}
    for _ in range(rounds):
        spent, expected = timed(loop, q, k, bank)
        seconds["loop"].append(spent)
        repeats = [timed(ours, q, k, bank) for _ in range(5)]
        seconds["ours"] += [spent for spent, _ in repeats]
    fast, slow = (statistics.median(seconds[name]) for name in ("ours", "loop"))
    kept = pruned_info_nce(q, k, bank, GAMMA, TAU)[1]
    print(f"kept per anchor {kept.float().mean():.0f} of {KEYS}; ours {fast:.4f} s, loop {slow:.3f} s")
    print(f"largest gradient difference {(repeats[-1][1] - expected).abs().max():.2e}")
    print(f"pruned_info_nce {slow / fast:.1f}")


if __name__ == "__main__":
    main()
