"""A mask on disk as packed bits, read by region, from which a voxel of the mask is drawn by reading one small block.

Eight voxels along the first axis share a byte, the first of them in its lowest bit. Beside the bits, the file holds how
many voxels of the mask are in each block of SIDE voxels a side: the counts say in which block the k-th voxel lies, so
that a uniform draw needs one random number and one block, and never a list of voxels or the whole mask.
"""

import json
from math import ceil

import blosc2
import numpy as np

from vesalius.data.handles import damaged, opened, read_into
from vesalius.data.scan import Array
from vesalius.space.box import Box

SIDE = 32  # of a block whose voxels are counted; a block of the file is as large, or as the mask where that is smaller


def pack_mask(mask: Array) -> bytes:
    """(*S) bool -> the content of a file: packed bits in blosc2 (LZ4), their counts in its vlmeta."""
    packed = np.packbits(mask, axis=0, bitorder="little")
    counts = np.bitwise_count(packed).astype(np.uint32)
    for axis, step in enumerate(_block(mask.ndim)):
        counts = np.add.reduceat(counts, np.arange(0, packed.shape[axis], step), axis=axis)
    array = blosc2.asarray(
        np.ascontiguousarray(packed),
        chunks=tuple(min(4 * side, n) for side, n in zip(_block(mask.ndim), packed.shape, strict=True)),
        blocks=tuple(map(min, _block(mask.ndim), packed.shape)),
        cparams={"codec": blosc2.Codec.LZ4, "clevel": 1, "nthreads": 1},
    )
    array.schunk.vlmeta["mask"] = json.dumps({"shape": list(mask.shape), "counts": counts.ravel().tolist()})
    return bytes(array.to_cframe())


def _block(ndim: int) -> tuple[int, ...]:
    """Sides of a block in packed bytes."""
    return (SIDE // 8, *(SIDE,) * (ndim - 1))


def read_mask(name: str, box: Box) -> Array:
    """(*box.shape) bool; only blocks that the box touches are decoded. DataError where the file is gone or damaged."""
    array, first = opened(name), box.start[0] // 8
    start, stop = (first, *box.start[1:]), (ceil(box.stop[0] / 8), *box.stop[1:])
    packed = np.empty(tuple(b - a for a, b in zip(start, stop, strict=True)), np.uint8)
    read_into(name, array, packed, start, stop)
    places = np.arange(8, dtype=np.uint8).reshape(8, *(1,) * (packed.ndim - 1))
    bits = packed[:, None] >> places & 1  # what np.unpackbits does, thirty times as fast along a first axis
    bits = bits.reshape(8 * len(packed), *packed.shape[1:])[box.start[0] - 8 * first :]
    return np.asarray(bits[: box.shape[0]]).view(np.bool_)


def sample_voxel(name: str, rng: np.random.Generator) -> tuple[int, ...]:
    """A voxel of the mask, all of them equally likely: one integer drawn, one block read. DataError as `read_mask`."""
    try:
        about = json.loads(opened(name).schunk.vlmeta["mask"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise damaged(name, error) from None
    shape, ends = about["shape"], np.cumsum(about["counts"])
    k = int(rng.integers(ends[-1]))
    block = int(np.searchsorted(ends, k, side="right"))
    where = np.unravel_index(block, tuple(ceil(n / SIDE) for n in shape))
    start = tuple(SIDE * int(i) for i in where)
    inside = read_mask(name, Box(start, tuple(min(a + SIDE, n) for a, n in zip(start, shape, strict=True))))
    found = np.flatnonzero(inside)[k - (int(ends[block - 1]) if block else 0)]
    return tuple(a + int(i) for a, i in zip(start, np.unravel_index(found, inside.shape), strict=True))
