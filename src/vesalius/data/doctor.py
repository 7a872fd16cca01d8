"""What is wrong with this data, before hours are spent on it: `inspect` looks at every image and reports."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from vesalius.data import checks
from vesalius.data.build import CHUNK, Forecast, auto, forecast
from vesalius.data.checks import Finding
from vesalius.data.datasets import Dataset, facts
from vesalius.data.examine import Looked, Unreadable, examine
from vesalius.data.prepare import steps_for
from vesalius.data.steps import Step
from vesalius.data.workers import Crashed, run
from vesalius.errors import DataError, SettingError

Progress = Callable[[int, int], None]  # done, total
SHOWN = 5  # examples in the text; the dictionary holds all


@dataclass(frozen=True)
class Report:
    """What `inspect` saw. Nowhere does it hold a patient's identifier.

    splits: name -> (images, patients). shapes, units: what -> images. spacing: (least, median, greatest) mm per axis.
    """

    name: str
    images: int
    patients: int
    images_per_patient: tuple[int, float, int]
    examined: int
    shapes: Mapping[str, int]
    units: Mapping[str, int]
    spacing: tuple[tuple[float, ...], ...] | None
    splits: Mapping[str, tuple[int, int]]
    findings: tuple[Finding, ...]
    workers: int
    forecast: Forecast | None

    @property
    def ok(self) -> bool:
        """Whether nothing was found that must be put right first."""
        return all(finding.severity != "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def text(self) -> str:
        """For people."""
        return "\n".join(_lines(self))


def inspect(
    dataset: Dataset,
    sample: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    steps: Sequence[Step] | None = None,
) -> Report:
    """Look at every image, or at `sample` of them evenly spread. Patients and splits are always checked in full.

    workers: processes; None chooses. progress: called with (done, total). steps: those whose cost is forecast, measured
    on a few images; None means the default of `prepare`.
    """
    if sample is not None and sample < 1:
        raise SettingError(f"a sample of {sample} images", remedy="Give 1 or more, or nothing for all.")
    if not dataset.ids:
        root = getattr(dataset, "root", None)
        raise DataError("holds no image", file=root, remedy="Check the path, and what its tables or lists name.")
    processes = auto(len(dataset.ids)) if workers is None else max(1, workers)
    ids = dataset.ids if sample is None else _spread(dataset.ids, sample)
    seen = sorted(_examine_all(dataset, ids, processes, progress), key=lambda image: image.id)
    good = [image for image in seen if isinstance(image, Looked)]
    patient = {id: dataset.patient(id) for id in dataset.ids}
    splits = dataset.splits()
    per_patient = list(Counter(patient.values()).values())
    published = facts(dataset)
    files = getattr(dataset, "files", None)
    scans = len(set(files.values())) if files else len(patient)  # parts of a file count once
    found = (
        *checks.readable(seen),
        *checks.copies(good, patient, splits),
        *checks.values(good),
        *checks.volumes(good, published),
        *checks.geometry(good),
        *checks.inverted(good, published),
        *checks.patients(splits, patient),
        *checks.published(published, scans, len(per_patient)),
        *(Finding("matching", "warning", note) for note in getattr(dataset, "notes", ())),
    )
    return Report(
        name=published.title if published else type(dataset).__module__,
        images=len(patient),
        patients=len(per_patient),
        images_per_patient=(min(per_patient), float(np.median(per_patient)), max(per_patient)),
        examined=len(seen),
        shapes=_count("x".join(map(str, image.shape)) for image in good),
        units=_count(f"{image.unit} {image.dtype}, {image.channels} channel(s)" for image in good),
        spacing=_spacing(good),
        splits={name: (len(part), len({patient[id] for id in part})) for name, part in splits.items()},
        findings=tuple(found),
        workers=processes,
        forecast=forecast(dataset, dataset.ids, steps or steps_for(_axes(good)), processes) if good else None,
    )


def _axes(good: Sequence[Looked]) -> int:
    """2 or 3: what most images have."""
    return Counter(len(image.shape) for image in good).most_common(1)[0][0]


def _examine_all(
    dataset: Dataset, ids: Sequence[str], workers: int, progress: Progress | None
) -> Iterator[Looked | Unreadable]:
    """In no certain order; a file that crashes its decoder is unreadable."""
    done = 0
    with closing(run(partial(examine, dataset), ids, workers, CHUNK)) as parts:  # a stop ends the processes
        for part in parts:
            for id, seen in part:
                yield Unreadable(id, seen.reason) if isinstance(seen, Crashed) else seen
            done += len(part)
            if progress is not None:
                progress(done, len(ids))


def _spread(ids: Sequence[str], n: int) -> tuple[str, ...]:
    """N of them, evenly spread from the first to the last."""
    return tuple(ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, min(n, len(ids))).round().astype(int)))


def _count(what: Iterable[str]) -> dict[str, int]:
    return dict(Counter(what).most_common())


def _spacing(good: Sequence[Looked]) -> tuple[tuple[float, ...], ...] | None:
    known = [image.spacing for image in good if image.spacing is not None]
    if not known or len({len(spacing) for spacing in known}) > 1:
        return None
    return tuple(tuple(map(float, row)) for row in np.quantile(np.array(known), (0, 0.5, 1), axis=0))


def _lines(report: Report) -> Iterator[str]:
    least, median, most = report.images_per_patient
    yield f"{report.name}: {report.images:,} images of {report.patients:,} patients, looked at {report.examined:,}"
    yield f"images a patient: {least} to {most}, median {median:g}"
    for title, counts in (("shapes", report.shapes), ("unit", report.units)):
        shown = [f"{what} ({count:,})" for what, count in list(counts.items())[:SHOWN]]
        yield f"{title}: {', '.join(shown)}{f', and {len(counts) - SHOWN:,} more' if len(counts) > SHOWN else ''}"
    axes = [f"{row[1]:.3g} ({row[0]:.3g} to {row[2]:.3g})" for row in zip(*(report.spacing or ()), strict=True)]
    yield f"spacing in mm: {' x '.join(axes) or 'not known'}"
    for name, (images, patients) in report.splits.items():
        yield f"split {name}: {images:,} images of {patients:,} patients"
    if (cost := report.forecast) is not None:
        size = f"{cost.bytes / 1e9:.1f} GB" if cost.bytes >= 1e9 else f"{cost.bytes / 1e6:.1f} MB"
        wait = f"{cost.seconds / 60:.0f} min" if cost.seconds >= 120 else f"{cost.seconds:.0f} s"
        yield f"preparing: about {size} and {wait} with {report.workers} worker(s), judged by {cost.sampled} images"
    for finding in sorted(report.findings, key=lambda f: ("error", "warning", "note").index(f.severity)):
        yield f"{finding.severity}: {finding.text}"
        yield from (f"    {'  '.join(group)}" for group in finding.groups[:SHOWN])
        if len(finding.groups) > SHOWN:
            yield f"    and {len(finding.groups) - SHOWN:,} more"
    if not report.findings:
        yield "nothing suspicious found"
