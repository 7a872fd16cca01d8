"""The page: one file of HTML with everything in it. No script, no network; light and dark; from phone to desktop."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from vesalius.report.plots import Picture
from vesalius.report.tables import Cell, Line, number
from vesalius.statistics import Interval

STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5a6370;--paper:#fff;--card:#f6f7f9;--line:#dde1e6;--link:#0b5cad;
--yes:#0a6b4b;--yes-paper:#e2f4ec;--no:#8a4500;--no-paper:#fdeedd}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9da7b3;--paper:#14171a;--card:#1d2126;--line:#353b43;
--link:#7db7f5;--yes:#7fd9b4;--yes-paper:#12352a;--no:#f3b678;--no-paper:#3d2a12}
img.plot{filter:invert(.92) hue-rotate(180deg) brightness(1.2)}}
*{box-sizing:border-box}html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0 auto;max-width:72rem;padding:1.25rem clamp(1rem,4vw,2.5rem) 4rem;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
h1{font-size:clamp(1.5rem,5vw,2.1rem);line-height:1.2;margin:.5rem 0 1rem}
h2{font-size:1.3rem;line-height:1.3;margin:3rem 0 .6rem;padding-top:1.2rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.8rem 0 .4rem}h4{font-size:.95rem;margin:1.2rem 0 .3rem}
p,ul,dl{max-width:46rem;margin:.5rem 0}li{margin:.25rem 0}a{color:var(--link)}
.soft,figcaption,caption,dd{color:var(--soft)}small{color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;font-size:.92rem;margin:1rem 0}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{font-weight:600}dd{margin:0}
.box{overflow-x:auto;margin:.7rem 0 1.2rem;border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.4rem .7rem;text-align:left;vertical-align:top;border-top:1px solid var(--line);overflow-wrap:normal}
thead th{border-top:0;background:var(--card);font-weight:600;vertical-align:bottom}thead th+th{min-width:6.5rem}
tbody th{font-weight:500;min-width:7.5rem;max-width:18rem}
th:first-child{position:sticky;left:0;background:var(--paper)}thead th:first-child{background:var(--card)}
td{white-space:nowrap}td.text{white-space:normal;min-width:13rem}
td small{display:block;font-size:.8rem}td.value{overflow-wrap:anywhere;white-space:normal;min-width:8rem;max-width:22rem}
tr.control th,tr.control td{background:var(--card)}
.mark{display:inline-block;padding:.05rem .55rem;border-radius:1rem;font-weight:600;font-size:.85rem;white-space:nowrap;
background:var(--card);color:var(--soft)}.mark.yes{background:var(--yes-paper);color:var(--yes)}
.mark.no{background:var(--no-paper);color:var(--no)}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1.2rem;margin:.8rem 0 1.4rem;
align-items:start}
figure{margin:0;min-width:0}figure img{display:block;max-width:100%;height:auto;border-radius:.4rem;background:#fff}
img.plot{width:100%}.pictures.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,27rem),1fr))}
.plates{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(46%,9.5rem),1fr));gap:.7rem;margin:.5rem 0 1.2rem}
.plates img{width:100%}.warn{max-width:none;padding:.5rem .8rem;border-radius:.5rem;font-weight:600;
background:var(--no-paper);color:var(--no)}
.colours{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.88rem;list-style:none;padding:0}
.colours i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:.2em}
figcaption{font-size:.82rem;line-height:1.4;margin-top:.35rem}
details{margin:.6rem 0 1rem}summary{cursor:pointer;color:var(--link);padding:.25rem 0}
@media print{nav{display:none}}
"""


def page(title: str, body: str) -> str:
    """A whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def section(key: str, title: str, *parts: str) -> str:
    """A chapter that the list of contents can lead to."""
    return (
        f'<section id="{escape(key)}">\n<h2>{escape(title)}</h2>\n' + "\n".join(p for p in parts if p) + "\n</section>"
    )


def heading(text: str, level: int = 3) -> str:
    """A title below a chapter's."""
    return f"<h{level}>{escape(text)}</h{level}>"


def words(text: str, soft: bool = False) -> str:
    """A paragraph."""
    return f"<p{' class=soft' if soft else ''}>{escape(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def folded(summary: str, *parts: str) -> str:
    """What is there for those who open it; nothing where there is nothing."""
    inside = "\n".join(part for part in parts if part)
    return f"<details><summary>{escape(summary)}</summary>\n{inside}\n</details>" if inside else ""


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = (), label: str = "") -> str:
    """A table of HTML cells in a box that scrolls on its own; the first column names the row. classes: of the rows."""
    body = []
    for i, (first, *cells) in enumerate(rows):
        named = f' class="{classes[i]}"' if i < len(classes) and classes[i] else ""
        joined = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
        body.append(f'<tr{named}><th scope="row">{first}</th>{joined}</tr>')
    if not body:
        return ""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    about = f' role="region" aria-label="{escape(label or head[0] or "table")}"'
    return (
        f'<div class="box" tabindex="0"{about}><table><thead><tr>{top}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table></div>"
    )


def cell(one: Cell) -> str:
    """Value above, interval below; bold where it is surely the best."""
    if not isinstance(one.found, Interval):
        return escape(str(one))
    value = number(one.found.value)
    text = f"<strong>{value}</strong>" if one.best else value
    return text + ends(one.found)


def ends(found: Interval) -> str:
    """The interval below a value; the note where there is none."""
    if found.low != found.low:  # NaN
        return f"<small>{escape(found.note)}</small>"
    return f"<small>[{number(found.low)}, {number(found.high)}]</small>"


def lines(
    head: Sequence[str], some: Sequence[Line], label: str, *, count: bool = True, classes: Sequence[str] = ()
) -> str:
    """Lines of cells as a table; empty lines are left out. count: add a column of n patients."""
    kept = [i for i, line in enumerate(some) if any(one.found is not None for one in line.cells)]
    rows = [
        [escape(some[i].label), *(cell(one) for one in some[i].cells), *([escape(some[i].patients)] if count else [])]
        for i in kept
    ]
    own = [classes[i] for i in kept] if classes else ()
    return grid([*head, *(["n"] if count else [])], rows, own, label)


def mark(text: str, good: bool | None) -> str:
    """A word on a coloured ground; the word alone tells all."""
    kind = "" if good is None else " yes" if good else " no"
    return f'<span class="mark{kind}">{escape(text)}</span>'


def pictures(some: Iterable[Picture], wide: bool = False) -> str:
    """Side by side as far as there is room; wide: two at most."""
    found = [
        f'<figure><img class="{"photo" if one.photo else "plot"}" src="{one.source}" alt="{escape(one.alt)}">'
        + (f"<figcaption>{escape(one.caption)}</figcaption>" if one.caption else "")
        + "</figure>"
        for one in some
    ]
    return f'<div class="pictures{" wide" if wide else ""}">{"".join(found)}</div>' if found else ""


def plates(some: Iterable[Picture]) -> str:
    """Small photos in a row that wraps: two side by side on a phone."""
    found = [
        f'<figure><img class="photo" src="{one.source}" alt="{escape(one.alt)}">'
        f"<figcaption>{escape(one.caption)}</figcaption></figure>"
        for one in some
    ]
    return f'<div class="plates">{"".join(found)}</div>' if found else ""


def colours(names: Mapping[str, str]) -> str:
    """What the colours over photos mean."""
    items = (f'<li><i style="background:{colour}"></i>{escape(name)}</li>' for name, colour in names.items())
    return f'<ul class="colours">{"".join(items)}</ul>'


def warning(text: str) -> str:
    """A paragraph that is not to be overlooked."""
    return f'<p class="warn">{escape(text)}</p>'


def on(data: str, several: bool) -> str:
    """The heading of one data set's part of a chapter, where there are several."""
    return heading(f"On {data}") if several else ""
