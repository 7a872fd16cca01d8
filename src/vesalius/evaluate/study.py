"""All of one evaluation but the encoders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vesalius import settings
from vesalius.evaluate import protocols
from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.tasks import METRICS, Masks

FEWSHOT = (3, 6, 12, 24)  # Adam, Table 1


@dataclass(frozen=True)
class Study:
    """data, protocol, ...: as in `command.evaluate_command`. settings: of the protocol, in
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
    empty: bool = False
    largest: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    save: bool = False
    allow_leak: bool = False

    def called(self, run: str) -> str:
        """What `run` is called in the rows: a head that looks at some levels alone is another contestant."""
        levels = self.settings.get("levels")
        return f"{run} level {'+'.join(map(str, levels))}" if levels else run

    def __post_init__(self) -> None:
        if self.protocol not in protocols.PROTOCOLS:
            raise settings.unknown(self.protocol, self.protocol, protocols.PROTOCOLS, "protocol")
        for metric in self.metrics:
            if metric not in METRICS:
                raise settings.unknown(metric, metric, METRICS, "metric")
        if self.protocol == "fewshot" and not self.plan.shots:
            object.__setattr__(self, "plan", replace(self.plan, shots=FEWSHOT))
