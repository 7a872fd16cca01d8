"""Encoders that are compared, and all trainings of one of them: rows as each ends, none twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from vesalius import results, zoo
from vesalius.checkpoint import Card
from vesalius.compute import Compute
from vesalius.data import datasets
from vesalius.data.datasets import Dataset
from vesalius.data.splits import official
from vesalius.errors import DataError, SettingError
from vesalius.evaluate import froc, ledger, protocols
from vesalius.evaluate.network import keeper, saved_as
from vesalius.evaluate.repeats import Repeat, cohorts, repeats
from vesalius.evaluate.study import Study
from vesalius.evaluate.tasks import Classes, Masks, task_of
from vesalius.features.subjects import Subject
from vesalius.progress import say
from vesalius.results import Row
from vesalius.settings import to_dict
from vesalius.zoo import Loaded, Runs

BODY = ("CropBody", "Body")  # steps
At = tuple[int | None, int | None, int | None]  # fold, shots, draw: which training of a run


@dataclass(frozen=True)
class Contestant:
    """An encoder by the name it has in the rows; random: in place of its weights, others drawn for each training."""

    name: str
    loaded: Loaded
    random: bool = False

    def backbone(self, seed: int | None) -> Any:
        """The network; where it is random, that of `seed`."""
        return (
            zoo.untrained(self.loaded.card, seed).eval() if self.random and seed is not None else self.loaded.backbone
        )

    def seeing(self, channels: int) -> "Contestant":
        """The same for images of so many channels (`zoo.widened`)."""
        return replace(self, loaded=zoo.widened(self.loaded, channels))

    def uncropped(self) -> "Contestant":
        """The same for images that are cut out of scans already: the body is neither cropped to nor told from air."""
        kept = [step for step in self.loaded.card.prepare if step["name"] not in BODY]
        return replace(self, loaded=replace(self.loaded, card=replace(self.loaded.card, prepare=kept)))


def contestants(runs: Runs, protocol: str) -> Iterator[Contestant]:
    """Each run once; of protocol scratch, the first one's network with random weights alone. SettingError: no run given."""
    named = zoo.named(runs)
    loaded = {name: zoo.load(run) for name, run in named if zoo.template(run) is None}
    if not loaded:
        raise SettingError("no run given", remedy="vesalius evaluate RUN... --data D; scratch goes beside a run.")
    first = next(iter(loaded.values()))
    if protocol == "scratch":
        yield _blank("scratch", first)
        return
    for name, run in named:
        of = zoo.template(run)
        yield Contestant(name, loaded[name]) if of is None else _blank(name, zoo.load(of) if of else first)


def _blank(name: str, like: Loaded) -> Contestant:
    """The network of `like` with random weights; of what was learned, its card says nothing."""
    card = Card(like.card.backbone, unit=like.card.unit, prepare=like.card.prepare, method="scratch")
    return Contestant(name, Loaded(like.backbone, card), random=True)


@dataclass(frozen=True)
class Trainings:
    """What `study` asks of any contestant, on `dataset`; rows, arrays and networks go to the folder `out`."""

    study: Study
    dataset: Dataset
    out: Path
    compute: Compute = field(default_factory=Compute)

    def of(self, one: Contestant, pool: Sequence[Subject], test: Sequence[Subject], about: Row) -> None:
        """All trainings of `one` that are not in OUT/results.jsonl yet. about: what its rows have in common."""
        study, path = self.study, self.out / results.FILE
        masks = {name: getattr(study, name) for name in ("metrics", "tolerance", "cases", "empty", "largest")}
        task = task_of((*pool, *test), study.structures, study.classes, study.data, **masks)
        ndim = one.loaded.card.backbone["ndim"]
        maker, config = protocols.find(study.protocol, task, study.settings, ndim, one.random)
        before = results.read(path) if path.exists() else []
        finished = {
            (row.fold, row.shots, row.draw) for row in results.select(before, run=about.run, measure=about.measure)
        }
        # Of folds that the data set makes, each may have an encoder of its own, which has not seen its test.
        called = about.run if self._fold is None else f"{about.run}, fold {self._fold}"
        begun = any(self._fold in (None, fold) for fold, _, _ in finished)
        ledger.enter(self.out, about.measure, called, self._about(one, task, config), begun)
        keep = self._keeper(one, about.run, task, config, finished)
        chance = isinstance(task, Masks) or study.protocol in protocols.TUNED or one.random
        parts = list(cohorts(pool, test, study.plan))
        for _, some, others in parts:
            _check_known(task, some, others, study.data)
        marked = froc.marked(self.dataset) if isinstance(task, Classes) else None
        if marked is not None and not froc.check(marked, [one for *_, others in parts for one in others]):
            marked = None
        for number, some, others in parts:
            fold = self._fold if number is None else number
            asked = repeats(some, study.plan, chance=chance, fold=fold is not None)
            left = [each for each in asked if (fold, each.shots, each.draw) not in finished]
            make = partial(maker, pool=some, test=others, names=task.names, config=config)
            for repeat, trainer in _trainers(one, left, make, self.compute):
                own = replace(about, shots=repeat.shots, draw=repeat.draw, seed=repeat.seed, fold=fold)
                with self.compute.autocast():
                    outcome = trainer.run(repeat.own, repeat.seed)
                    rows = list(task.rows(outcome, others, own, partial(results.save, self.out)))
                if keep is not None:
                    keep(outcome.network, [some[i] for i in repeat.own], repeat, fold)
                if marked is not None:
                    rows += froc.rows(marked, outcome, others, replace(own, structure=task.names[0]))
                results.append(path, rows)
                _tell(about.run, repeat, fold, rows)

    def _about(self, one: Contestant, task: Masks | Classes, config: Any) -> dict[str, Any]:
        """What all rows of a run must have in common. The plan is not of it: more draws may join."""
        study = self.study
        weights = "random" if one.random else zoo.fingerprint(one.loaded.backbone)
        asked = {name: value for name, value in to_dict(task).items() if name != "cases"}  # pictures change no number
        return {
            **to_dict(config), **asked, "data": self._data, "images": self._images, "train": study.train,
            "test": "" if study.plan.folds else study.test, "folds": study.plan.folds, "seed": study.plan.seed,
            "network": one.loaded.card.backbone["name"], "prepare": one.loaded.card.prepare, "weights": weights,
            "precision": self.compute.precision,
        }  # fmt: skip

    @property
    def _fold(self) -> int | None:
        """Of a data set that makes folds itself (BTCV, MSD), the one that its spec asks for."""
        options = datasets.asked(self.study.data)[1]
        return int(options["fold"]) if "fold" in options else None

    @cached_property
    def _images(self) -> str:
        """A digest of the names in both splits: lists of one name may hold others."""
        found = self.dataset.splits()
        parts = (self.study.train,) if self.study.plan.folds else (self.study.train, self.study.test)
        return blake2b(repr([official(found, part) for part in parts]).encode(), digest_size=8).hexdigest()

    @property
    def _data(self) -> list[Any]:
        """The data set and its options, but for its fold, which every row has, and for where files lie."""
        name, options = datasets.asked(self.study.data)
        return [name, {key: Path(text).name for key, text in options.items() if key != "fold"}]

    def _keeper(self, one: Contestant, name: str, task: Masks | Classes, config: Any, finished: set[At]) -> Any:
        """What saves a network of masks; None where none is to be saved."""
        study, out = self.study, self.out
        if not study.save:
            return None
        if not isinstance(task, Masks):
            reason = f"{study.protocol} of classes trains no network that predict knows"
            raise SettingError(reason, remedy="Leave --save out.")
        lost = [at for at in finished if not saved_as(out, name, at[1], at[2], at[0]).exists()]
        if lost:
            say(f"{name}: {len(lost)} trainings were measured before without --save, and their networks are not kept")
        return keeper(out, name, one.loaded.card, self.dataset, task.names, study.protocol, config)


def _trainers(
    one: Contestant, left: Sequence[Repeat], make: Callable[[Any], protocols.Trainer], compute: Compute
) -> Iterator[tuple[Repeat, protocols.Trainer]]:
    """Each repeat with its trainer: one for all where the weights are trained, else one for each seed."""
    made: tuple[int | None, protocols.Trainer] | None = None
    for repeat in left:
        start = repeat.seed if one.random else None  # random weights are drawn anew each time
        if made is None or made[0] != start:
            made = None  # frees the features of the last before those of the next are computed
            with compute.autocast():
                made = start, make(compute.place(one.backbone(start)))
        yield repeat, made[1]


def _tell(name: str, repeat: Repeat, fold: int | None, rows: Sequence[Row]) -> None:
    where = f"{name}, {repeat.shots or 'all'} labelled, draw {repeat.draw}" + ("" if fold is None else f", fold {fold}")
    means: dict[str, list[float]] = {}
    for row in rows:
        means.setdefault(row.name, []).append(row.value)
    say(f"{where}: " + ", ".join(f"{key} {sum(v) / len(v):.3f}" for key, v in means.items() if key != "case"))


def _check_known(task: Masks | Classes, pool: Sequence[Subject], test: Sequence[Subject], data: str) -> None:
    """Every structure and class stands on both sides. DataError says where it does not."""
    for what, some in (("train", pool), ("test", test)):
        for name in task.names:
            known = {key for one in some for key in (one.structures if isinstance(task, Masks) else one.classes)}
            if name not in known:
                remedy = f"There: {', '.join(sorted(known)) or 'none'}."
                raise DataError(f"no image to {what} on has {name!r}", file=data, remedy=remedy)
    if isinstance(task, Classes):
        task.check(test, data)
