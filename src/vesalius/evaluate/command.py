"""`vesalius evaluate RUN... --data D --protocol P`: rows of a protocol appended to results.jsonl; goes on where it was."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from vesalius import checkpoint, results, zoo
from vesalius.compute import Compute, choose
from vesalius.data.cache import default_root, salt_of
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.splits import official
from vesalius.errors import DataError
from vesalius.evaluate import froc
from vesalius.evaluate.leakage import Guard
from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.evaluate.tasks import Masks
from vesalius.evaluate.trainings import Trainings, contestants
from vesalius.features.subjects import Reader
from vesalius.progress import say_notes
from vesalius.results import Row
from vesalius.zoo import Runs


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
    empty: bool = False,
    largest: bool = False,
    size: int | None = None,
    window: int | None = None,
    patch: tuple[int, ...] | None = None,
    head: str | None = None,
    skips: bool = True,
    levels: tuple[int, ...] | None = None,
    blend: str | None = None,
    whole: bool = False,
    standardise: bool = True,
    cosine: bool = False,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    frozen: float | None = None,
    ramp: float | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    save: bool = False,
    allow_leak: bool = False,
) -> None:
    """What encoders are worth with labels. `vesalius compare` says whether differences are real.

    Args:
        runs: run folders or encoder files; the word scratch or random: the first one's network with random weights;
            scratch:RUN or random:RUN: that run's network, to compare encoders of several architectures
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
        empty: a structure that is neither there nor found counts as Dice 1, in place of not at all
        largest: of a structure that was found only the largest connected part counts (LiTS)
        size: side at which the network sees 2-D images, px; default of this and of those below: the protocol's own
        window: side of the squares cut from them for training, px; 0: none are
        patch: sides of the patches of volumes, voxels
        head: on an encoder of volumes that is fine-tuned: auto, linear, nonlinear or unet
        skips: connections from the encoder into the decoder of a U-Net
        levels: of the pyramid that a linear head looks at, 0 the finest; default: all. The run's name then says which
        blend: of windows that slide over volumes: central, gaussian or constant
        whole: probes of volumes learn from features of whole volumes, computed once, in place of patch by patch
        standardise: features of probes for masks are brought to mean 0 and deviation 1, channel by channel
        cosine: of volumes, the rate falls to 0 as a cosine, in place of vox2vec's constant one
        steps: of training
        batch: images a step
        lr: rate at the start; for images it falls to 0 as a cosine
        frozen: share of the steps in which only the decoder or head learns
        ramp: share of the steps after these in which the encoder's rate doubles from a tenth up to lr
        seed: of all draws
        device: auto, cpu or cuda
        precision: auto, fp32 or bf16; auto: bf16 where the device is fast at it. Rows of both do not mix
        save: keep every network for masks, in OUT/networks, for `vesalius predict`
        allow_leak: measure although the test was seen in pretraining or training; every row then says so
    """
    given = {
        "size": size, "window": window, "patch": patch, "head": head, "levels": levels, "blend": blend, "steps": steps,
        "batch": batch, "lr": lr, "frozen": frozen, "ramp": ramp, "skips": None if skips else False, "whole": whole or None,
        "standardise": None if standardise else False, "cosine": cosine or None,
    }  # fmt: skip
    own = {name: value for name, value in given.items() if value is not None}
    study = Study(
        data, protocol, train=train, test=test, structures=structures, classes=classes,
        plan=Plan(shots, shares, draws, folds, seed), metrics=metrics, tolerance=tolerance, cases=cases, empty=empty,
        largest=largest, settings=own, save=save, allow_leak=allow_leak,
    )  # fmt: skip
    evaluate(runs, Path(out), study, choose(device, precision))


def evaluate(runs: Runs, out: Path, study: Study, compute: Compute | None = None) -> Path:
    """The rows of all runs, appended to OUT/results.jsonl as each training ends. Returns the path of the rows.

    runs: folders or files, or name -> folder or file; `scratch` and `random` are words. Repeats in the file are left out.
    compute: where and in which precision; by default as is best here.
    """
    checkpoint.check_writable(out)
    some, dataset = list(contestants(runs, study.protocol)), open_dataset(study.data)
    say_notes(study.data, dataset)
    if froc.marked(dataset) is not None:
        some = [one.uncropped() for one in some]
    read = _reader(dataset, study)
    trained = {name: run for name, run in zoo.named(runs) if zoo.template(run) is None}
    asked = read.ids if study.plan.folds else read.others
    guard = Guard(trained, dataset, asked, (study.train, study.test), study.allow_leak)
    trainings = Trainings(study, dataset, out, compute or choose())
    for one in some:
        pool, test = read(one.loaded.steps)
        row = Row(
            measure="finetune" if study.protocol == "scratch" else study.protocol, name="", value=0.0,
            run=study.called(one.name), data=_called(dataset),
            split="folds" if study.plan.folds else study.test,
            leak=guard.stamp(one.name, pool, test),
        )  # fmt: skip
        trainings.of(one.seeing(len(pool[0].pixels)), pool, test, row)
    return out / results.FILE


def _called(data: Dataset) -> str:
    """In the rows: the published name, and a split that is not the official one, which is another task."""
    about = facts(data)
    return ", ".join(filter(None, (about.name if about else "", getattr(data, "protocol", ""))))


def _reader(data: Dataset, study: Study) -> Reader:
    """Of both splits; with folds, of the first alone. SettingError: there is none of that name. DataError: they share
    patients."""
    found = data.splits()
    known = official(found, study.train)
    asked = () if study.plan.folds else official(found, study.test)
    for name, part in ((study.train, known), (study.test, asked or study.plan.folds)):
        if not part:
            raise DataError(f"none of the images of {name} is here", file=study.data, remedy="Complete the download.")
    if shared := {data.patient(id) for id in known} & {data.patient(id) for id in asked}:
        reason = f"{len(shared)} patients are in both {study.train} and {study.test}"
        raise DataError(reason, file=study.data, remedy="Mend the splits.")
    return Reader(data, known, asked, salt_of(default_root()))
