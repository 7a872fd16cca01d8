"""Soft Dice, as the papers of segmentation use it: pure functions of logits and masks."""

from torch import Tensor
from torch.nn import functional


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


def squared_dice(
    logits: Tensor, masks: Tensor, known: Tensor | None = None, inside: Tensor | None = None, smooth: float = 1.0
) -> Tensor:
    """(B, K, *S) logits and masks in 0..1 -> mean over images and structures of 1 - 2 sum(pg) / (sum(p^2) + sum(g^2) + 1).

    known: (B, K), 0 where a structure was not contoured: left out of the mean. inside: (B, 1, *S), 0 where voxels do not
    count. vox2vec, methods section 2.2; since `smooth` is in the denominator alone, an empty mask costs 1 whatever is
    predicted: cross entropy must teach it.
    """
    p, g = logits.sigmoid().float(), masks.float()
    if inside is not None:
        p, g = p * inside, g * inside
    axes = tuple(range(2, g.ndim))
    ratio = 2 * (p * g).sum(axes) / (p.square().sum(axes) + g.square().sum(axes) + smooth)
    return _mean(1 - ratio, known)


def entropy_and_dice(
    logits: Tensor, masks: Tensor, known: Tensor | None = None, inside: Tensor | None = None
) -> Tensor:
    """(B, K, *S) logits and masks in 0..1 -> binary cross entropy, mean over voxels, plus `squared_dice`; vox2vec's loss.

    known: (B, K), 0 where a structure was not contoured: it counts in neither. inside: (B, 1, *S), such as the body; voxels
    outside count in neither. 0 where nothing is known.
    """
    each = functional.binary_cross_entropy_with_logits(logits.float(), masks.float(), reduction="none")
    entropy = each.flatten(2).mean(2) if inside is None else _within(each, inside)
    return _mean(entropy, known) + squared_dice(logits, masks, known, inside)


def _within(values: Tensor, inside: Tensor) -> Tensor:
    """(B, K, *S) -> (B, K), means over the voxels that are inside."""
    weight = inside.to(values)
    axes = tuple(range(2, values.ndim))
    return (values * weight).sum(axes) / weight.sum(axes).clamp(min=1)


def _mean(values: Tensor, known: Tensor | None) -> Tensor:
    """Of (B, K), over what is known."""
    if known is None:
        return values.mean()
    weight = known.to(values)
    return (values * weight).sum() / weight.sum().clamp(min=1)
