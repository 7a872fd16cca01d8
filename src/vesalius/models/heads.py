"""Heads: small networks from a backbone's features to the space where the loss lives."""

from torch import nn


def projection(inside: int, hidden: int, outside: int, norm: bool = False) -> nn.Sequential:
    """Linear, ReLU, Linear: (B, inside) -> (B, outside), not of unit length. MoCo-v2 (arXiv 2003.04297, section 2).

    norm: batch norm after each Linear, the last one without affine, as in MoCo-v3 (arXiv 2104.02057, section 4.1).
    """
    if norm:
        first, last = nn.BatchNorm1d(hidden), nn.BatchNorm1d(outside, affine=False)
        plain = (
            nn.Linear(inside, hidden, bias=False),
            first,
            nn.ReLU(inplace=True),
            nn.Linear(hidden, outside, bias=False),
        )
        return nn.Sequential(*plain, last)
    return nn.Sequential(nn.Linear(inside, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outside))
