"""The purposive pruner of Adam: negatives too similar to the anchor are likely the same anatomy, so they are left out.

Hosseinzadeh Taher et al., Towards Foundation Models Learned from Anatomy in Medical Imaging via Self-Supervision,
DART 2023. Per anchor; the bank is not changed, and the positive is never pruned.
"""

import torch
from torch import Tensor


def cosines(q: Tensor, bank: Tensor) -> Tensor:
    """q (B, d), bank (K, d), unit vectors -> (B, K), at least fp32, under autocast too: bf16 blurs 0.8 by 0.002."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    with torch.autocast(q.device.type, enabled=False):
        return q.to(dtype) @ bank.to(dtype).T


def keep(q: Tensor, bank: Tensor, gamma: float) -> Tensor:
    """q (B, d), bank (K, d), unit vectors -> (B, K) bool: cosine < gamma, without temperature."""
    return cosines(q, bank) < gamma


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Boxes (B, 2 * ndim) and (K, 2 * ndim), start then stop -> (B, K) intersection over union; 0 where both empty."""
    n = a.shape[1] // 2
    shared = a.new_ones(len(a), len(b))
    for axis in range(n):
        start = torch.maximum(a[:, None, axis], b[None, :, axis])
        stop = torch.minimum(a[:, None, axis + n], b[None, :, axis + n])
        shared *= (stop - start).clamp_(min=0)
    size_a, size_b = ((box[:, n:] - box[:, :n]).clamp(min=0).prod(1) for box in (a, b))
    union = size_a[:, None] + size_b - shared
    return shared / union.clamp(min=torch.finfo(shared.dtype).tiny)


@torch.no_grad()
def same_part_share(
    q: Tensor, bank: Tensor, gamma: float, box: Tensor, bank_box: Tensor, least: float = 0.5, block: int = 4096
) -> Tensor:
    """Share of the pruned (anchor, key) pairs that show the same part of the body, 0..1; NaN where none is pruned.

    q (B, d), bank (K, d): unit vectors. box (B, 2 * ndim), bank_box (K, 2 * ndim): start and stop as fractions of
    their image's sides; a key with a negative start is random and not counted. Same part: IoU at least `least`.
    """
    pruned, same = q.new_zeros((), dtype=torch.float64), q.new_zeros((), dtype=torch.float64)
    for keys, boxes in zip(torch.split(bank, block), torch.split(bank_box, block), strict=True):
        out = ~keep(q, keys, gamma) & (boxes[:, 0] >= 0)
        pruned += out.sum()
        same += (out & (iou(box, boxes) >= least)).sum()
    return same / pruned
