"""Heads: small networks from a backbone's features to the space where the loss lives."""

from torch import nn


def projection(inside: int, hidden: int, outside: int) -> nn.Sequential:
    """Linear, ReLU, Linear: (B, inside) -> (B, outside), not normalised. MoCo-v2 (arXiv 2003.04297, section 2)."""
    return nn.Sequential(nn.Linear(inside, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outside))
