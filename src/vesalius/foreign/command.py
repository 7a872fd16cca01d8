"""`vesalius import FILE --as ARCH --out NAME.safetensors`: weights from elsewhere, and the report of what arrived."""

from typing import Annotated

from tyro.conf import arg

from vesalius.foreign.weights import Origin, import_weights


def import_command(
    file: Annotated[str, arg(metavar="FILE")],
    /,
    architecture: Annotated[str, arg(name="as", metavar="ARCH")],
    out: str,
    part: str = "",
    origin: Annotated[Origin, arg(name="")] = Origin(),  # noqa: B008 - frozen
) -> None:
    """Import the weights of a ResNet named as in torchvision or timm, and report what arrived and what did not.

    Args:
        file: .safetensors, .pth, .pt, .bin, .tar
        architecture: resnet18, resnet34 or resnet50
        out: file to write, NAME.safetensors
        part: where in the file the network is, such as encoder_q; needed where it holds several
    """
    print(import_weights(file, architecture, out, part, origin).text())
