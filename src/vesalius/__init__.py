"""vesalius learns human anatomy from unlabelled scans and measures what it learned.

The front door: `pretrain` trains an encoder, `load` opens one. Nothing heavy is imported before they are called.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.version import __version__

if TYPE_CHECKING:
    from vesalius.train.run import Run
    from vesalius.zoo import Loaded

__all__ = ["__version__", "load", "pretrain"]


def pretrain(method: str, /, *data: str, out: str | Path, resume: bool = False, **settings: Any) -> Path:
    """Pretrain an encoder with `method` on `data` into folder `out`; the same as `vesalius pretrain METHOD DATA`.

    settings: those of `vesalius pretrain METHOD --help`, nested ones as dictionaries: optim={"lr": 0.1}.
    Returns the path of the encoder. Errors: SettingError, DataError, TrainingError, CheckpointError.
    """
    from vesalius.train.run import configure

    return carry_out(configure(method, {**settings, "data": data, "out": str(out)}), resume)


def carry_out(run: "Run[Any]", resume: bool = False) -> Path:
    """`pretrain` with all settings in one, and the probes that they ask for beside it: training and probing meet here."""
    from vesalius.train.loop import train

    if not run.probe.data:
        return train(run, resume)
    from vesalius.evaluate.online import Probes, labelled, say_seen
    from vesalius.evaluate.patches import Config
    from vesalius.train.sources import prepare_steps

    own = run.probe

    def begin(encoder: Any, device: Any) -> Probes:
        data = labelled(own.data, prepare_steps(run), own.holdout, run.seed)
        say_seen(data, run.data, run.exclude_patients)
        config = Config(patch=own.patch, batch=own.batch, lr=own.lr)
        return Probes(encoder, device, data, config, own.every, own.steps, run.seed)

    return train(run, resume, begin)


def load(source: str | Path) -> "Loaded":
    """The encoder of a run folder or a file of weights, ready to use: a Backbone and its card. Error: CheckpointError."""
    from vesalius.zoo import load as open_weights

    return open_weights(source)
