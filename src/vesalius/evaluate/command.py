"""`vesalius evaluate RUN... --data D --protocol P`: rows of a protocol appended to results.jsonl; goes on where it was."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from vesalius import checkpoint, results, zoo
from vesalius.checkpoint import Card
from vesalius.data.cache import default_root, salt_of
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.splits import official
from vesalius.errors import DataError, SettingError
from vesalius.evaluate import fewshot, linear, segmentation
from vesalius.evaluate.leakage import Guard
from vesalius.evaluate.network import SCRATCH, keeper, saved_as
from vesalius.features.subjects import Reader, Subject
from vesalius.progress import say
from vesalius.zoo import Loaded, Runs

PROTOCOLS = ("fewshot", "finetune", "linear")


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
    shares: tuple[float, ...] = (1.0,),
    shots: tuple[int, ...] = fewshot.Config.shots,
    draws: int = fewshot.Config.draws,
    size: int = segmentation.Config.size,
    steps: int = segmentation.Config.steps,
    batch: int = segmentation.Config.batch,
    lr: float = segmentation.Config.lr,
    frozen: float = segmentation.Config.frozen,
    seed: int = 0,
    save: bool = False,
    allow_leak: bool = False,
) -> None:
    """What encoders are worth with labels. `vesalius compare` says whether differences are real.

    Args:
        runs: run folders or encoder files; the word scratch: the first one's network with random weights
        data: PATH, NAME:PATH or NAME:PATH?option=value, with masks
        out: folder for results.jsonl
        protocol: fewshot (masks, so many labelled patients, several draws), finetune (masks, all labelled patients, draws are
            seeds) or linear (classes, logistic regression on frozen features)
        train: split to train on
        test: split to measure on
        structures: of the masks; default: all
        classes: for linear; default: all
        shares: of the training patients that are labelled, for linear
        shots: numbers of labelled patients
        draws: of patients (fewshot), or repeats with another seed (finetune)
        size: side at which the network sees images, px
        steps: of training
        batch: images a step
        lr: rate at the start; cosine to 0
        frozen: share of the steps in which only the decoder learns
        seed: of all draws
        save: keep every fine-tuned network, in OUT/networks, for `vesalius predict`
        allow_leak: measure although the test was seen in pretraining or training; every row then says so
    """
    splits = (train, test)
    if protocol == "linear":
        if save:
            raise SettingError("linear trains no network to save", remedy="Leave --save out.")
        settings = linear.Config(size=size, shares=shares, draws=draws, seed=seed)
        probe(runs, data, Path(out), splits, classes, settings, allow_leak=allow_leak)
        return
    how = segmentation.Config(size=size, steps=steps, batch=batch, lr=lr, frozen=frozen)
    config = fewshot.Config(shots=shots, draws=draws, seed=seed, train=how)
    evaluate(
        runs, data, Path(out), protocol=protocol, splits=splits, structures=structures, config=config, save=save,
        allow_leak=allow_leak,
    )  # fmt: skip


def evaluate(
    runs: Runs,
    data: str,
    out: Path,
    *,
    protocol: str = "fewshot",
    splits: tuple[str, str] = ("train", "test"),
    structures: Sequence[str] = (),
    config: fewshot.Config,
    save: bool = False,
    allow_leak: bool = False,
) -> Path:
    """The rows of all runs, appended to OUT/results.jsonl as each training ends. Returns the path of the rows.

    runs: folders or files, or name -> folder or file; `scratch` as a name. Repeats that are in the file are left out.
    save: the networks go to OUT/networks. allow_leak: see `leakage.Guard`.
    """
    if protocol not in PROTOCOLS:
        raise SettingError(f"there is no protocol {protocol!r}", remedy=f"Choose from {', '.join(PROTOCOLS)}.")
    if protocol == "finetune":
        config = replace(config, shots=(0,))
    checkpoint.check_writable(out)
    contestants = list(_contestants(runs, config.seed))
    dataset = open_dataset(data)
    read = _reader(dataset, splits)
    guard = _guard(runs, dataset, read, splits, allow_leak)
    path = out / results.FILE
    before = results.read(path) if path.exists() else []
    about = facts(dataset)
    for name, loaded in contestants:
        pool, test = read(loaded.steps)
        leak = guard.stamp(name, pool, test)
        chosen = tuple(structures) or test[0].structures
        _check(chosen, pool, test)
        finished = {(row.shots or 0, row.draw or 0) for row in results.select(before, run=name, measure=protocol)}
        if save and (lost := [at for at in finished if not saved_as(out, name, *at).exists()]):
            say(f"{name}: {len(lost)} trainings were measured before without --save, and their networks are not kept")
        keep = keeper(out, name, loaded.card, dataset, chosen, protocol, config) if save else None
        repeats = fewshot.rows(
            name, loaded.backbone, pool, test, chosen, config, measure=protocol,
            done=finished, keep=keep,
        )  # fmt: skip
        for rows in repeats:
            named = [replace(row, data=about.name if about else "", split=splits[1], leak=leak) for row in rows]
            results.append(path, named)
            dice = [row.value for row in named if row.name == "dice"]
            say(f"{name}, {named[0].shots or 'all'} labelled, draw {named[0].draw}: Dice {sum(dice) / len(dice):.3f}")
    return path


def probe(
    runs: Runs,
    data: str,
    out: Path,
    splits: tuple[str, str],
    classes: Sequence[str],
    config: linear.Config,
    *,
    allow_leak: bool = False,
) -> Path:
    """Linear probing of all runs: rows appended to OUT/results.jsonl, scores to OUT/artefacts. Goes on where it was."""
    checkpoint.check_writable(out)
    contestants = list(_contestants(runs, config.seed))
    dataset = open_dataset(data)
    read = _reader(dataset, splits)
    guard = _guard(runs, dataset, read, splits, allow_leak)
    path = out / results.FILE
    before = results.read(path) if path.exists() else []
    about = facts(dataset)
    for name, loaded in contestants:
        pool, test = read(loaded.steps)
        leak = guard.stamp(name, pool, test)
        known = dict.fromkeys(label for subject in (*pool, *test) for label in subject.classes)
        wanted = tuple(classes) or tuple(known)
        if missing := [label for label in wanted if label not in known] or ([] if wanted else ["any"]):
            remedy = f"Classes: {', '.join(known) or 'none'}."
            raise DataError(f"no image is labelled for {missing[0]!r}", file=data, remedy=remedy)
        finished = {(row.shots or 0, row.draw or 0) for row in results.select(before, run=name, measure="linear")}
        repeats = linear.rows(
            name, loaded.backbone, pool, test, wanted, config,
            lambda label, arrays: results.save(out, label, arrays), done=finished,
        )  # fmt: skip
        for rows in repeats:
            named = [replace(row, data=about.name if about else "", split=splits[1], leak=leak) for row in rows]
            results.append(path, named)
            for row in (row for row in named if row.name == "auc"):
                say(f"{name}, {row.shots} patients labelled, draw {row.draw}: {row.structure} AUC {row.value:.3f}")
    return path


def _contestants(runs: Runs, seed: int) -> "list[tuple[str, Loaded]]":
    named = zoo.named(runs)
    loaded = [(name, zoo.load(run)) for name, run in named if str(run) != SCRATCH]
    if not loaded:
        raise SettingError("no run given", remedy="vesalius evaluate RUN... --data D; scratch goes beside a run.")
    first = loaded[0][1]
    for name, run in named:
        if str(run) == SCRATCH:
            card = Card(first.card.backbone, unit=first.card.unit, prepare=first.card.prepare, method=SCRATCH)
            loaded.append((name, Loaded(zoo.untrained(card, seed), card)))
    return loaded


def _guard(runs: Runs, data: Dataset, read: Reader, splits: tuple[str, str], allowed: bool) -> Guard:
    pretrained = {name: run for name, run in zoo.named(runs) if str(run) != SCRATCH}
    return Guard(pretrained, data, read.others, splits, allowed)


def _reader(data: Dataset, splits: tuple[str, str]) -> Reader:
    """Of both splits. SettingError: there is none of that name. DataError: they share patients."""
    found = data.splits()
    known, asked = (official(found, name) for name in splits)
    if shared := {data.patient(id) for id in known} & {data.patient(id) for id in asked}:
        raise DataError(f"{len(shared)} patients are in both {splits[0]} and {splits[1]}", remedy="Mend the splits.")
    return Reader(data, known, asked, salt_of(default_root()))


def _check(structures: Sequence[str], pool: Sequence[Subject], test: Sequence[Subject]) -> None:
    for what, some in (("train", pool), ("test", test)):
        for name in structures:
            if not any(name in subject.structures for subject in some):
                known = sorted({structure for subject in some for structure in subject.structures})
                raise DataError(
                    f"no image to {what} on has a mask of {name!r}", remedy=f"Structures: {', '.join(known)}."
                )
