"""One vector sought in the cached maps of many images: exact, and limited by how fast memory is read.

So the maps are read in bf16, half as many bytes, and what could be the best cell of an image, given the rounding, is then
compared in fp32. Rounding moves a product of two vectors of length 1 by less than 3 * 2**-9 (both factors and the result;
Cauchy-Schwarz); ROUNDING leaves room for the sum in fp32.
"""

import torch
from torch import Tensor

ROUNDING = 2**-7


class Maps:
    """Maps of vectors of length 1: (N, cells, D). Holds them in fp32 and in bf16: 6 bytes a number."""

    def __init__(self, vectors: Tensor) -> None:
        """vectors: (N, cells, D) fp32; kept, not copied, where they lie in order."""
        self.exact = vectors.contiguous().flatten(0, 1)
        self.rough = self.exact.bfloat16()
        self.images, self.cells = vectors.shape[:2]

    def search(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """(D,) of length 1 -> (N,) the best cell of each image, the first of equals, and (N,) its cosine in fp32."""
        rough = (self.rough @ wanted.bfloat16()).float().view(self.images, self.cells)
        maybe = rough >= rough.amax(1, keepdim=True) - 2 * ROUNDING
        cosines = torch.full_like(rough, -2.0)
        if maybe.float().mean() > 0.3:  # all is alike: gathering rows costs more than reading everything
            cosines = (self.exact @ wanted).view(self.images, self.cells)
        else:
            cosines[maybe] = self.exact[maybe.flatten()] @ wanted
        best, index = cosines.max(dim=1)
        return index, best
