"""Images that are there twice: byte for byte, or encoded anew, resized, or with another contrast.

A perceptual hash (255 signs of low DCT frequencies against their median) proposes pairs, and the correlation of 32 x 32
thumbnails decides. Of 3,120 chest radiographs different ones differed by 42 bits or more and correlated 0.972 at most;
copies at 70 % of the size, 90 % of the contrast and JPEG quality 60 differed by 12 bits or less and correlated 0.9997.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.data.scan import Array

SIDE = 32  # of a thumbnail
FREQUENCIES = 16  # along each axis: 256 numbers, of which the mean is dropped
BITS, CORRELATION = 24, 0.99  # a pair is a copy up to so many different bits, and from this correlation on
BANDS = 16  # of 16 bits: a pair within 15 bits is always proposed (pigeonhole), one within 24 nearly always
WINDOW = 64  # neighbours compared within one bucket: keeps the work linear where a cohort looks all alike


def thumbnail(image: Array) -> NDArray[np.float16]:
    """(C, *S) -> (1024,): mean over channels (and over y in 3-D) and over blocks, mean 0 and norm 1; 0 if constant."""
    grey = image.mean(axis=0, dtype=np.float32)
    grey = grey.mean(axis=1) if grey.ndim == 3 else grey
    small: Array = (_overlap(grey.shape[1]) @ (_overlap(grey.shape[0]) @ grey).T).T
    centred = (small - small.mean()).ravel()
    norm = float(np.linalg.norm(centred))
    flat = norm <= 1e-5 * float(np.abs(small).max())  # rounding alone
    return np.asarray(0 * centred if flat else centred / norm, np.float16)


@lru_cache(64)
def _overlap(side: int) -> Any:
    """(SIDE, side), sparse: the part of each block that a pixel covers, so that copies of any size look the same."""
    from scipy.sparse import csr_array

    edges, pixels = np.linspace(0, side, SIDE + 1)[:, None], np.arange(side)
    shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return csr_array((np.maximum(shared, 0) * SIDE / side).astype(np.float32))


def hashes(thumbnails: Array) -> NDArray[np.uint64]:
    """(N, 1024) -> (N, 4): 255 bits and a zero, frequencies scattered over the bands."""
    from scipy.fft import dctn

    square = thumbnails.astype(np.float32).reshape(-1, SIDE, SIDE)
    low = dctn(square, axes=(1, 2))[:, :FREQUENCIES, :FREQUENCIES].reshape(len(square), -1)[:, 1:]
    bits = low > np.median(low, axis=1, keepdims=True)
    bits = np.pad(bits, ((0, 0), (0, 1))).reshape(-1, BANDS, BANDS).transpose(0, 2, 1).reshape(len(bits), -1)
    return np.packbits(bits, axis=1).view(np.uint64)


def near_pairs(thumbnails: Array) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of thumbnails (N, 1024) that show the same image. Constant ones are never paired."""
    if len(thumbnails) < 2:
        return []
    codes = hashes(thumbnails)
    bands = codes.view(np.uint16)
    proposed = [_same_bucket(codes, bands[:, band]) for band in range(BANDS)]
    pairs = np.stack(np.divmod(np.unique(np.concatenate(proposed)), len(codes)), axis=1)
    correlated = [
        (thumbnails[part[:, 0]].astype(np.float32) * thumbnails[part[:, 1]].astype(np.float32)).sum(axis=1)
        for part in np.array_split(pairs, len(pairs) // 4096 + 1)
    ]
    return [(int(i), int(j)) for i, j in pairs[np.concatenate(correlated) >= CORRELATION]]


def groups(keys: Sequence[str]) -> list[list[int]]:
    """Indices of equal keys, for keys that come more than once."""
    found: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return [same for same in found.values() if len(same) > 1]


def _same_bucket(codes: NDArray[np.uint64], key: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Pairs as i * N + j, i < j: of equal key, within WINDOW places in the order of their codes, few bits apart."""
    order = np.lexsort((*codes.T, key))
    kept = [np.empty(0, np.int64)]
    for step in range(1, min(WINDOW, len(order) - 1) + 1):
        a, b = order[:-step], order[step:]
        same = key[a] == key[b]
        if not same.any():
            break
        a, b = a[same], b[same]
        near = np.bitwise_count(codes[a] ^ codes[b]).sum(axis=1) <= BITS
        kept.append(np.minimum(a, b)[near] * len(codes) + np.maximum(a, b)[near])
    return np.concatenate(kept)
