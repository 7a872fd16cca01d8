"""Soft Dice, as the papers of segmentation use it: pure functions of logits and masks."""

from torch import Tensor


def soft_dice(logits: Tensor, masks: Tensor, known: Tensor | None = None, smooth: float = 1.0) -> Tensor:
    """(B, K, *S) logits and masks in 0..1 -> 1 - Dice, each structure over the whole batch, then the mean over structures.

    known: (B, K), 0 where a structure was not contoured: there neither prediction nor mask counts. Adam, benchmark V1:
    smooth 1, the batch flattened.
    """
    p = logits.sigmoid().float()
    g = masks.float()
    if known is not None:
        weight = known.reshape(*known.shape, *(1,) * (g.ndim - 2)).to(p)
        p, g = p * weight, g * weight
    axes = (0, *range(2, g.ndim))
    both, total = (p * g).sum(axes), p.sum(axes) + g.sum(axes)
    return (1 - (2 * both + smooth) / (total + smooth)).mean()
