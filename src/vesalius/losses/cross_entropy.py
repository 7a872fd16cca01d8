"""Cross entropy of classes of which some are unknown (NaN): pure functions of logits and labels."""

from torch import Tensor
from torch.nn import functional


def binary(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, K) logits and labels, each class its own yes (1) or no (0): the mean over labels that are not NaN; 0 if none is."""
    known = labels.isfinite()
    target = labels.nan_to_num(0.0)
    total = functional.binary_cross_entropy_with_logits(logits.float(), target, known.float(), reduction="sum")
    return total / known.sum().clamp(min=1)


def exclusive(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, K) logits and labels, 1 for the one class of a sample: softmax; the mean over samples whose class is known."""
    target = labels.nan_to_num(0.0)
    return -(target * logits.float().log_softmax(1)).sum() / target.sum().clamp(min=1)
