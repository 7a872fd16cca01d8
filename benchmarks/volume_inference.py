"""Dense probabilities of a volume of 360 x 300 x 200 by windows that slide over it: bf16 and channels-last against plain fp32,
at the same overlap. Last line: `volume_inference RATIO`. Floor: 3.5, on a CPU that has bf16 units.

The network is the full pyramid under vox2vec's linear head, windows of 128 x 128 x 32 and an overlap of a half, through
`evaluate.windows.slide` as in `vesalius predict`. The volume is synthetic: smooth tissue and noise; what is looked for is
tissue above each of seven values, and the head first learns it on small patches of another volume, so that its answers are
as decided as those of a trained network. Dice of both sides' answers with the truth must agree to 0.002.
Smaller: --backbone fpn8x4 --shape 72 60 40 --window 32 32 16.
"""

import time

import numpy as np
import torch
import tyro
from scipy.ndimage import zoom
from torch import Tensor
from torch.nn import functional

from race import tell, track
from vesalius import zoo
from vesalius.chance import generator
from vesalius.evaluate.windows import slide
from vesalius.features import evaluating
from vesalius.models.heads import LinearHead, WithHead

LEVELS = np.linspace(-1.2, 1.2, 7)  # standard deviations of the tissue
PITCH = 20  # voxels between the nodes of the tissue


def volume(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Image (1, *shape) in 0..1, and masks (7, *shape) bool."""
    rng = generator(seed)
    nodes = rng.standard_normal(tuple(side // PITCH + 2 for side in shape)).astype(np.float32)
    tissue = zoom(nodes, PITCH, order=1)[tuple(slice(side) for side in shape)]
    noisy = tissue + 0.05 * rng.standard_normal(shape, np.float32)
    image = torch.from_numpy(np.clip(0.5 + noisy / 6, 0, 1).astype(np.float32))[None]
    return image, torch.from_numpy(np.stack([tissue > level for level in LEVELS]))


def trained(backbone: str, steps: int, device: str, side: int = 32) -> WithHead:
    """The pyramid, its weights random, under a head that has learned the seven masks."""
    torch.manual_seed(0)
    own = zoo.build(backbone, 3, 1).eval()
    network = WithHead(own, LinearHead(own.channels, len(LEVELS), 3, own.strides)).to(device)
    adam = torch.optim.Adam(network.head.parameters(), lr=1e-2)
    for step in range(steps):
        image, masks = (x.to(device)[None] for x in volume((side,) * 3, 1 + step))
        with torch.no_grad():
            pyramid = own(image)
        adam.zero_grad(set_to_none=True)
        loss = functional.binary_cross_entropy_with_logits(network.head(pyramid), masks.float())
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return network


def answers(
    network: WithHead, image: Tensor, window: tuple[int, ...], overlap: float, bf16: bool
) -> tuple[Tensor, float]:
    """Masks (7, *S) bool where the probability exceeds a half, and the seconds that the probabilities took."""
    begun = time.perf_counter()
    with evaluating(network), torch.autocast(image.device.type, torch.bfloat16, enabled=bf16):
        found = slide(network, image, window, blend="central", overlap=overlap).float().sigmoid_() > 0.5
    if image.device.type == "cuda":
        torch.cuda.synchronize()
    return found, time.perf_counter() - begun


def dice(found: Tensor, truth: Tensor) -> float:
    """Mean over structures."""
    both, either = (found & truth).flatten(1).sum(1), found.flatten(1).sum(1) + truth.flatten(1).sum(1)
    return float((2 * both / either).mean())


def main(
    backbone: str = "fpn",
    shape: tuple[int, int, int] = (360, 300, 200),
    window: tuple[int, int, int] = (128, 128, 32),
    overlap: float = 0.5,
    steps: int = 100,
    emulate: bool = False,
) -> None:
    """Measure both sides.

    Args:
        backbone: the pyramid
        shape: of the volume, voxels
        window: sides of the windows, voxels
        overlap: share of them that neighbours have in common
        steps: in which the head learns
        emulate: bf16 without units for it
    """
    on = track(emulate)
    network = trained(backbone, steps, on.device)
    image, truth = (x.to(on.device) for x in volume(shape, 0))
    first = image[(slice(None), *map(slice, window))]
    for bf16 in {False, on.bf16}:
        answers(network, first, window, overlap, bf16)  # warms up
    plain, slow = answers(network, image, window, overlap, False)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    product, quick = answers(network, image, window, overlap, on.bf16)
    change = dice(product, truth) - dice(plain, truth)
    same = float((product == plain).float().mean())
    print(f"Dice: plain {dice(plain, truth):.4f}, product {change:+.5f}; {same:.4%} of the voxels have the same answer")
    assert abs(change) <= 0.002
    sides = " x ".join(map(str, shape))
    tell("volume_inference", f"{backbone}, {sides} by windows of {' x '.join(map(str, window))}", slow, quick, on)


if __name__ == "__main__":
    tyro.cli(main)
