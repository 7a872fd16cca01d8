"""Dense predictions of images of any size, by windows that slide over them: vox2vec's pasting of middles, or MONAI's blends.

central    each window gives its middle: half of the overlap is trimmed on every side that is not the image's own border, and
           nothing is blended; the last window is moved back, and overwrites (vox2vec, methods section 2.2)
gaussian   means weighted by a Gaussian round each window's middle (nnU-Net; MONAI's sliding_window_inference)
constant   plain means (MONAI)
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from vesalius.settings import unknown
from vesalius.space.box import Box
from vesalius.space.grid import boxes

Network = Callable[[Tensor], Tensor]
BLENDS = ("central", "gaussian", "constant")


def slide(
    network: Network,
    image: Tensor,
    window: tuple[int, ...],
    *,
    blend: str = "gaussian",
    overlap: float = 0.5,
    fill: float = 0.0,
) -> Tensor:
    """(C, *S) in 0..1 -> logits (K, *S). window: sides in voxels; overlap: share of them that neighbours have in common.

    An image smaller than the window is padded with `fill`, behind its end or, by MONAI, on both sides, and cut out again.
    SettingError: no such blend.
    """
    if blend not in BLENDS:
        raise unknown(blend, blend, BLENDS, "blend")
    if blend == "central":
        return _pasted(network, image, window, overlap, fill)
    from monai.inferers.utils import sliding_window_inference  # heavy: not at import

    found = sliding_window_inference(image[None], window, 4, network, overlap=overlap, mode=blend, cval=fill)
    assert isinstance(found, Tensor)
    return found[0]


def _pasted(network: Network, image: Tensor, window: tuple[int, ...], overlap: float, fill: float) -> Tensor:
    shape = tuple(image.shape[1:])
    short = [max(0, side - have) for side, have in zip(window, shape, strict=True)]
    padded = functional.pad(image, [n for side in reversed(short) for n in (0, side)], value=fill)
    whole = tuple(padded.shape[1:])
    common = tuple(int(side * overlap) for side in window)
    result: Tensor | None = None
    for box in boxes(whole, window, common, even=False):
        logits = network(padded[(slice(None), *box.slices)][None])[0]
        if result is None:
            result = torch.empty(len(logits), *whole, dtype=logits.dtype, device=logits.device)
        middle = _trimmed(box, whole, common)
        inside = tuple(slice(a - b, c - b) for a, b, c in zip(middle.start, box.start, middle.stop, strict=True))
        result[(slice(None), *middle.slices)] = logits[(slice(None), *inside)]
    assert result is not None
    return result[(slice(None), *(slice(side) for side in shape))]


def _trimmed(box: Box, whole: tuple[int, ...], common: tuple[int, ...]) -> Box:
    """`box` without half of what it has in common with its neighbours; the image's own borders stay."""
    start = (a if a == 0 else a + n // 2 for a, n in zip(box.start, common, strict=True))
    stop = (b if b == side else b - n // 2 for b, side, n in zip(box.stop, whole, common, strict=True))
    return Box(tuple(start), tuple(stop))
