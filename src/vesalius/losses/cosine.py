"""Siamese comparison by cosine (Chen and He, SimSiam, CVPR 2021, arXiv 2011.10566): pure functions, no gradient to targets.

D(a, b) = -1/2 [cos(p_a, sg z_b) + cos(p_b, sg z_a)], where sg stops the gradient; in -1..1, and -1 where each predicts the
other's direction.
"""

import torch
from torch import Tensor
from torch.nn import functional


def distance(p_a: Tensor, z_a: Tensor, p_b: Tensor, z_b: Tensor) -> Tensor:
    """D(a, b) of vectors (*, N, C), any length but 0: (*), the mean over N, fp32 at least; leading axes are broadcast."""
    dtype = torch.promote_types(p_a.dtype, torch.float32)
    p_a, z_a, p_b, z_b = (functional.normalize(v.to(dtype), dim=-1) for v in (p_a, z_a, p_b, z_b))
    cosines = (p_a * z_b.detach()).sum(-1) + (p_b * z_a.detach()).sum(-1)
    return -cosines.mean(-1) / 2
