"""Runs that were measured although the test had been seen: marked wherever a number of theirs stands."""

from collections.abc import Iterable, Mapping

from vesalius.results import Row

MARK = "⚠"


def stamps(rows: Iterable[Row]) -> dict[str, str]:
    """Run -> what of the test had been seen; runs without a leak are left out."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.leak:
            found.setdefault(row.run, {})[row.leak] = None
    return {run: "; ".join(some) for run, some in found.items()}


def marked(run: str, found: Mapping[str, str]) -> str:
    """The run's name, with the mark where it has a leak."""
    return f"{run} {MARK}" if run in found else run


def sentences(found: Mapping[str, str]) -> list[str]:
    """A line a run that has a leak."""
    return [
        f"{MARK} {run}: measured although the test had been seen ({stamp}): not comparable."
        for run, stamp in found.items()
    ]
