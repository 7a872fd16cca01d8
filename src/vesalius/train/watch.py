"""Held-out images: their loss, and pictures of what the method makes of them. Nothing in the method changes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vesalius.methods.step import Progress
from vesalius.train import pictures
from vesalius.train.batches import Batches
from vesalius.train.run import Run
from vesalius.train.sources import Sources

Views = Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]  # a batch on the device, and the stage -> views


class Watch:
    """Always the same crops: a curve moves because the encoder does."""

    def __init__(self, run: Run[Any], module: Any, method: Any, fabric: Any, sources: Sources, views: Views) -> None:
        self.run, self.module, self.method, self.fabric, self.views = run, module, method, fabric, views
        self.held, self.scans = sources.watch, sources.watch if len(sources.watch) else sources.train

    @torch.no_grad()
    def loss(self, now: Progress, most: int) -> float | None:
        """The mean over batches of at most `most` images, of all processes; None where too few are held out."""
        share = min(most, len(self.held)) // self.fabric.world_size * self.fabric.world_size
        if not share:
            return None
        batches = self._batches(self.held, now.stage, share, self.fabric.global_rank, self.fabric.world_size)
        losses = []
        for t in range(batches.per_epoch):
            views = self._seen(batches[t], now.stage)
            with self._evaluating():
                losses.append(self.method(views, now).loss.float())
        return float(self.fabric.all_reduce(torch.stack(losses).mean()))

    @torch.no_grad()
    def draw(self, stage: int, folder: Path) -> None:
        """Pictures by methods that make some; of training images, where none is held out."""
        make = getattr(self.module, "pictures", None)
        if make is not None and self.fabric.is_global_zero:
            batch = self._batches(self.scans, stage, min(len(self.scans), pictures.MOST))[0]
            views = self._seen(batch, stage)  # as in training, outside of the precision of the network
            with self._evaluating():
                pictures.write(folder, make(self.method, views))

    def _seen(self, batch: Mapping[str, Tensor], stage: int) -> dict[str, Tensor]:
        return self.views({name: value.to(self.fabric.device) for name, value in batch.items()}, stage)

    def _batches(self, scans: Any, stage: int, batch: int, rank: int = 0, ranks: int = 1) -> Batches:
        return Batches(scans, self.module.crops, self.run.method, stage, batch, self.run.seed + 1, rank, ranks)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.method.eval()
        with self.fabric.autocast():
            yield
        self.method.train()
