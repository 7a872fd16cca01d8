"""`vesalius evaluate RUN... --data D --protocol P`: rows of a protocol appended to results.jsonl; goes on where it was."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from vesalius import checkpoint, results, settings, zoo
from vesalius.checkpoint import Card
from vesalius.data.cache import default_root, salt_of
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.splits import official
from vesalius.errors import DataError, SettingError
from vesalius.evaluate import protocols
from vesalius.evaluate.leakage import Guard
from vesalius.evaluate.network import SCRATCH, keeper, saved_as
from vesalius.evaluate.repeats import Plan, Repeat, cohorts, repeats
from vesalius.evaluate.tasks import METRICS, Classes, Masks, task_of
from vesalius.features.subjects import Reader, Subject
from vesalius.progress import say
from vesalius.results import Row
from vesalius.zoo import Loaded, Runs

FEWSHOT = (3, 6, 12, 24)  # Adam, Table 1


def evaluate_command(
    runs: Annotated[tuple[str, ...], arg(metavar="RUN...")],
    /,
    data: str,
    out: str,
    protocol: str = "fewshot",
    train: str = "train",
    test: str = "test",
    structures: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
    shots: tuple[int, ...] = (),
    shares: tuple[float, ...] = (),
    draws: int = Plan.draws,
    folds: int = 0,
    metrics: tuple[str, ...] = Masks.metrics,
    tolerance: float = Masks.tolerance,
    cases: bool = False,
    size: int | None = None,
    window: int | None = None,
    patch: tuple[int, ...] | None = None,
    head: str | None = None,
    blend: str | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    frozen: float | None = None,
    ramp: float | None = None,
    seed: int = 0,
    save: bool = False,
    allow_leak: bool = False,
) -> None:
    """What encoders are worth with labels. `vesalius compare` says whether differences are real.

    Args:
        runs: run folders or encoder files; the word scratch or random: the first one's network with random weights
        data: PATH, NAME:PATH or NAME:PATH?option=value, with masks or classes
        out: folder for results.jsonl
        protocol: linear or nonlinear (a head on frozen features), finetune (all weights learn), fewshot (the same on 3, 6,
            12 and 24 patients), scratch (finetune of the first run's network with random weights)
        train: split to train on
        test: split to measure on
        structures: of the masks; default: all
        classes: in place of masks, or where there are none; default: all
        shots: numbers of labelled patients, one image of each
        shares: of the training patients that are labelled, with all of their images; default: all
        draws: repeats, each with other patients and another seed
        folds: measure on every K-th of the training split's patients in turn, in place of the test split
        metrics: of masks: dice, iou, hd95, surface_dice
        tolerance: of surface_dice, mm (pixels where their size is unknown)
        cases: keep a picture of every test patient of the first draw, for the report's worst cases
        size: side at which the network sees 2-D images, px; this and the next nine: default is the protocol's own
        window: side of the squares cut from them for training, px; 0: none are
        patch: sides of the patches of volumes, voxels
        head: on an encoder of volumes that is fine-tuned: linear, nonlinear or unet
        blend: of windows that slide over volumes: central, gaussian or constant
        steps: of training
        batch: images a step
        lr: rate at the start; cosine to 0
        frozen: share of the steps in which only the decoder or head learns
        ramp: share of the steps after these in which the encoder's rate doubles from a tenth up to lr
        seed: of all draws
        save: keep every network for masks, in OUT/networks, for `vesalius predict`
        allow_leak: measure although the test was seen in pretraining or training; every row then says so
    """
    given = {
        "size": size, "window": window, "patch": patch, "head": head, "blend": blend,
        "steps": steps, "batch": batch, "lr": lr, "frozen": frozen, "ramp": ramp,
    }  # fmt: skip
    study = Study(
        data, protocol, train=train, test=test, structures=structures, classes=classes,
        plan=Plan(shots, shares, draws, folds, seed), metrics=metrics, tolerance=tolerance, cases=cases,
        settings={name: value for name, value in given.items() if value is not None}, save=save, allow_leak=allow_leak,
    )  # fmt: skip
    evaluate(runs, Path(out), study)


@dataclass(frozen=True)
class Study:
    """All of one evaluation but the encoders. data, protocol, ...: as in `evaluate_command`. settings: of the protocol, in
    place of its defaults. save: networks go to OUT/networks. allow_leak: see `leakage.Guard`."""

    data: str
    protocol: str = "fewshot"
    train: str = "train"
    test: str = "test"
    structures: Sequence[str] = ()
    classes: Sequence[str] = ()
    plan: Plan = field(default_factory=Plan)
    metrics: tuple[str, ...] = Masks.metrics
    tolerance: float = Masks.tolerance
    cases: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    save: bool = False
    allow_leak: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in protocols.PROTOCOLS:
            raise settings.unknown(self.protocol, self.protocol, protocols.PROTOCOLS, "protocol")
        for metric in self.metrics:
            if metric not in METRICS:
                raise settings.unknown(metric, metric, METRICS, "metric")
        if self.protocol == "fewshot" and not self.plan.shots:
            object.__setattr__(self, "plan", replace(self.plan, shots=FEWSHOT))


def evaluate(runs: Runs, out: Path, study: Study) -> Path:
    """The rows of all runs, appended to OUT/results.jsonl as each training ends. Returns the path of the rows.

    runs: folders or files, or name -> folder or file; `scratch` and `random` are words. Repeats in the file are left out.
    """
    checkpoint.check_writable(out)
    contestants = list(_contestants(runs, study))
    dataset = open_dataset(study.data)
    read = _reader(dataset, study)
    trained = {name: run for name, run in zoo.named(runs) if str(run) not in SCRATCH}
    asked = read.ids if study.plan.folds else read.others
    guard = Guard(trained, dataset, asked, (study.train, study.test), study.allow_leak)
    about = facts(dataset)
    path = out / results.FILE
    for name, loaded in contestants:
        pool, test = read(loaded.steps)
        row = Row(
            measure="finetune" if study.protocol == "scratch" else study.protocol, name="", value=0.0, run=name,
            data=about.name if about else "", split="folds" if study.plan.folds else study.test,
            leak=guard.stamp(name, pool, test),
        )  # fmt: skip
        _one(name, loaded, pool, test, study, dataset, out, row, path)
    return path


def _one(
    name: str,
    loaded: "Contestant",
    pool: Sequence[Subject],
    test: Sequence[Subject],
    study: Study,
    dataset: Dataset,
    out: Path,
    row: Row,
    path: Path,
) -> None:
    """All trainings of one run that are not in `path` yet."""
    masks = {"metrics": study.metrics, "tolerance": study.tolerance, "cases": study.cases}
    task = task_of((*pool, *test), study.structures, study.classes, study.data, **masks)
    ndim = loaded.card.backbone["ndim"]
    maker, config = protocols.find(study.protocol, task, study.settings, ndim, loaded.random)
    before = results.read(path) if path.exists() else []
    finished = {(one.fold, one.shots, one.draw) for one in results.select(before, run=name, measure=row.measure)}
    keep = _keeper(name, loaded, task, study, dataset, config, out, finished)
    chance = isinstance(task, Masks) or study.protocol in protocols.TUNED or loaded.random
    for fold, some, others in cohorts(pool, test, study.plan):
        _check_known(task, some, others, study)
        trainer: tuple[int | None, protocols.Trainer] | None = None
        for repeat in repeats(some, study.plan, chance=chance):
            if (fold, repeat.shots, repeat.draw) in finished:
                continue
            start = repeat.seed if loaded.random else None  # random weights are drawn anew each time
            if trainer is None or trainer[0] != start:
                trainer = None  # frees the features of the last before those of the next are computed
                trainer = start, maker(loaded.backbone(start), some, others, task.names, config)
            outcome = trainer[1].run(repeat.own, repeat.seed)
            if keep is not None:
                keep(outcome.network, [some[i] for i in repeat.own], repeat, fold)
            own = replace(row, shots=repeat.shots, draw=repeat.draw, seed=repeat.seed, fold=fold)
            rows = list(task.rows(outcome, others, own, lambda label, arrays: results.save(out, label, arrays)))
            results.append(path, rows)
            _tell(name, repeat, fold, rows)


def _tell(name: str, repeat: Repeat, fold: int | None, rows: Sequence[Row]) -> None:
    where = f"{name}, {repeat.shots or 'all'} labelled, draw {repeat.draw}" + ("" if fold is None else f", fold {fold}")
    means: dict[str, list[float]] = {}
    for row in rows:
        means.setdefault(row.name, []).append(row.value)
    say(f"{where}: " + ", ".join(f"{key} {sum(v) / len(v):.3f}" for key, v in means.items() if key != "case"))


@dataclass(frozen=True)
class Contestant:
    """An encoder; random: in place of its weights, others drawn for each training."""

    loaded: Loaded
    random: bool = False

    @property
    def steps(self) -> Any:
        """From a raw scan to what it sees."""
        return self.loaded.steps

    @property
    def card(self) -> Card:
        """Of the weights; of random ones, what a network needs to be built."""
        return self.loaded.card

    def backbone(self, seed: int | None) -> Any:
        """The network; where it is random, that of `seed`."""
        return zoo.untrained(self.card, seed).eval() if self.random and seed is not None else self.loaded.backbone


def _contestants(runs: Runs, study: Study) -> Iterator[tuple[str, Contestant]]:
    named = zoo.named(runs)
    loaded = {name: zoo.load(run) for name, run in named if str(run) not in SCRATCH}
    if not loaded:
        raise SettingError("no run given", remedy="vesalius evaluate RUN... --data D; scratch goes beside a run.")
    first = next(iter(loaded.values()))
    card = Card(first.card.backbone, unit=first.card.unit, prepare=first.card.prepare, method=SCRATCH[0])
    blank = Contestant(Loaded(first.backbone, card), random=True)
    if study.protocol == "scratch":
        yield SCRATCH[0], blank
        return
    for name, _ in named:
        yield name, Contestant(loaded[name]) if name in loaded else blank


def _keeper(
    name: str, loaded: Contestant, task: Masks | Classes, study: Study, dataset: Dataset, config: Any, out: Path,
    finished: set[tuple[int | None, int | None, int | None]],
) -> Any:  # fmt: skip
    if not study.save:
        return None
    if not isinstance(task, Masks):
        reason = f"{study.protocol} of classes trains no network that predict knows"
        raise SettingError(reason, remedy="Leave --save out.")
    lost = [at for at in finished if not saved_as(out, name, at[1], at[2], at[0]).exists()]
    if lost:
        say(f"{name}: {len(lost)} trainings were measured before without --save, and their networks are not kept")
    return keeper(out, name, loaded.card, dataset, task.names, study.protocol, config)


def _reader(data: Dataset, study: Study) -> Reader:
    """Of both splits; with folds, of the first alone. SettingError: there is none of that name. DataError: they share
    patients."""
    found = data.splits()
    known = official(found, study.train)
    asked = () if study.plan.folds else official(found, study.test)
    if shared := {data.patient(id) for id in known} & {data.patient(id) for id in asked}:
        reason = f"{len(shared)} patients are in both {study.train} and {study.test}"
        raise DataError(reason, file=study.data, remedy="Mend the splits.")
    return Reader(data, known, asked, salt_of(default_root()))


def _check_known(task: Masks | Classes, pool: Sequence[Subject], test: Sequence[Subject], study: Study) -> None:
    """Every structure and class stands on both sides. DataError says where it does not."""
    for what, some in (("train", pool), ("test", test)):
        for name in task.names:
            known = {key for one in some for key in (one.structures if isinstance(task, Masks) else one.classes)}
            if name not in known:
                remedy = f"There: {', '.join(sorted(known)) or 'none'}."
                raise DataError(f"no image to {what} on has {name!r}", file=study.data, remedy=remedy)
