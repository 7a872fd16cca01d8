"""What a run begins with, made and checked before its data are prepared: settings, network and method, the card."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from vesalius import zoo
from vesalius.checkpoint import Card
from vesalius.errors import CheckpointError, SettingError
from vesalius.settings import to_dict
from vesalius.train.run import Run

MOST = 256  # images of batch "auto": Adam's and MoCo-v2's


def check(run: Run[Any], module: ModuleType) -> None:
    """SettingError for settings that cannot be meant, of whatever method."""
    if not run.out:
        raise SettingError("setting out is empty", remedy="Give the run's folder: --out runs/NAME.")
    if run.method.stages < 1:
        raise SettingError(f"the settings of {run.name} leave no stage to train", remedy="Give one level or more.")
    if run.accumulate > 1 and getattr(module.Method, "negatives_in_batch", False):
        reason = f"{run.name} cannot accumulate: its negatives are the other images of the batch"
        raise SettingError(reason, remedy="Set accumulate to 1 and use a larger batch, on more devices if need be.")


def method(run: Run[Any], module: ModuleType, ranks: int) -> nn.Module:
    """The method with its network, drawn from the run's seed. SettingError, CheckpointError: what does not fit."""
    torch.manual_seed(run.seed)
    own = backbone(run)
    if run.checkpointing:
        if not hasattr(own, "checkpoint"):
            remedy = "Leave it out, or choose a pyramid: --backbone fpn."
            raise SettingError(f"setting checkpointing is on, and {run.backbone} cannot", remedy=remedy)
        own.checkpoint = True
    made: nn.Module = module.Method(own, run.method, run.seed)
    if run.batch != "auto":
        check_batch(made, run.batch // run.accumulate, ranks)
    return made


def check_batch(made: nn.Module, batch: int, ranks: int) -> None:
    """SettingError where the method cannot use batches of so many images."""
    if (check := getattr(made, "check", None)) is not None:
        check(batch, ranks)


def backbone(run: Run[Any]) -> Any:
    """Random weights, or those of `run.start`. CheckpointError where they are of another architecture."""
    if not run.start:
        return zoo.build(run.backbone, run.ndim, run.in_channels)
    loaded = zoo.load(run.start)
    card = loaded.card.backbone
    if (card["name"], card["ndim"], card["in_channels"]) != (run.backbone, run.ndim, run.in_channels):
        asked = f"{run.backbone} in {run.ndim}-D with {run.in_channels} channels"
        found = f"{card['name']} in {card['ndim']}-D with {card['in_channels']} channels"
        remedy = f"Set backbone, ndim and in_channels to those of the {found}, or start from another encoder."
        raise CheckpointError(f"holds a {found}, not a {asked}", file=run.start, remedy=remedy)
    return loaded.backbone.train()


def enough(run: Run[Any], made: nn.Module, ranks: int, images: int) -> None:
    """SettingError where there are fewer images than one batch holds, with the largest batch that would fit."""
    if run.batch == "auto":
        batches(run, made, ranks, images)
        return
    if images >= run.batch:
        return
    fitting = next((batch for batch in range(images, 0, -1) if _fits(run, made, ranks, batch)), None)
    remedy = f"Give more data, or --batch {fitting}." if fitting else "Give more data."
    raise SettingError(f"{images} images to train on are fewer than one batch of {run.batch}", remedy=remedy)


def batches(run: Run[Any], made: nn.Module, ranks: int, images: int) -> list[int]:
    """What batch "auto" can become with so many images, memory aside: powers of two, ascending. SettingError: nothing."""
    most = min(images, MOST)
    found = [batch for batch in (2**n for n in range(most.bit_length())) if _fits(run, made, ranks, batch)]
    if not found:
        reason = f"batch auto: with {images} images to train on, {run.name} takes no power of two up to {most}"
        raise SettingError(reason, remedy="Give --batch a number: what does not fit is then said.")
    return found


def _fits(run: Run[Any], made: nn.Module, ranks: int, batch: int) -> bool:
    if batch % (run.accumulate * ranks):
        return False
    try:
        check_batch(made, batch // run.accumulate, ranks)
    except SettingError:
        return False
    return True


def card(run: Run[Any], module: ModuleType, network: Any, prepare: list[Any], facts: list[dict[str, Any]]) -> Card:
    """The card of the run's encoders: its settings without paths, which may name people or places."""
    config = {**json.loads(json.dumps(to_dict(run))), "data": [], "out": "", "start": "", "cache": ""}
    config["probe"] = {**config["probe"], "data": ""}
    return Card(
        backbone=zoo.description(run.backbone, network),
        prepare=prepare,
        method=run.name,
        config={**config, "exclude_patients": ""},
        parent=Path(run.start).name if run.start else None,
        data=facts,
        notices=list(getattr(module, "NOTICES", ())),
    )
