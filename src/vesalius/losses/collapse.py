"""Signs that an embedding collapses. Pure functions of a batch of unit vectors."""

import torch
from torch import Tensor


def spread(z: Tensor) -> Tensor:
    """(B, d) unit vectors -> scalar: mean deviation per dimension times sqrt(d); 1 when isotropic, 0 when collapsed."""
    return z.float().std(dim=0, unbiased=False).mean().mul(z.shape[1] ** 0.5)


def effective_rank(z: Tensor) -> Tensor:
    """(B, d) -> scalar in 1..min(B, d): exp of the entropy of the singular values of the centred batch (Roy 2007)."""
    singular = torch.linalg.svdvals(z.float() - z.float().mean(0))
    share = singular / singular.sum().clamp_min(1e-12)
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum())
