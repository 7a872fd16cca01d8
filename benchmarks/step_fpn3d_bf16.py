"""A step of vox2vec, the full pyramid on one pair of patches of 128 x 128 x 32: bf16, channels-last and fused Adam against
plain fp32. Last line: `step_fpn3d_bf16 RATIO`. Floor: 2.2, on a CPU that has bf16 units.

Forward, NT-Xent over the voxels of both patches, backward, update: the step of `methods.vox2vec`, on the same views from the
same weights. Plain: contiguous, PyTorch's own AdamW. The product's: what training chooses. Augmenting and reading are in
vox_pairs.py. Smaller: --backbone fpn8x4 --patch 32 32 16.
"""

import torch
import tyro
from torch import Tensor

from race import race, stepper, tell, track
from vesalius import zoo
from vesalius.methods import vox2vec
from vesalius.train import optim
from vesalius.train.run import Optim

OPTIM = Optim(**vox2vec.DEFAULTS["optim"])


def pair(patch: tuple[int, ...], pairs: int = 1) -> dict[str, Tensor]:
    """Views as `vox2vec.augment` gives them: noise, with as many voxels as the paper's, the same in both patches."""
    draw, m = torch.Generator().manual_seed(0), vox2vec.Config.voxels
    x1, x2 = torch.rand(2, pairs, 1, *patch, generator=draw)
    voxels = torch.stack([torch.randint(side, (pairs, m), generator=draw) for side in patch], 2).int()
    return {
        "x1": x1, "x2": x2, "v1": voxels, "v2": voxels, "count": torch.full((pairs,), m), "inside": torch.ones(pairs)
    }  # fmt: skip


def method(backbone: str, patch: tuple[int, ...], device: str) -> vox2vec.Method:
    """vox2vec on a pyramid that is always the same."""
    torch.manual_seed(0)
    return vox2vec.Method(zoo.build(backbone, len(patch), 1), vox2vec.Config(patch=patch)).to(device)


def main(
    backbone: str = "fpn", patch: tuple[int, int, int] = (128, 128, 32), rounds: int = 3, emulate: bool = False
) -> None:
    """Time both sides.

    Args:
        backbone: the pyramid
        patch: sides, voxels
        rounds: steps that are timed
        emulate: bf16 without units for it
    """
    on = track(emulate)
    views = {name: x.to(on.device) for name, x in pair(patch).items()}
    plain, product = (method(backbone, patch, on.device) for _ in range(2))
    product.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    slow = torch.optim.AdamW(plain.parameters(), lr=OPTIM.lr, weight_decay=OPTIM.weight_decay)
    quick = optim.build(product.parameters(), OPTIM)
    times = race(
        stepper(views, plain, slow, False, OPTIM.clip),
        stepper(views, product, quick, on.bf16, OPTIM.clip),
        rounds,
        on.device,
    )
    tell("step_fpn3d", f"{backbone}, a pair of {' x '.join(map(str, patch))}", *times, on)


if __name__ == "__main__":
    tyro.cli(main)
