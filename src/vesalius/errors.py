"""What went wrong, in which file, and what to do: every error that a user can meet is one of these."""

from pathlib import Path


class VesaliusError(Exception):
    """A one-line error for the user: file, reason and remedy. Anything else that escapes is a bug of ours."""

    def __init__(self, reason: str, *, file: str | Path | None = None, remedy: str = "") -> None:
        self.reason, self.file, self.remedy = reason, None if file is None else str(file), remedy
        where = f"{file}: " if file is not None else ""
        super().__init__(" ".join(f"{where}{reason}{'.' if remedy else ''} {remedy}".split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Keyword arguments survive the trip between processes."""
        return _rebuild, (type(self), self.reason, self.file, self.remedy)


def _rebuild(kind: type[VesaliusError], reason: str, file: str | None, remedy: str) -> VesaliusError:
    return kind(reason, file=file, remedy=remedy)


class DataError(VesaliusError):
    """A file or a data set that cannot be used."""


class SettingError(VesaliusError):
    """A setting that is unknown, of the wrong type, or impossible together with another."""


class CheckpointError(VesaliusError):
    """A checkpoint that cannot be read, written, or does not fit."""


class TrainingError(VesaliusError):
    """Training that cannot go on, such as a loss that is not finite."""
