"""A fine-tuned segmentation network as one file: encoder and decoder, and a card from which both are built again."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vesalius import checkpoint, zoo
from vesalius.checkpoint import Card
from vesalius.data.datasets import Dataset, facts
from vesalius.data.prepare import steps_from_json
from vesalius.data.steps import Step
from vesalius.errors import CheckpointError, SettingError
from vesalius.evaluate import patches
from vesalius.evaluate.repeats import Repeat
from vesalius.features.subjects import Subject
from vesalius.models.decoder import Block, UNet
from vesalius.models.heads import HEADS, LinearHead, Standardised, WithHead, dense_head
from vesalius.settings import to_dict

KIND = "segmentation"
FOLDER = "networks"  # below the folder of the results


@dataclass(frozen=True)
class Segmenter:
    """A network in eval mode, and the card that its weights carried. `network`: (B, C, *S) in 0..1 -> (B, K, *S)."""

    network: UNet | WithHead
    card: Card

    @property
    def steps(self) -> list[Step]:
        """From a raw scan to what the network was trained to see. SettingError: a step that is not known here."""
        return steps_from_json(self.card.prepare)

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of its K maps."""
        return tuple(self.card.classes)

    @property
    def ndim(self) -> int:
        """Of the images."""
        return int(self.card.backbone["ndim"])

    @property
    def size(self) -> int:
        """Side at which it saw 2-D images in training, px."""
        return int(self.card.config["size"])

    @property
    def windows(self) -> patches.Config:
        """How it slides over volumes: patch, blend, overlap."""
        known = self.card.config["train"]
        whole = bool(known.get("whole"))
        frozen = 1.0 if whole else patches.Config.frozen
        return patches.Config(
            tuple(known["patch"]), frozen=frozen, blend=known["blend"], overlap=known["overlap"], whole=whole
        )


def save(
    path: Path,
    network: UNet | WithHead,
    encoder: Card,
    structures: Sequence[str],
    size: int,
    *,
    parent: str | None = None,
    method: str = "",
    config: Mapping[str, Any] | None = None,
    data: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write `network` to `path`, atomically. CheckpointError where the disk refuses.

    encoder: the card that the backbone came with; its preparation, data and notices go on. parent: name of the encoder.
    method, config: how it was fine-tuned. data: one entry a labelled source; never a patient.
    """
    own = replace(
        encoder,
        kind=KIND,
        task=KIND,
        classes=list(structures),
        method=method,
        config={**(config or {}), "size": size, "decoder": _decoder(network), "encoder": encoder.method},
        parent=parent,
        data=[*encoder.data, *map(dict, data)],
        state={},
    )
    checkpoint.write(path, network.state_dict(), own)


def saved_as(folder: Path, run: str, shots: int | None, draw: int | None, fold: int | None = None) -> Path:
    """Where the network of one training is kept: FOLDER/networks/RUN-SHOTS-DRAW(-FOLD).safetensors; all for no number."""
    plain = re.sub(r"[^.\w-]+", "_", run)
    return folder / FOLDER / f"{plain}-{shots or 'all'}-{draw}{'' if fold is None else f'-{fold}'}.safetensors"


def keeper(
    folder: Path, run: str, encoder: Card, dataset: Dataset, structures: Sequence[str], method: str, config: Any
) -> Callable[[UNet | WithHead, Sequence[Subject], Repeat, int | None], None]:
    """What is called with each trained network, the images it saw, and which training it was: saves it below `folder`."""
    about = facts(dataset)
    parent = None if encoder.method in zoo.UNTRAINED else run
    named = {
        "dataset": about.name if about else type(dataset).__module__,
        "licence": about.licence if about else "unknown",
    }

    def keep(network: UNet | WithHead, own: Sequence[Subject], repeat: Repeat, fold: int | None) -> None:
        path = saved_as(folder, run, repeat.shots, repeat.draw, fold)
        how = {"shots": repeat.shots, "draw": repeat.draw, "fold": fold, "seed": repeat.seed, "train": to_dict(config)}
        source = {**named, "images": len(own), "patients": len({subject.patient for subject in own})}
        size = getattr(config, "size", 0)  # volumes are seen as they are
        save(path, network, encoder, structures, size, parent=parent, method=method, config=how, data=[source])

    return keep


def load(source: str | Path) -> Segmenter:
    """The network of a file, or of a folder that holds one, in eval mode, on the CPU. CheckpointError says what misfits."""
    path = network_file(Path(source))
    card = checkpoint.describe(path)
    if card.kind != KIND:
        remedy = "Give a fine-tuned network: vesalius evaluate RUN --save writes them to OUT/networks."
        raise CheckpointError(f"is of kind {card.kind!r}, not {KIND!r}", file=path, remedy=remedy)
    network = _described(card, path)
    tensors, _ = checkpoint.read(path)
    checkpoint.load_strictly(network, tensors, path)
    return Segmenter(network.eval(), card)


def network_file(source: Path) -> Path:
    """The file itself; of a folder of results, its one network. CheckpointError where there is none, or a choice."""
    if not source.is_dir():
        return source
    folder = source / FOLDER if (source / FOLDER).is_dir() else source
    found = sorted(folder.glob("*.safetensors")) if folder.name == FOLDER else []
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found[:6]) + (", ..." if len(found) > 6 else "")
        raise CheckpointError(f"holds {len(found)} networks", file=folder, remedy=f"Give one of {names}.")
    remedy = "vesalius evaluate RUN --save writes them to OUT/networks."
    raise CheckpointError("holds no fine-tuned network", file=source, remedy=remedy)


def _decoder(network: UNet | WithHead) -> dict[str, Any]:
    """What the card says of the decoder, enough to build it: of a U-Net, one width a level, finest last; of a head, which."""
    if isinstance(network, WithHead):
        standardised = isinstance(network.head, Standardised)
        head = network.head.head if isinstance(network.head, Standardised) else network.head
        levels = {"levels": list(head.chosen)} if isinstance(head, LinearHead) else {}
        return {"head": "linear" if levels else "nonlinear", "standardised": standardised, **levels}
    blocks = [block for block in (*network.blocks, network.final) if isinstance(block, Block)]
    return {"widths": [block.layers[0].out_channels for block in blocks], "skips": network.skips}


def _described(card: Card, path: Path) -> UNet | WithHead:
    """The network that a card describes, with random weights. CheckpointError where it describes none that we know."""
    try:
        encoder = zoo.arguments(card)
        decoder = card.config["decoder"]
        if "head" in decoder:
            backbone = zoo.build(**encoder)
            if decoder["head"] not in HEADS:
                raise ValueError(f"no head is called {decoder['head']}")
            how = {"levels": decoder.get("levels", ()), "standardise": bool(decoder.get("standardised"))}
            return WithHead(backbone, dense_head(decoder["head"], backbone, len(card.classes), **how))
        widths, skips = [int(width) for width in decoder["widths"]], bool(decoder["skips"])
        if not card.classes or not widths or (encoder["ndim"] == 2 and int(card.config["size"]) < 1):
            raise ValueError("no structures, no widths or no size")  # volumes are seen as they are
        return UNet(zoo.build(**encoder), len(card.classes), skips=skips, widths=widths)
    except (SettingError, KeyError, TypeError, ValueError, RuntimeError) as error:
        remedy = "Was it written by another version of vesalius? Install that one."
        raise CheckpointError(f"describes no network known here ({error})", file=path, remedy=remedy) from error
