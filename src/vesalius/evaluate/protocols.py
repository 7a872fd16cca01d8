"""The protocols by name: what learns, with which settings, for masks and for classes."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vesalius import settings
from vesalius.errors import SettingError
from vesalius.evaluate import classification, dense, linear, segmentation
from vesalius.evaluate.outcome import Outcome
from vesalius.evaluate.tasks import Classes, Masks
from vesalius.features.subjects import Subject

FROZEN = ("linear", "nonlinear")  # a head on features that are computed once
TUNED = ("fewshot", "finetune", "scratch")  # all weights learn
PROTOCOLS = (*FROZEN, *TUNED)


class Trainer(Protocol):
    """Made once for an encoder and its images; the encoder never changes."""

    def run(self, own: Sequence[int], seed: int) -> Outcome:
        """Train on the subjects `own` of the pool and predict the test's."""
        ...


class Maker(Protocol):
    """Anything that makes a Trainer."""

    def __call__(
        self, backbone: Any, pool: Sequence[Subject], test: Sequence[Subject], names: Sequence[str], config: Any
    ) -> Trainer:
        """pool, test: subjects; names: of structures or classes."""
        ...


def find(protocol: str, task: Masks | Classes, given: Mapping[str, Any]) -> tuple[Maker, Any]:
    """What trains, and its settings, `given` in place of the defaults. SettingError: no such protocol or setting."""
    if protocol not in PROTOCOLS:
        raise settings.unknown(protocol, protocol, PROTOCOLS, "protocol")
    masks = isinstance(task, Masks)
    if protocol in TUNED:
        if masks:
            return segmentation.FineTuning, settings.replace(segmentation.Config(), given)
        return classification.FineTuning, settings.replace(classification.Config(), given)
    if masks:
        return dense.Probe, settings.replace(dense.Config(head=protocol), given)
    if protocol == "nonlinear":
        raise SettingError("nonlinear heads are for masks", remedy="For classes: linear, fewshot, finetune or scratch.")
    return linear.Regression, settings.replace(linear.Config(), given)
