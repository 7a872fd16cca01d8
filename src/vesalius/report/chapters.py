"""The chapters of the measures: what each asks, its numbers with intervals, its pictures."""

from collections.abc import Callable, Mapping, Sequence

from vesalius.report import overlays, page, plots, tables
from vesalius.report.folders import Arrays, Study, kind
from vesalius.report.measures import BASE, CONDITIONS, Measure
from vesalius.report.plots import Look, Picture
from vesalius.report.tables import Quantity, described

Styles = Mapping[str, Look]
PHOTOS = 14  # of one measure: about 45 kB each, and the page is to stay below 5 MB
MOVED = "shift: by 10 %; rotation: by 15°; zoom: 0.8 to 1.25; all: the three at once."
MAPS: dict[str, tuple[str, str, str, Callable[[str, Arrays], Picture | None]]] = {
    "locality": (
        "Vectors of the patches, as a map (t-SNE)",
        "A point a patch, a colour and shape a landmark. Where structures separate, points of one colour lie together.",
        "vectors",
        plots.neighbours,
    ),
    "organs": (
        "Voxels of organs, as a map (t-SNE)",
        "A point a voxel, a colour and shape a structure, all patients in one map. Where a structure is one island and not one "
        "for each patient, its voxels lie together whoever's they are.",
        "map",
        plots.neighbours,
    ),
    "compositionality": (
        "Cosines of whole and parts",
        "How often each cosine occurs. Filled: with the own parts; dashed: with shuffled parts, the control.",
        "cosines",
        plots.densities,
    ),
}
IMAGES = {"correspondence": "matches", "landmarks": "heat", "registration": "pairs"}  # names of the artefacts


def measure(one: Measure, studies: Sequence[Study], styles: Styles) -> str:
    """A measure: question, controls, numbers, pictures; empty where nobody measured it."""
    parts = [
        _measure(one, study, studies, styles) for study in studies if any(r.measure == one.key for r in study.rows)
    ]
    return page.section(one.key, one.title, page.words(one.asks), page.words(one.control), *parts) if parts else ""


def _measure(one: Measure, study: Study, studies: Sequence[Study], styles: Styles) -> str:
    scores, runs = study.scores, study.scores.runs
    every = sorted(scores.quantities(one.key), key=lambda what: _place(one, what))
    main = [what for what in every if what.name in one.main]
    rest = [what for what in every if what.name not in one.main]
    whole = sorted(scores.quantities(one.key, cohort=True), key=lambda what: _place(one, what))
    whole = [what for what in whole if what.condition in ("", "all") or not _moved(what, whole)]
    compared = [run for run in runs if kind(run) != BASE and study.control(run, BASE)]
    bases = [study.control(run, BASE) for run in compared]
    lessened = tables.differences(scores, main, compared, bases) if compared else []
    return "\n".join(
        [
            page.on(study.data, len(studies) > 1),
            page.lines(["number", *runs], tables.values(scores, main), one.title),
            page.words(_meanings(one, main), soft=True),
            page.pictures(p for p in _by_condition(one, study, main, styles) if p),
            *(_shown(one, study)),
            page.folded(
                "Difference to the same network with random weights",
                page.lines(["run less random", *compared], lessened, "difference to random weights"),
            ),
            page.folded(
                "All numbers of patients", page.lines(["number", *runs], tables.values(scores, rest), "all numbers")
            ),
            page.folded(
                "Numbers of the whole cohort, such as of single landmarks (no intervals)",
                page.lines(
                    ["number", *runs], tables.of_cohort(scores, _worst_first(study, whole)), "cohort", count=False
                ),
            ),
            page.folded("What the numbers mean", page.bullets(f"{name}: {text}" for name, text in one.numbers.items())),
        ]
    )


def _meanings(one: Measure, main: Sequence[Quantity]) -> str:
    """What stands in the first table."""
    names = {what.name for what in main}
    meant = [f"{name}: {text}." for name, text in one.numbers.items() if name in names]
    return " ".join([*meant, MOVED] if any(what.condition for what in main) else meant)


def _place(one: Measure, what: Quantity) -> tuple[int, int, str, int]:
    """Names in the order of the measure, then annotated images, then structures, then conditions from easy to hard."""
    names, conditions = list(one.numbers), list(CONDITIONS)
    place = names.index(what.name) if what.name in names else len(names)
    shown = conditions.index(what.condition) if what.condition in conditions else len(conditions)
    return place, what.shots or 0, what.structure, shown


def _moved(what: Quantity, others: Sequence[Quantity]) -> bool:
    """Whether the same number is there for moved images, too: then that one is shown."""
    return Quantity(what.measure, what.name, "all", what.structure, what.shots) in others


def _worst_first(study: Study, what: Sequence[Quantity]) -> list[Quantity]:
    """Of each number, the structures with the worst value of the first run first."""
    run = study.scores.runs[0]
    names = list(dict.fromkeys((one.name, one.shots) for one in what))

    def key(one: Quantity) -> tuple[int, float]:
        value = study.scores.cohort(run, one)
        return names.index((one.name, one.shots)), 0.0 if value is None else -value if one.lower_is_better else value

    return sorted(what, key=key)


def _by_condition(one: Measure, study: Study, main: Sequence[Quantity], styles: Styles) -> list[Picture | None]:
    """A plot for each main number and number of annotated images; of levels, which stand side by side, each condition."""

    def of_plot(what: Quantity) -> Quantity:
        return Quantity(one.key, what.name, what.condition if one.key == "levels" else "", shots=what.shots)

    found = []
    for title in dict.fromkeys(of_plot(what) for what in main):
        own = [what for what in main if of_plot(what) == title]
        found.append(plots.by_condition(study.scores, own, described(title), styles))
    return found


def _shown(one: Measure, study: Study) -> list[str]:
    """The pictures of artefacts, run by run; those over images of controls are folded."""
    if one.key in MAPS:
        title, text, artefact, draw = MAPS[one.key]
        drawn = [draw(run, study.artefacts(one.key, artefact, run)) for run in study.scores.runs]
        found = [picture for picture in drawn if picture]
        return [page.heading(title), page.words(text, soft=True), page.pictures(found)] if found else []
    if one.key not in IMAGES:
        return []
    runs = {run: study.artefacts(one.key, IMAGES[one.key], run) for run in study.scores.runs}
    runs = {run: arrays for run, arrays in runs.items() if arrays}
    most = min(4, max(1, PHOTOS // max(1, len(runs))))
    some = {run: overlays.shown(one.key, run, arrays, most) for run, arrays in runs.items()}
    parts = {
        run: page.heading(run, 4) + page.pictures(found, one.key == "registration")
        for run, found in some.items()
        if found
    }
    legend = page.words(overlays.LEGENDS[one.key], soft=True)
    title = page.heading("Examples: the worst first, then typical ones")
    own = [parts[run] for run in parts if run in study.measured]
    controls = page.folded("The same of the controls", *(parts[run] for run in parts if run in study.controls))
    return [title, legend, *own, controls] if parts else []
