"""The bank of negatives: the last K keys, first in, first out, and where in which image each came from."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vesalius.errors import SettingError
from vesalius.models.ranks import gather


def check(size: int, batch: int) -> None:
    """SettingError unless a bank of `size` keys holds a whole number of batches (of all processes together)."""
    if batch < 1 or size < batch or size % batch:
        raise SettingError(
            f"a bank of {size} keys does not hold a whole number of batches of {batch}",
            remedy="Make the bank a multiple of the batch size times the number of processes.",
        )


class MemoryBank(nn.Module):
    """FIFO of K keys. Buffers, so it is saved, moved and handed over with the model, and never learns by gradient.

    keys: (K, d) unit vectors, random at first. image: (K,) int64 index of the image and box: (K, 2 * ndim) int32
    start and stop of the crop of every key, -1 where it is still a random one. pointer: where the next key goes.
    filled: number of keys that are no longer random. Under DDP set broadcast_buffers=False: ranks already agree.
    """

    keys: Tensor
    image: Tensor
    box: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, width: int, rng: np.random.Generator, ndim: int = 2) -> None:
        super().__init__()
        keys = torch.from_numpy(rng.standard_normal((size, width), np.float32))
        self.register_buffer("keys", functional.normalize(keys, dim=1))
        self.register_buffer("image", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("box", torch.full((size, 2 * ndim), -1, dtype=torch.int32))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        """K, the number of keys."""
        return len(self.keys)

    @torch.no_grad()
    def push(self, keys: Tensor, image: Tensor, box: Tensor) -> None:
        """Replaces the oldest keys by (B, d) unit keys, (B,) images and (B, 2 * ndim) boxes of every process, rank 0
        first, so that the bank is the same on all of them. SettingError where K is no multiple of the global batch."""
        keys, image, box = gather(keys), gather(image), gather(box)
        check(len(self), len(keys))
        index = (self.pointer + torch.arange(len(keys), device=self.pointer.device)) % len(self)
        self.keys[index] = keys.to(self.keys)
        self.image[index] = image.to(self.image)
        self.box[index] = box.to(self.box)
        self.pointer.copy_((self.pointer + len(keys)) % len(self))
        self.filled.add_(len(keys)).clamp_(max=len(self))
