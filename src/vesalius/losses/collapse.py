"""Signs that an embedding collapses. Pure functions of a batch of vectors."""

import torch
from torch import Tensor
from torch.nn import functional


def spread(z: Tensor) -> Tensor:
    """(B, d) unit vectors -> scalar: mean deviation per dimension times sqrt(d); 1 when isotropic, 0 when collapsed."""
    return z.float().std(dim=0, unbiased=False).mean().mul(z.shape[1] ** 0.5)


def effective_rank(z: Tensor) -> Tensor:
    """(B, d) -> scalar in 1..min(B, d): exp of the entropy of the singular values of the centred batch (Roy 2007)."""
    singular = torch.linalg.svdvals(z.float() - z.float().mean(0))
    share = singular / singular.sum().clamp_min(1e-12)
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum())


def own_and_others(a: Tensor, b: Tensor) -> Tensor:
    """(B, d), (B, d), two views of each image -> (2,): mean cosine of the same image's, and of different images'."""
    n = len(a)
    cosines = functional.normalize(a.float(), dim=1) @ functional.normalize(b.float(), dim=1).T
    own = cosines.diagonal().mean()
    return torch.stack([own, (cosines.mean() - own / n) * n / max(1, n - 1)])
