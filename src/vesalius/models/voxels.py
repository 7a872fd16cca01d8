"""Vectors of voxels: a voxel's features at all levels of a pyramid, joined, and from there to where the loss lives.

Goncharov et al., vox2vec, MICCAI 2023 (arXiv 2307.14725): level i gives what it holds at floor(v / stride_i).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def at_voxels(pyramid: Sequence[Tensor], strides: Sequence[int], voxels: Tensor) -> Tensor:
    """[(B, C_i, *S_i), ...] and (B, m, ndim) integer coordinates within the image -> (B, m, sum of C_i).

    As if every level were enlarged by nearest upsampling and all were joined.
    """
    image = torch.arange(len(voxels), device=voxels.device)[:, None]
    vectors = []
    for level, stride in zip(pyramid, strides, strict=True):
        cells = (voxels // stride).unbind(-1)
        vectors.append(level.movedim(1, -1)[image, *cells])
    return torch.cat(vectors, -1)


class Projector(nn.Module):
    """Twice Linear, batch norm, ReLU, then Linear, unit length: (M, inside) -> (M, outside) fp32. vox2vec's code.

    Its batch norm sees one call: give it the voxels of one view at a time.
    """

    def __init__(self, inside: int, outside: int = 128) -> None:
        super().__init__()
        hidden = (nn.Linear(inside, inside), nn.BatchNorm1d(inside), nn.ReLU(inplace=True))
        again = (nn.Linear(inside, inside), nn.BatchNorm1d(inside), nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*hidden, *again, nn.Linear(inside, outside))

    def forward(self, vectors: Tensor) -> Tensor:
        """(M, inside) -> (M, outside) unit vectors, fp32."""
        z = self.layers(vectors)
        return functional.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)
