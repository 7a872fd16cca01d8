"""The load report: what of a network arrived, what is missing, what has another shape, what was left over."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vesalius import zoo
from vesalius.errors import CheckpointError
from vesalius.foreign.place import COUNTER, Place


@dataclass(frozen=True)
class Report:
    """What came of a file. missing, misshapen, surplus: what does not fit, all empty where it was imported.

    part: where in the file the network was. filled: counters of batch norm that were absent and are 0. converted: types
    that became fp32. left_over: how many tensors beside the network, by the first name that is not the part's.
    """

    architecture: str
    part: str
    ndim: int
    in_channels: int
    expected: int
    arrived: int
    filled: int
    converted: tuple[str, ...]
    missing: tuple[str, ...]
    misshapen: tuple[str, ...]
    surplus: tuple[str, ...]
    left_over: Mapping[str, int]
    out: str = ""

    @property
    def misfit(self) -> str:
        """What does not fit, in one line; empty where everything does."""
        kinds = ((self.missing, "missing"), (self.misshapen, "of another shape"), (self.surplus, "too many"))
        found = [f"{len(names)} {what} ({some(names)})" for names, what in kinds if names]
        return f"does not fit {self.architecture}: {'; '.join(found)}" if found else ""

    def text(self) -> str:
        """The report in a few lines."""
        rest = ", ".join(f"{name} {count}" for name, count in self.left_over.items())
        channels = f"{self.in_channels} channel{'s' * (self.in_channels != 1)}"
        lines = [
            f"{self.architecture}, {self.ndim}-D, {channels}, from {self.part or 'the top'} of the file",
            f"arrived: {self.arrived} of {self.expected} tensors",
            f"set to 0: {self.filled} counters of batch norm ({COUNTER}) that the file has not" if self.filled else "",
            f"converted to float32: {', '.join(self.converted)}" if self.converted else "",
            self.misfit or "missing: none; of another shape: none",
            f"left over: {rest or 'none'}",
            self.out,
        ]
        return "\n".join(line for line in lines if line)


def shapes(architecture: str, ndim: int = 2, in_channels: int = 3) -> dict[str, Tensor]:
    """Names, shapes and types of a network, without its numbers. SettingError: an unknown architecture."""
    with torch.device("meta"):
        state: dict[str, Tensor] = zoo.build(architecture, ndim, in_channels).state_dict()
    return state


def compare(architecture: str, place: Place, tensors: Mapping[str, Tensor], file: Path) -> Report:
    """What is at `place` against the architecture, whose axes and channels the first kernel decides.

    CheckpointError: a first kernel that is of neither 2-D nor 3-D images.
    """
    ndim, channels = _input(tensors.get(place.path("conv1.weight")), file)
    own = shapes(architecture, ndim, channels)
    paths = {name: place.path(name) for name in own}
    found = {name: tensors[path] for name, path in paths.items() if path in tensors}
    absent = [name for name in own if name not in found]
    beside = list(tensors.keys() - set(paths.values()))
    stems = tuple({place.path(name.split(".")[0]) + "." for name in own})
    return Report(
        architecture=architecture,
        part=place.prefix,
        ndim=ndim,
        in_channels=channels,
        expected=len(own),
        arrived=len(found),
        filled=sum(name.endswith(COUNTER) for name in absent),
        converted=tuple(sorted({_type(t) for t in found.values() if t.is_floating_point()} - {"float32"})),
        missing=tuple(name for name in absent if not name.endswith(COUNTER)),
        misshapen=tuple(f"{n} {_words(t)} for {_words(own[n])}" for n, t in found.items() if not _fits(t, own[n])),
        # A ResNet-34 has all of a ResNet-18, and layer1.2 besides: what lies within the layers must be theirs.
        surplus=tuple(sorted(path for path in beside if path.startswith(stems))),
        left_over=dict(sorted(Counter(map(place.beside, beside)).items())),
    )


def other_name(architecture: str, place: Place, tensors: Mapping[str, Tensor], file: Path) -> str:
    """The architecture that does fit, where `architecture` does not; empty where none is known."""
    others = (name for name in zoo.BACKBONES if name != architecture)
    return next((name for name in others if not compare(name, place, tensors, file).misfit), "")


def some(names: Iterable[str]) -> str:
    """The first three of many names."""
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")


def _input(kernel: Tensor | None, file: Path) -> tuple[int, int]:
    """Axes and channels of the images; where the first kernel is missing, any, since that is said elsewhere."""
    if kernel is None:
        return 2, 3
    if kernel.ndim not in (4, 5) or not kernel.shape[1]:
        reason = f"has a first kernel of shape {tuple(kernel.shape)}"
        raise CheckpointError(reason, file=file, remedy="Networks of 2-D and 3-D images can be imported.")
    return kernel.ndim - 2, kernel.shape[1]


def _fits(given: Tensor, own: Tensor) -> bool:
    """Same shape, an ordinary tensor, and real numbers where real numbers belong."""
    plain = given.layout is torch.strided and given.device.type == "cpu" and not given.is_complex()
    return plain and given.shape == own.shape and (given.is_floating_point() or not own.is_floating_point())


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _words(tensor: Tensor) -> str:
    return f"{_type(tensor)} {tuple(tensor.shape)}"
