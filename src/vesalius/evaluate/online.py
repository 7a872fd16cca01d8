"""Online probes: heads that learn masks on an encoder while it is pretrained, so that one sees what its features are worth.

Goncharov et al., MICCAI 2023; methods sections 2.1, point 10, and 2.2. After each update of the encoder a linear and a
non-linear head make a step on patches of one labelled image, as in `patches`: both on the same features, which come without
gradient from the encoder in evaluation mode. Now and then both segment patients that they never saw, in a sliding window.

DIFFERENCES: the encoder changes under the heads, so this Dice is a lower bound of what `vesalius evaluate` finds, and no
substitute. In 2-D too. The reference measures soft Dice, here it is Dice at 0.5. Labelled images are kept in memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vesalius.chance import generator
from vesalius.data.cache import key_hash
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.splits import holdout
from vesalius.data.steps import Step
from vesalius.data.tables import read_list
from vesalius.errors import DataError
from vesalius.evaluate.leakage import Pretraining, seen
from vesalius.evaluate.metrics import measured
from vesalius.evaluate.patches import Config, batch, voxels
from vesalius.evaluate.windows import slide
from vesalius.features import evaluating
from vesalius.features.subjects import Subject, load
from vesalius.losses.dice import entropy_and_dice
from vesalius.methods.step import Progress
from vesalius.models.heads import HEADS, spread
from vesalius.progress import say, shower

See = Callable[[Tensor], list[Tensor]]  # images (B, C, *S) in 0..1 -> the pyramid, fp32, finest first, without gradient
KEY = b"probe"  # of hashes that are compared and forgotten


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with masks: `own` to learn on, `held` to measure on, no patient in both. names: structures that one of `own`
    has contoured. data, ids: where they are from, and which they are, `own` first."""

    data: Dataset
    ids: tuple[str, ...]
    own: list[Subject]
    held: list[Subject]
    names: tuple[str, ...]


def labelled(spec: str, steps: Sequence[Step], share: float, seed: int) -> Labelled:
    """The images of data set `spec` that have masks, through `steps`; of their patients `share` is held out.

    DataError: an image that cannot be used, no masks, or masks of one patient alone. SettingError: no such data set.
    """
    data = open_dataset(spec)
    found = {id: subject for id, subject in _each(data, steps) if subject.structures}
    if not found:
        raise DataError("no image has masks to probe with", file=spec, remedy="Name a data set with masks.")
    try:
        kept, out = holdout(tuple(found), data.patient, share, seed)
    except DataError as error:
        remedy = "Name a data set of more patients, or say whose images they are."
        raise DataError(f"masks to probe with: {error.reason}", file=spec, remedy=remedy) from error
    own, held = ([found[id] for id in ids] for ids in (kept, out))
    names = dict.fromkeys(name for subject in own for name in subject.structures)
    if not any(name in names for subject in held for name in subject.structures):
        remedy = "Set probe.holdout higher, or name a data set with more masks."
        raise DataError("the patients held out have none of the structures of the others", file=spec, remedy=remedy)
    return Labelled(data, (*kept, *out), own, held, tuple(names))


def say_seen(labelled: Labelled, sources: Sequence[str], excluded: str = "") -> None:
    """Say how many labelled patients the pretraining on data sets `sources` sees, without those that a file lists."""
    out = set(read_list(Path(excluded).expanduser())) if excluded else set()
    known = []
    for source in map(open_dataset, sources):
        about, patients = facts(source), {source.patient(id) for id in source.ids} - out
        name = about.name if about else type(source).__module__
        known.append((frozenset({name}), frozenset(key_hash(KEY, patient) for patient in patients)))
    if both := seen(labelled.data, labelled.ids, Pretraining(KEY, tuple(known))):
        everyone = {labelled.data.patient(id) for id in labelled.ids}
        say(f"probe: {len(both)} of {len(everyone)} labelled patients are in the pretraining too, which sees no label")


class Probes:
    """A linear and a non-linear head beside a training; the encoder is only looked through."""

    name = "probe"

    def __init__(
        self,
        encoder: Any,
        device: torch.device,
        data: Labelled,
        config: Config,
        every: int = 1000,
        steps: int = 1,
        seed: int = 0,
    ) -> None:
        """every: updates of the encoder from one Dice to the next. steps: from one update of the heads to the next.

        Weights and draws follow from `seed`. DataError: an image that is not of the encoder's channels.
        """
        self.data, self.config, self.every, self.steps, self.seed = data, config, every, steps, seed
        _check(encoder, data)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            of = (encoder.channels, len(data.names), encoder.ndim, encoder.strides)
            self.heads = nn.ModuleDict({kind: head(*of) for kind, head in HEADS.items()}).to(device)
        self.adam = torch.optim.Adam(self.heads.parameters(), lr=config.lr)
        self.losses = torch.zeros(len(HEADS) + 1, device=device)  # their sums since the last Dice, and of how many
        self.places = [voxels(subject, data.names) for subject in data.own]

    def __call__(self, see: See, now: Progress) -> dict[str, float]:
        """After update `now`: learn; and where it is time, the mean losses and Dice, of patients held out."""
        done = now.step + 1
        if done % self.steps == 0:
            self._learn(see, generator(self.seed, now.stage, now.step))
        if done % self.every and done < now.steps:
            return {}
        numbers = {f"{self.name}_{name}": value for name, value in {**self._mean_losses(), **self._dice(see)}.items()}
        dice = ", ".join(f"{kind} {numbers.get(f'{self.name}_{kind}_dice', float('nan')):.3f}" for kind in HEADS)
        say(f"{self.name} after step {done} of stage {now.stage}: Dice {dice}")
        return numbers

    def state_dict(self) -> dict[str, Tensor]:
        """Heads, Adam's moments, sums of losses."""
        moments = self.adam.state_dict()["state"]
        found = {f"heads.{name}": value for name, value in self.heads.state_dict().items()}
        found |= {f"adam.{i}.{name}": value for i, own in moments.items() for name, value in own.items()}
        return found | {"losses": self.losses}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` gave. DataError where it was of other structures."""
        heads = {name.removeprefix("heads."): value for name, value in state.items() if name.startswith("heads.")}
        shapes = {name: value.shape for name, value in self.heads.state_dict().items()}
        if shapes != {name: value.shape for name, value in heads.items()}:
            reason = f"the run was saved with probes of other structures than {', '.join(self.data.names)}"
            raise DataError(reason, remedy="Resume with the labelled images that it began with.")
        self.heads.load_state_dict(heads)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("adam."):
                _, i, key = name.split(".")
                moments.setdefault(int(i), {})[key] = value
        self.adam.load_state_dict({"state": moments, "param_groups": self.adam.state_dict()["param_groups"]})
        self.losses.copy_(state["losses"])

    def _learn(self, see: See, rng: np.random.Generator) -> None:
        """One step of both heads, on patches of one image."""
        at = int(rng.integers(len(self.data.own)))
        device = self.losses.device
        drawn = batch(rng, self.data.own[at], self.places[at], self.data.names, self.config)
        images, masks, body, known = (part.to(device) for part in drawn)
        known = known.expand(len(images), -1)
        logits = self._logits(see(images), images.shape[2:])
        losses = torch.stack([entropy_and_dice(some, masks, known, body) for some in logits])
        self.adam.zero_grad(set_to_none=True)
        losses.sum().backward()  # type: ignore[no-untyped-call]  # no weight is in two heads
        self.adam.step()
        self.losses += torch.cat([losses.detach(), torch.ones(1, device=device)])

    def _logits(self, pyramid: list[Tensor], shape: Sequence[int]) -> list[Tensor]:
        return [spread(head(pyramid), shape) for head in self.heads.values()]

    def _mean_losses(self) -> dict[str, float]:
        """Of each head since the last time; {} where it learned nothing."""
        *sums, count = self.losses.tolist()
        self.losses.zero_()
        return {f"{kind}_loss": loss / count for kind, loss in zip(HEADS, sums, strict=True)} if count else {}

    def _dice(self, see: See) -> dict[str, float]:
        """Of each head, the mean over structures, and of each structure the mean over images held out."""
        values: dict[str, dict[str, list[float]]] = {kind: {} for kind in HEADS}
        for subject in self.data.held:
            known = [name for name in self.data.names if name in subject.structures]
            truth = subject.mask[[subject.structures.index(name) for name in known]]
            chosen = [self.data.names.index(name) for name in known]
            for kind, found in (self._found(see, subject) if known else {}).items():
                for (_, name), value in measured(found[chosen], truth, known, ("dice",), 0.0, None).items():
                    values[kind].setdefault(name, []).append(value)
        numbers: dict[str, float] = {}
        for kind, named in values.items():
            means = {f"{kind}_dice.{name}": float(np.mean(own)) for name, own in named.items()}
            numbers |= {f"{kind}_dice": float(np.mean(list(means.values())))} if means else {}
            numbers |= means
        return numbers

    def _found(self, see: See, subject: Subject) -> dict[str, NDArray[np.bool_]]:
        """What each head finds in the body of one image, (K, *S): middles are pasted and not blended, so the logits' signs
        are enough, and the sum of all heads' maps stays small."""

        def signs(window: Tensor) -> Tensor:
            return (torch.cat(self._logits(see(window), window.shape[2:]), 1) > 0).cpu()

        sides = self.config.patch[: len(subject.shape)]
        with evaluating(self.heads):
            overlap, air = self.config.overlap, subject.air
            both = slide(signs, subject.image, sides, blend="central", overlap=overlap, fill=air).numpy()
        parts = np.split(both & subject.body, len(HEADS))
        return dict(zip(HEADS, parts, strict=True))


def _each(data: Dataset, steps: Sequence[Step]) -> Iterator[tuple[str, Subject]]:
    show = shower("reading labelled images")
    for done, id in enumerate(data.ids, 1):
        (subject,) = load(data, [id], steps, KEY)
        yield id, subject
        show(done, len(data.ids))


def _check(encoder: Any, data: Labelled) -> None:
    for id, subject in zip(data.ids, (*data.own, *data.held), strict=True):
        channels = subject.pixels.shape[0]
        if channels not in (1, encoder.in_channels):
            reason = f"has {channels} channels, and the network takes {encoder.in_channels}"
            raise DataError(reason, file=data.data.path(id) or id, remedy="Leave out --no-grey, or probe with others.")
