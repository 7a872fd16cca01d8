"""The chapters of the page, each a function from what the folders hold to HTML."""

from collections.abc import Sequence
from html import escape

from vesalius.report import page, plots, restored, tables, transfer
from vesalius.report.chapters import Styles, measure
from vesalius.report.folders import RunFolder, Study, kind
from vesalius.report.leaks import sentences, stamps
from vesalius.report.measures import HEADLINE, MEASURES, PROTOCOLS
from vesalius.report.verdicts import claims
from vesalius.version import __version__

TITLE, WITH_LABELS = "What the encoder knows of the body", "What the encoder is worth with labels"
LABELLED = (
    " This page shows what it is worth once there are labels: few or many, frozen or fine-tuned, beside other runs."
)
UNLABELLED = (
    " This page shows what it knows of anatomy, beside controls that know nothing: the same network with random weights, the "
    "raw pixels, and the mere place in the image."
)
OF_BODIES = [
    "Intervals are bootstrap intervals (BCa, 9,999 resamples) over patients. They speak of these trained networks on "
    "other patients like these, not of another training of the same method: for that, train several seeds.",
    "Galleries and annotated images are fixed and never hold the patient who is asked about.",
    "Only the claims are corrected for the number of comparisons. Of twenty other 95 % intervals, one misses on average.",
    "In a t-SNE picture only neighbourhoods mean something, not distances, sizes or directions.",
    "Numbers on upright, centred images flatter everything that knows the place in the image. Read the moved ones.",
]
OF_LABELS = [
    "Of transfer, trainings with labels are repeated and resampled; the pretraining of each run was done once, and another "
    "one could come out better or worse.",
    "Of transfer, the verdicts of one number are corrected together (Holm), the bold type in tables is not.",
    "A mean over structures counts a patient in a training where all of the patient's structures have a number there; n tells "
    "how many are left. A distance is undefined where a run found nothing.",
]


def document(runs: Sequence[RunFolder], studies: Sequence[Study]) -> str:
    """The whole page."""
    labelled = [part for study in studies if (part := study.part(PROTOCOLS)).rows]
    bodies = [part for study in studies if (part := study.part(PROTOCOLS, others=True)).rows]
    rows = [row for study in studies for row in study.rows]
    styles = plots.looks(list(dict.fromkeys([*(run.name for run in runs), *(row.run for row in rows)])))
    chapters = {
        "transfer": ("Transfer", transfer.chapter(labelled, styles)),
        "claims": ("Claims", claims(bodies)),
        "settings": ("Settings", settings(runs)),
        "curves": ("Training", curves(runs, styles)),
        "restored": ("Restored images", restored.chapter(runs)),
        **{one.key: (one.title.split(":")[0], measure(one, bodies, styles)) for one in MEASURES},
        "reading": ("How to read this", reading(bodies, labelled)),
    }
    title = WITH_LABELS if labelled and not bodies else TITLE
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, (name, text) in chapters.items() if text)
    head = f'<h1>{escape(title)}</h1>\n{about(runs, studies, labelled)}\n<nav aria-label="Chapters">{links}</nav>'
    top = "\n".join(headline(study) for study in bodies)
    return page.page(title, "\n".join([head, top, *(text for _, text in chapters.values() if text)]))


def about(runs: Sequence[RunFolder], studies: Sequence[Study], labelled: Sequence[Study]) -> str:
    """What was measured, by which version, of whom; and which runs had seen the test."""
    rows = [row for study in studies for row in study.rows]
    everyone = dict.fromkeys([*(row.run for row in rows), *(run.name for run in runs)])
    versions = dict.fromkeys(row.version for row in rows if row.version)
    counts = {study.data: len({row.patient for row in study.rows if row.patient}) for study in studies}
    facts = {
        "runs": ", ".join(run for run in everyone if not kind(run)),
        "controls": ", ".join(run for run in everyone if kind(run)),
        "data": ", ".join(f"{data} ({n} patients)" if n else data for data, n in counts.items()),
        "measured by": ", ".join(f"vesalius {version}" for version in versions),
        "this page by": f"vesalius {__version__}",
    }
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items() if v)
    text = "An encoder was trained on scans without labels." + (LABELLED if labelled else "")
    text += UNLABELLED if len(labelled) < len(studies) or not studies else ""
    warnings = [page.warning(f"{study.data}: {line}") for study in studies for line in sentences(stamps(study.rows))]
    return "\n".join([page.words(text), f'<dl class="facts">{listed}</dl>', *warnings])


def headline(study: Study) -> str:
    """One line a run: the numbers that count most."""
    known = [(one, title) for one, title in HEADLINE if any(study.scores.of(run, one) for run in study.scores.runs)]
    if not known:
        return page.words(f"On {study.data} none of the headline numbers was measured.", soft=True)
    found = tables.headline(study.scores, [one for one, _ in known])
    head = ["run", *(f"{title} {'↓' if one.lower_is_better else '↑'}" for one, title in known)]
    classes = ["control" if run in study.controls else "" for run in study.scores.runs]
    note = (
        "Means over patients with 95 % intervals; ↑ higher is better, ↓ lower. Bold: better than the next best, the interval "
        "of the paired difference excluding 0. Shaded: controls. Moved: shifted by 10 %, turned by 15° and zoomed at once."
    )
    return "\n".join(
        [page.heading(f"At a glance: {study.data}"), page.lines(head, found, "headline numbers", classes=classes),
         page.words(note, soft=True)]
    )  # fmt: skip


def settings(runs: Sequence[RunFolder]) -> str:
    """Those in which the runs differ, side by side; the rest folded."""
    if not runs:
        return ""
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    differ = [key for key in keys if len({run.settings.get(key) for run in runs}) > 1]
    head = ["setting", *(run.name for run in runs)]

    def table(some: Sequence[str]) -> str:
        rows = [[escape(key), *(_value(run.settings.get(key, "–")) for run in runs)] for key in some]
        return page.grid(head, rows, label="settings")

    same = [key for key in keys if key not in differ]
    text = "These differ between the runs." if differ else "" if len(runs) == 1 else "The runs have the same settings."
    summary = f"{len(same)} settings" + (" that all runs share" if len(runs) > 1 else "")
    return page.section(
        "settings",
        "Settings",
        page.words(text) if text else "",
        table(differ),
        page.folded(summary, table(same) if same else ""),
    )


def _value(text: str) -> str:
    return f'<td class="value">{escape(text or "–")}</td>'


def curves(runs: Sequence[RunFolder], styles: Styles) -> str:
    """What the runs logged."""
    found = plots.curves(runs, styles)
    text = (
        "Running means of three logged batches; a grey line where a stage begins. A spread near 0 would mean that all "
        "embeddings had become the same."
    )
    return page.section("curves", "Training", page.words(text), page.pictures(found)) if found else ""


def reading(bodies: Sequence[Study], labelled: Sequence[Study]) -> str:
    """How to read the page, and what it cannot say."""
    lost = sum(study.lost() for study in (*bodies, *labelled))
    few = [study.data for study in (*bodies, *labelled) if 0 < len(study.scores.patients()) < 20]
    items = [
        "Differences are paired: only patients that both runs have, n says how many.",
        "The worst examples are shown first: the pictures look worse than the average, which is in the tables.",
    ]
    items += OF_BODIES if bodies or not labelled else []
    items += OF_LABELS if labelled else []
    items += ["Nothing here says how well the encoder serves a diagnosis."]
    items += [f"Fewer than 20 patients in {', '.join(dict.fromkeys(few))}: intervals are too narrow."] if few else []
    items += [f"{lost} files of pictures named in the results are missing."] if lost else []
    return page.section("reading", "How to read this, and its limits", page.bullets(items))
