"""Two towers, one fast and one that follows it slowly, both ending in a unit vector (MoCo, and what is built on it)."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesalius.chance import permutation
from vesalius.models.backbone import pool
from vesalius.models.ema import follow
from vesalius.models.heads import projection
from vesalius.models.norm import convert, shuffle, unshuffle


class Embedder(nn.Module):
    """Backbone, mean over the coarsest level, Linear-ReLU-Linear, unit length: (B, C, *S) -> (B, width) fp32."""

    def __init__(self, backbone: Any, width: int, norm: bool = False) -> None:
        super().__init__()
        features = backbone.channels[-1]
        self.backbone, self.head = backbone, projection(features, features, width, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) in 0..1 -> (B, width) unit vectors, fp32."""
        z = self.head(pool(self.backbone(x)))
        return F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)


class Towers(nn.Module):
    """f learns; g starts as its copy and follows. Batch norm sees the global batch in `groups` groups (1 = synchronised).

    With more than one group, keys are shuffled among the groups, so that no statistic betrays which key is whose
    (He et al. 2020, section 3.3; here for any number of processes, one included).
    """

    def __init__(self, backbone: Any, width: int, groups: int, norm: bool = False) -> None:
        super().__init__()
        self.f = Embedder(backbone, width, norm)
        self.g = copy.deepcopy(self.f).requires_grad_(False)
        self.groups = groups
        convert(self, groups)

    def query(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> q (B, width)."""
        return self.f(x)  # type: ignore[no-any-return]

    @torch.no_grad()
    def key(self, x: Tensor, seed: tuple[int, ...]) -> Tensor:
        """(B, C, *S) -> k (B, width), without gradient; `seed` fixes the shuffle."""
        if self.groups == 1 or not self.training:
            return self.g(x)  # type: ignore[no-any-return]
        order = permutation_of_batch(x, seed)
        return unshuffle(self.g(shuffle(x, order)), order)

    def follow(self, momentum: float) -> None:
        """g <- momentum g + (1 - momentum) f, parameters only."""
        follow(self.g, self.f, momentum)


def permutation_of_batch(x: Tensor, seed: tuple[int, ...]) -> Tensor:
    """(global batch,) int64, the same on every rank: a shuffle fixed by `seed`."""
    ranks = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    return torch.from_numpy(permutation(len(x) * ranks, *seed))
