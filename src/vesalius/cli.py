"""name -> function; no logic. Heavy imports wait until a command needs them, so that --help answers at once."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from vesalius.errors import SettingError, VesaliusError
from vesalius.version import __version__
from vesalius.words import Words, call, first_flag, known, parse, take


def demo(words: Words) -> None:
    """the main job on synthetic bodies, in minutes: pretrain Adam (--3d: vox2vec; or --method pcrlv2), see what it learned"""
    run(["demo_3d" if "--3d" in words else "demo", *(word for word in words if word != "--3d")])


def inspect(words: Words) -> None:
    """what is wrong with DATA: unreadable files, duplicates, units, polarity, patients, cost of preparing"""
    from tyro.conf import arg

    from vesalius.progress import shower

    def command(data: Annotated[str, arg(metavar="DATA")], /, json: bool = False, sample: int = 0) -> None:
        """Look at a data set before training on it.

        Args:
            data: PATH, NAME:PATH or NAME:PATH?option=value
            json: print JSON instead of text
            sample: look at so many images only; 0 = all
        """
        from vesalius.data.datasets import open_dataset
        from vesalius.data.doctor import inspect as examine

        report = examine(open_dataset(data), sample=sample or None, progress=shower("looking at images"))
        print(_json(report) if json else report.text())

    call(command, words, "inspect")


def prepare(words: Words) -> None:
    """read DATA once into the cache that training reads from; can be stopped and started again"""
    from tyro.conf import arg

    def command(
        data: Annotated[str, arg(metavar="DATA")],
        /,
        ndim: int = 2,
        size: int = 512,
        grey: bool = True,
        spacing: tuple[float, ...] = (),
        upsample: bool = False,
        body: bool = False,
        cache: str = "",
    ) -> None:
        """Prepare a data set.

        Args:
            data: PATH, NAME:PATH or NAME:PATH?option=value
            ndim: 2 or 3
            size: short side of 2-D images, in pixels; smaller ones stay as they are
            grey: 2-D images become one channel; --no-grey for fundus photographs and other colour
            spacing: of 3-D images, mm along x, y, z; an axis with coarser voxels keeps them
            upsample: such an axis gets finer voxels too, by interpolation, which adds no detail
            body: CT is cropped to the body, and its mask kept; for CT in HU alone
            cache: folder of prepared images; default: $VESALIUS_CACHE or ~/.cache/vesalius
        """
        from vesalius.train.sources import prepare_only

        print(prepare_only(data, ndim, size, cache, grey, spacing, body, upsample))

    call(command, words, "prepare")


def pretrain(words: Words) -> None:
    """METHOD DATA --out RUN: learn an encoder from unlabelled scans; --resume goes on; --config RUN/config.json re-reads"""
    import dataclasses
    from itertools import pairwise

    import tyro

    from vesalius.methods import names
    from vesalius.settings import to_dict
    from vesalius.train.run import Run, configure, read

    leading = words[: first_flag(words)]
    rest = words[len(leading) :]
    config, rest = take(rest, "--config")
    if config is None and not leading:
        about = f"usage: vesalius pretrain METHOD DATA... --out RUN [--resume] [--config FILE]; METHOD: {', '.join(names())}"
        if rest and rest[0] not in ("-h", "--help"):
            raise SettingError("no method given", remedy=about)
        print(f"{about}\nSettings of a method: vesalius pretrain METHOD --help")
        return
    volumes = "--ndim=3" in rest or ("--ndim", "3") in pairwise(rest)  # they may have other defaults
    start = read(Path(config)) if config else configure(leading.pop(0), {"ndim": 3} if volumes else {})
    if config and leading[:1] == [start.name]:  # said twice: once in the file
        leading.pop(0)
    known(rest, to_dict(start))
    if leading:
        start = dataclasses.replace(start, data=tuple(leading))
    fields: list[Any] = [
        ("run", Annotated[Run[type(start.method)], tyro.conf.arg(name="")], start),  # type: ignore[misc]
        ("resume", bool, False),
    ]
    chosen = parse(
        dataclasses.make_dataclass("Pretrain", fields, frozen=True), rest, f"pretrain {start.name} DATA...", ""
    )
    from vesalius import carry_out

    print(carry_out(chosen.run, chosen.resume))


def run(words: Words) -> None:
    """RECIPE: repeat one of this project's experiments (vesalius list)"""
    from vesalius.recipes import find, names

    if words[:1] in (["-h"], ["--help"]):
        print(f"usage: vesalius run RECIPE [--help]; RECIPE: {', '.join(names())}")
        return
    if not words or words[0].startswith("-"):
        raise SettingError("no recipe given", remedy=f"Recipes: {', '.join(names())}.")
    call(find(words[0]).main, words[1:], f"run {words[0]}")


def embed(words: Words) -> None:
    """RUN DATA: features of images (one vector, a map, or at points) as .npz or .parquet"""
    from vesalius.features.command import embed_command

    call(embed_command, words, "embed")


def anatomy(words: Words) -> None:
    """RUN... --data D: what encoders know of the body (locality, landmarks, registration ...), beside what chance knows"""
    from vesalius.anatomy.command import anatomy_command

    call(anatomy_command, words, "anatomy")


def evaluate(words: Words) -> None:
    """RUN... --data D: what encoders are worth with labels: few-shot and full fine-tuning for segmentation"""
    from vesalius.evaluate.command import evaluate_command

    call(evaluate_command, words, "evaluate")


def find(words: Words) -> None:
    """point at a place in one image, see it in the others: landmarks by an encoder's vectors, with heat maps"""
    from vesalius.anatomy.find import find_command

    call(find_command, words, "find")


def predict(words: Words) -> None:
    """RUN INPUT OUT: masks of images (PNG) or volumes (NIfTI) from a network that evaluate --save kept"""
    from vesalius.evaluate.predict import predict_command

    call(predict_command, words, "predict")


def export(words: Words) -> None:
    """RUN: the encoder under torchvision's and timm's names, as .safetensors with its settings as .json"""
    from tyro.conf import arg

    def command(run: Annotated[str, arg(metavar="RUN")], /, out: str, bf16: bool = False) -> None:
        """Export an encoder, and prove by comparing features that nothing was lost.

        Args:
            run: run folder or encoder file
            out: file to write, NAME.safetensors; NAME.json goes beside it
            bf16: round the kernels to bf16: half the size
        """
        from vesalius.zoo import export as write

        print(write(Path(run), Path(out), bf16))

    call(command, words, "export")


def report(words: Words) -> None:
    """RUN...: one page of HTML that shows what was measured: tables with intervals, named checks, pictures"""
    from vesalius.report.command import report_command

    call(report_command, words, "report")


def compare(words: Words) -> None:
    """RUN...: is one better than another? every number they share, with interval, p, Holm's correction and verdict"""
    from vesalius.report.compare import compare_command

    call(compare_command, words, "compare")


def import_weights(words: Words) -> None:
    """FILE --as ARCH --out NAME.safetensors: weights from elsewhere become an encoder; no code in them is run"""
    from vesalius.foreign.command import import_command

    call(import_command, words, "import")


def list_all(words: Words) -> None:
    """the methods, data sets, backbones and recipes there are"""
    from vesalius import methods, recipes, zoo
    from vesalius.data import datasets

    for room, names in {
        "methods": methods.names(),
        "data sets": datasets.names(),
        "backbones": zoo.BACKBONES,
        "recipes": recipes.names(),
    }.items():
        print(f"{room}: {', '.join(names)}")


COMMANDS: dict[str, Callable[[Words], None]] = {
    "demo": demo,
    "inspect": inspect,
    "prepare": prepare,
    "pretrain": pretrain,
    "run": run,
    "embed": embed,
    "anatomy": anatomy,
    "evaluate": evaluate,
    "find": find,
    "predict": predict,
    "export": export,
    "import": import_weights,
    "compare": compare,
    "report": report,
    "list": list_all,
}


def usage() -> str:
    """The text of `vesalius --help`."""
    lines = [f"  {name:10s}{(function.__doc__ or '').strip()}" for name, function in COMMANDS.items()]
    about = "vesalius learns human anatomy from unlabelled scans and measures what it learned."
    return "\n".join([about, "", "usage: vesalius COMMAND ... ; vesalius COMMAND --help tells more", "", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 after an error of ours, 2 after a wrong command line, 128 + signal."""
    try:
        status = _status(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has gone, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more on its way out
        status = 128 + signal.SIGPIPE
    return status


def _status(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("--version", "version"):
        print(f"vesalius {__version__}")
        return 0
    if words[0] not in COMMANDS:
        from vesalius.settings import unknown

        print(f"error: {unknown(words[0], words[0], tuple(COMMANDS), 'command')}", file=sys.stderr)
        return 2
    try:
        COMMANDS[words[0]](words[1:])
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)
    except VesaliusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingError) else 1
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept: run the same command again", file=sys.stderr)
        return 130
    except Exception as error:
        code = getattr(error, "exit_code", None)  # Stopped: a signal came and the run was saved
        if code is None:
            raise
        print(error, file=sys.stderr)
        return int(code)
    return 0


def _json(value: Any) -> str:
    import json

    from vesalius.settings import to_dict

    return json.dumps(to_dict(value), indent=2)


if __name__ == "__main__":
    sys.exit(main())
