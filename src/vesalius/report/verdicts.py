"""The chapter of claims: verdicts with their evidence, then the runs against each other."""

from collections.abc import Sequence
from html import escape

from vesalius.report import page
from vesalius.report.claims import NOT_MEASURED, SHOWN, Evidence, Finding, duels, findings
from vesalius.report.folders import Study
from vesalius.report.measures import HEADLINE
from vesalius.report.tables import number


def claims(studies: Sequence[Study]) -> str:
    """Adam's claims as checks with verdicts; then the runs against each other."""
    parts = []
    for study in studies:
        found = findings(study)
        parts += [
            page.on(study.data, len(studies) > 1),
            *(_claim(found, title) for title in dict.fromkeys(f.claim.title for f in found)),
        ]
        parts.append(_duels(study))
    text = (
        "What the paper of Adam claims, checked with numbers. A claim is shown where the run is better than every control it "
        "is held against: the whole interval of the paired difference over patients lies above 0. For k comparisons the "
        "intervals have a level of 1 − 0.05 / k (Bonferroni). “Not shown” does not mean that the opposite is shown."
    )
    return page.section("claims", "Claims", page.words(text), *parts) if any(parts) else ""


def _claim(found: Sequence[Finding], title: str) -> str:
    own = [one for one in found if one.claim.title == title]
    kinds = [one.against for one in own[0].evidence]
    rows = [[escape(f.run), _verdict(f), *(_evidence(one) for one in f.evidence), str(f.n or "–")] for f in own]
    head = ["run", "verdict", *("above 0" if name == "0" else f"better than {_plain(name)} by" for name in kinds), "n"]
    drops = [
        f"{f.run}: {number(f.drop.value)} [{number(f.drop.low)}, {number(f.drop.high)}]"
        for f in own
        if f.drop is not None
    ]
    lost = f"Lost from upright to moved: {'; '.join(drops)}." if drops else ""
    level = f"Level of the intervals: {100 * own[0].claim.level:.1f} %."
    table = page.grid(head, rows, label=title)
    says = own[0].claim.says
    return "\n".join([page.heading(title), page.words(says), table, page.words(f"{level} {lost}", soft=True)])


def _plain(name: str) -> str:
    return name.split(" (")[0]


def _verdict(found: Finding) -> str:
    good = None if found.verdict == NOT_MEASURED else found.verdict == SHOWN
    fails = ["zero" if name == "0" else name for name in found.fails] if good is False else []
    return page.mark(found.verdict, good) + (
        f"<small>fails against {escape(', '.join(fails))}</small>" if fails else ""
    )


def _evidence(one: Evidence) -> str:
    if one.found is None:
        return "not measured"
    return f"{number(one.found.value)} {'✓' if one.holds else '✗'}{page.ends(one.found)}"


def _duels(study: Study) -> str:
    found = duels(study, [one for one, _ in HEADLINE])
    rows = []
    for one in found:
        good = {"better": True, "worse": False}.get(one.verdict)
        amount = "–" if one.found is None else number(one.found.value) + page.ends(one.found)
        title = next(title for what, title in HEADLINE if what == one.what)
        rows.append(
            [f"{escape(one.first)} against {escape(one.second)}", f'<td class="text">{escape(title)}</td>',
             page.mark(one.verdict, good), amount, str(one.found.n if one.found else 0)]
        )  # fmt: skip
    if not rows:
        return ""
    text = (
        f"Paired over patients, {len(rows)} comparisons with 95 % intervals, not corrected for their number. "
        "Differences are turned so that above 0 the first is better."
    )
    head = ["runs", "number", "the first is", "by", "n"]
    return "\n".join(
        [page.heading("Run against run"), page.grid(head, rows, label="run against run"), page.words(text, soft=True)]
    )
