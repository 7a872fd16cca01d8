"""Where in a file a network is, whatever it is wrapped in.

Every tensor has a dotted path through the file's dictionaries and modules: state_dict.module.encoder_q.conv1.weight.
The network is at P where the most names of its architecture exist as P.name. Two places that would do (encoder_q and
encoder_k, teacher and student) are an error, never a guess.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vesalius.errors import CheckpointError

# Names other than torchvision's and timm's: nn.Sequential(*resnet.children()), as RadImageNet's weights have them.
CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
SPELLINGS: tuple[Mapping[str, str], ...] = ({}, CHILDREN)
COUNTER = "num_batches_tracked"  # of batch norm; absent from files of PyTorch before 0.4.1, and features do not need it


@dataclass(frozen=True)
class Place:
    """prefix: of every path of the network, without the last dot. spelling: of the first word of its names."""

    prefix: str = ""
    spelling: Mapping[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """The path in the file of what the architecture calls `name`."""
        first, *rest = name.split(".")
        return ".".join([*([self.prefix] if self.prefix else []), self.spelling.get(first, first), *rest])

    def beside(self, path: str) -> str:
        """Of a path that the network does not use, the first word that is not the prefix's."""
        words, own = path.split("."), self.prefix.split(".")
        while own and len(words) > 1 and words[0] == own[0]:
            words, own = words[1:], own[1:]
        return words[0]


def locate(paths: Collection[str], names: Iterable[str], part: str, file: Path) -> Place:
    """The place that holds at least half of the architecture's `names` among `paths`, and that `part` means, if given.

    CheckpointError: there is none, or there are several.
    """
    wanted = [{Place("", spelling).path(n) for n in names if not n.endswith(COUNTER)} for spelling in SPELLINGS]
    counts: Counter[tuple[str, int]] = Counter()
    for path in paths:
        words = path.split(".")
        for cut in range(len(words)):
            rest = ".".join(words[cut:])
            counts.update((".".join(words[:cut]), number) for number, own in enumerate(wanted) if rest in own)
    likely = {prefix: number for (prefix, number), count in counts.items() if 2 * count >= len(wanted[0])}
    if not likely:
        top = ", ".join(f"{name} {count}" for name, count in Counter(p.split(".")[0] for p in paths).most_common(5))
        reason = f"holds no such network among its {len(paths)} tensors{f' ({top})' if top else ''}"
        raise CheckpointError(reason, file=file, remedy="ResNets named as in torchvision and timm can be imported.")
    prefix = _chosen(list(likely), part, file)
    return Place(prefix, SPELLINGS[likely[prefix]])


def _chosen(prefixes: list[str], part: str, file: Path) -> str:
    """The one prefix that is `part` (`.`: the empty one) or has it within; without `part`, the only one."""
    asked = part.strip(".")
    fitting = [prefix for prefix in prefixes if f".{asked}." in f".{prefix}."] if asked else prefixes
    if part and asked in prefixes:
        fitting = [asked]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(prefix or "." for prefix in fitting or prefixes)
    reason = f"holds several such networks: {listed}" if fitting else f"has no such network in {part}, but in {listed}"
    raise CheckpointError(reason, file=file, remedy="Choose one with --part.")
