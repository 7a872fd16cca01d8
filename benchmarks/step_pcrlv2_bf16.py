"""A step of PCRLv2 in 3-D: bf16, channels-last, fused optimiser and small crops in one pass, against plain fp32.
Last line: `step_pcrlv2_bf16 RATIO`. Floor: 2.5, on a CPU that has bf16 units.

Two crops of 64 x 64 x 32 and six of 16 x 16 x 16 an image through the reference code's 3-D U-Net, restoration and comparison,
backward, update: the step of `methods.pcrlv2`, on the same views from the same weights. Plain: contiguous, PyTorch's own
SGD, and a pass for each of the six; the reference code makes one, as the product does: a line before the last compares with
that. The product's: what training chooses. Augmenting is in aug_pcrlv2_3d.py.
Smaller: --backbone unet16x4 --batch 2.
"""

from collections.abc import Callable, Sequence

import torch
import tyro
from torch import Tensor, nn

from race import race, stepper, tell, track
from vesalius import zoo
from vesalius.methods import pcrlv2
from vesalius.train import optim
from vesalius.train.run import Optim

CONFIG = pcrlv2.Config(groups=1)
OPTIM = Optim(**{**pcrlv2.DEFAULTS["optim"], "lr": 1e-3})


def views(batch: int) -> dict[str, Tensor]:
    """As `pcrlv2.augment` gives them, but noise."""
    draw = torch.Generator().manual_seed(0)
    large, small = CONFIG.shapes(3)
    x1, x2, y1 = torch.rand(3, batch, 1, *large, generator=draw)
    return {
        "x1": x1, "x2": x2, "y1": y1, "small": torch.rand(batch, CONFIG.small, 1, *small, generator=draw),
        "inside": torch.ones(batch),
    }  # fmt: skip


def method(backbone: str, device: str) -> pcrlv2.Method:
    """PCRLv2 on a network that is always the same."""
    torch.manual_seed(0)
    return pcrlv2.Method(zoo.build(backbone, 3, 1), CONFIG).to(device)


def one_by_one(network: nn.Module) -> None:
    """Let `network` see the small crops of a batch in as many passes as an image has of them."""
    whole: Callable[[Tensor], Sequence[Tensor]] = network.forward
    small = CONFIG.shapes(3)[1]

    def forward(x: Tensor) -> list[Tensor]:
        if tuple(x.shape[2:]) != small:
            return list(whole(x))
        passes = [whole(x[i :: CONFIG.small]) for i in range(CONFIG.small)]
        return [torch.stack(maps, 1).flatten(0, 1) for maps in zip(*passes, strict=True)]

    network.forward = forward


def plain(backbone: str, given: dict[str, Tensor], apart: bool) -> Callable[[int], float]:
    """The step in fp32 with PyTorch's own SGD. apart: a pass for each of an image's small crops."""
    own = method(backbone, given["x1"].device.type)
    if apart:
        one_by_one(own.network)
    sgd = torch.optim.SGD(own.parameters(), lr=OPTIM.lr, momentum=OPTIM.momentum, weight_decay=OPTIM.weight_decay)
    return stepper(given, own, sgd, False)


def main(backbone: str = "unet", batch: int = 4, rounds: int = 3, emulate: bool = False) -> None:
    """Time both sides.

    Args:
        backbone: the network
        batch: images
        rounds: steps that are timed
        emulate: bf16 without units for it
    """
    on = track(emulate)
    given = {name: x.to(on.device) for name, x in views(batch).items()}
    product = method(backbone, on.device)
    product.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    ours = stepper(given, product, optim.build(product.parameters(), OPTIM), on.bf16)
    once, each = (plain(backbone, given, apart) for apart in (False, True))
    slow, quick = race(once, ours, rounds, on.device)
    print(f"with one pass for all small crops: plain {slow * 1e3:.0f} ms, ratio {slow / quick:.2f}")
    tell("step_pcrlv2", f"{backbone}, batch {batch}", *race(each, ours, rounds, on.device), on)


if __name__ == "__main__":
    tyro.cli(main)
