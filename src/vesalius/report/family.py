"""All comparisons that are made together: pairs of runs in the numbers they share, corrected for how many they are (Holm)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from vesalius.errors import SettingError
from vesalius.progress import shower
from vesalius.report.leaks import MARK
from vesalius.report.paired import BETTER, NOTHING, WORSE, Measured, Paired, Task, pair
from vesalius.report.tables import number

Wanted = Sequence[tuple[Task, str, str]]


def pairs(measured: Measured, against: str = "") -> Wanted:
    """Each pair of runs in each number that both have, or those with the run `against`, which is then the second.

    SettingError where there are not two runs, not that one, or no number that two share.
    """
    runs = list(dict.fromkeys(run for own in measured.values() for run in own))
    if len(runs) < 2:
        reason = f"there is only the run {runs[0]}" if runs else "there are no numbers to compare"
        raise SettingError(reason, remedy="Give the results of two runs or more.")
    if against and against not in runs:
        from vesalius.settings import unknown

        raise unknown(against, against, tuple(runs), "run")
    found = [
        (task, b, a) if a == against else (task, a, b)
        for a, b in combinations(runs, 2)
        for task, own in measured.items()
        if a in own and b in own and against in ("", a, b)
    ]
    if not found:
        raise SettingError("the runs share no number", remedy="Measure them on the same data, with the same settings.")
    return found


def judged(measured: Measured, wanted: Wanted, resamples: int = 9999) -> list[Paired]:
    """These comparisons, p corrected for all of them; left out is what nothing says anything of (see `pair`)."""
    from vesalius.statistics.significance import holm

    show = shower("comparing")
    found: list[Paired] = []
    for done, (task, a, b) in enumerate(wanted, 1):
        one = pair(task, a, b, measured[task], resamples, len(wanted))
        found += [one] if one else []
        show(done, len(wanted))
    corrected = holm([one.p for one in found])
    return [replace(one, corrected=float(p)) for one, p in zip(found, corrected, strict=True)]


def sentence(one: Paired) -> str:
    """Such as `adam better than moco: +0.021 [0.010, 0.032], n = 60, p = 0.004`; the better one first, first less second."""
    a, b, found = one.a, one.b, one.difference
    if one.verdict == WORSE:
        a, b, found = b, a, replace(found, value=-found.value, low=-found.high, high=-found.low)
    words = f"{a} and {b}: {NOTHING}, first less second" if one.verdict == NOTHING else f"{a} {BETTER} than {b}"
    ends = "" if found.low != found.low else f" [{number(found.low)}, {number(found.high)}]"
    p = (
        ""
        if one.corrected != one.corrected
        else f", p {'< 0.001' if one.corrected < 0.001 else f'= {one.corrected:.3f}'}"
    )
    n = f", n\u00a0=\u00a0{found.n}" if found.n else ""
    mark = f"{MARK} not comparable: " if one.leaks else ""
    return f"{mark}{words}: {'+' if found.value > 0 else ''}{number(found.value)}{ends}{n}{p}"


def _p(p: float) -> str:
    return "<\u00a00.001" if p < 0.001 else f"=\u00a0{p:.3f}"
