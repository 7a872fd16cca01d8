"""From caches to batches. Which image, which crop, which augmentation: all counted from (seed, stage, step, place)."""

import signal
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from multiprocessing import get_all_start_methods
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vesalius.chance import generator, permutation
from vesalius.errors import VesaliusError

Crops = Callable[..., dict[str, np.ndarray]]


class Scans(Sequence[Any]):
    """Several caches as one sequence of scans, numbered from 0."""

    def __init__(self, caches: Sequence[Any], chosen: Sequence[tuple[int, int]]) -> None:
        self.caches, self.chosen = caches, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the images, without channels; nothing is read."""
        return [tuple(self.caches[cache].entries[place].shape[1:]) for cache, place in self.chosen]

    def __getitem__(self, index: Any) -> Any:
        cache, place = self.chosen[index]
        return replace(self.caches[cache][place], index=index)  # its number in the run, not in the cache


class Batches(Dataset[dict[str, Tensor]]):
    """Item t is this rank's share of micro-batch t of a stage: the same whoever asks for it, and when."""

    def __init__(
        self, scans: Scans, crops: Crops, config: Any, stage: int, batch: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        self.scans, self.crops, self.config, self.stage = scans, crops, config, stage
        self.batch, self.seed, self.rank, self.ranks = batch, seed, rank, ranks
        self.per_epoch = len(scans) // batch  # the rest of an epoch is left out: banks need full batches

    def __getitem__(self, t: int) -> dict[str, Tensor]:
        order = permutation(len(self.scans), self.seed, self.stage, t // self.per_epoch)
        first = t % self.per_epoch * self.batch
        share = self.batch // self.ranks
        places = range(self.rank * share, (self.rank + 1) * share)
        samples = [
            self.crops(
                generator(self.seed, self.stage, t, place),
                self.scans[int(order[first + place])],
                self.config,
                self.stage,
            )
            for place in places
        ]
        return collate(samples)


def collate(samples: Sequence[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """A batch from samples of equal shapes: each array gets a leading batch axis."""
    return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}


class Carried(Dataset[Any]):
    """`batches`, with an error as a value: the loader would turn one that a worker raises into a page of text."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, t: int) -> dict[str, Tensor] | VesaliusError:
        try:
            return self.batches[t]
        except VesaliusError as error:
            return error


def load(batches: Batches, start: int, stop: int, workers: int, pin: bool) -> Generator[dict[str, Tensor], None, None]:
    """Items start..stop-1 of `batches`, in order, cut by `workers` processes (0: this one)."""
    loader: DataLoader[Any] = DataLoader(
        Carried(batches),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=pin,
        # A fork starts at once and shares the index of the cache; workers only cut, on one thread, and never see the GPU.
        multiprocessing_context=("fork" if "fork" in get_all_start_methods() else "spawn") if workers else None,
        worker_init_fn=_begin,
    )
    for item in loader:
        if isinstance(item, VesaliusError):
            raise item
        yield item


def _begin(worker: int) -> None:
    """One thread; and a signal to the whole group of processes is for the one that saves: it ends its workers."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a fork has it from the trainer, a spawned process has not
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
