"""The protocols by name: what learns, with which settings, for masks and for classes."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vesalius import settings
from vesalius.errors import SettingError
from vesalius.evaluate import classification, dense, linear, patches, segmentation, whole
from vesalius.evaluate.outcome import Outcome
from vesalius.evaluate.tasks import Classes, Masks
from vesalius.features.subjects import Subject

FROZEN = ("linear", "nonlinear")  # a head on features that are computed once
TUNED = ("fewshot", "finetune", "scratch")  # all weights learn
PROTOCOLS = (*FROZEN, *TUNED)
CUBE = 48  # voxels: side at which volumes are classified, unless it is set; 224 of radiographs are 500 times the work


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


def find(protocol: str, task: Masks | Classes, given: Mapping[str, Any], ndim: int, random: bool) -> tuple[Maker, Any]:
    """What trains, and its settings, `given` in place of the defaults. SettingError: no such protocol or setting.

    ndim: of the images; masks of volumes are learned in patches. random: the encoder has random weights.
    """
    if protocol not in PROTOCOLS:
        raise settings.unknown(protocol, protocol, PROTOCOLS, "protocol")
    if isinstance(task, Masks):
        if ndim == 3:
            config = settings.replace(_of_patches(protocol, random), given)
            return whole.Probe if config.whole else patches.Patches, config
        if protocol in TUNED:
            return segmentation.FineTuning, settings.replace(segmentation.Config(), given)
        return dense.Probe, settings.replace(dense.Config(head=protocol), given)
    given = {"size": CUBE, **given} if ndim == 3 else given
    if protocol in TUNED:
        return classification.FineTuning, settings.replace(classification.Config(), given)
    if protocol == "nonlinear":
        raise SettingError("nonlinear heads are for masks", remedy="For classes: linear, fewshot, finetune or scratch.")
    return linear.Regression, settings.replace(linear.Config(), given)


def _of_patches(protocol: str, random: bool) -> patches.Config:
    """A probe learns its head alone; random weights have nothing to keep while the head settles."""
    if protocol in FROZEN:
        return patches.Config(head="linear" if protocol == "linear" else "nonlinear", frozen=1.0, ramp=0.0)
    return patches.Config(frozen=0.0, ramp=0.0) if random else patches.Config()
