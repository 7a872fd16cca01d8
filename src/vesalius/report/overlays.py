"""Pictures over images: matches as lines, heat maps, registrations. Failures are shown, not hidden.

The measures hand over their worst examples first, then typical ones; `chosen` keeps both kinds and that order. No text is
drawn: the page says once what the colours mean (LEGENDS).
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.report.plots import DPI, Picture

Array = NDArray[Any]
BLUE, ORANGE, GREY = "#56B4E9", "#F0A21B", "#d0d0d0"  # Okabe and Ito's, bright enough over radiographs
LINES = 40  # of matches, in one picture
QUALITY = 80  # JPEG: a radiograph as PNG is four times as large
GAP = 0.01  # between two images, share of the picture's width
LEGENDS = {
    "correspondence": "Lines join a point and its best match in another patient. Blue: in the same structures; orange, dashed: "
    f"not; grey, dotted: unknown. At most {LINES} are drawn: first those of known structures, then by cosine.",
    "landmarks": "The brighter, the more like the mark. Blue circle: truth; orange cross: found.",
    "registration": "From left to right: the fixed patient; the moving one before; the moving one after it was carried over. "
    "Blue: outlines of the fixed patient; orange: of the moving patient after it was carried.",
}


def chosen(count: int, most: int) -> list[int]:
    """Which of `count` examples, worst first and typical ones in the second half, to show: about two thirds worst."""
    if count <= most:
        return list(range(count))
    worst = max(1, 2 * most // 3)
    typical = max(worst, -(-count // 2))
    return [*range(worst), *range(typical, min(count, typical + most - worst))]


def shown(measure: str, run: str, arrays: Mapping[str, Array], most: int) -> list[Picture]:
    """Up to `most` pictures of a measure's artefact; none of a measure without images."""
    first, draw = {"correspondence": ("a", _match), "landmarks": ("image", _heat), "registration": ("fixed", _pair)}[
        measure
    ]
    count = sum(f"{first}_{i}" in arrays for i in range(len(arrays)))
    return [draw(run, arrays, i) for i in chosen(count, most)]


def _plates(images: Sequence[Array], width: float) -> tuple[Any, list[Any]]:
    """A figure of images side by side, edge to edge, and their axes in pixels of the image."""
    from matplotlib.figure import Figure

    share = (1 - GAP * (len(images) - 1)) / len(images)
    tallest = max(image.shape[0] / image.shape[1] for image in images)
    figure = Figure(figsize=(width, width * share * tallest), facecolor="black")
    found = []
    for i, image in enumerate(images):
        axes = figure.add_axes((i * (share + GAP), 0, share, 1))
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
        axes.set_axis_off()
        axes.autoscale(False)
        found.append(axes)
    return figure, found


def _photo(figure: Any, alt: str, caption: str) -> Picture:
    out = io.BytesIO()
    figure.savefig(out, format="jpeg", dpi=DPI, pil_kwargs={"quality": QUALITY, "optimize": True})
    return Picture(out.getvalue(), alt, caption, "image/jpeg", photo=True)


def _match(run: str, arrays: Mapping[str, Array], i: int) -> Picture:
    from matplotlib.patches import ConnectionPatch

    a, b, lines, right, cosines = (arrays[f"{name}_{i}"] for name in ("a", "b", "lines", "right", "cosine"))
    figure, (left, other) = _plates([a, b], 4.2)
    for j in np.lexsort((-cosines, right < 0))[:LINES]:
        colour, style = {1: (BLUE, "-"), 0: (ORANGE, "--")}.get(int(right[j]), (GREY, ":"))
        row_a, col_a, row_b, col_b = (float(x) for x in lines[j])
        look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 0.9}
        places: dict[str, Any] = {"coordsA": "data", "coordsB": "data", "axesA": left, "axesB": other}
        figure.add_artist(ConnectionPatch((col_a, row_a), (col_b, row_b), **places, **look))
    good, bad, unknown = (int((right == value).sum()) for value in (1, 0, -1))
    counts = f"{len(right)} matches: {good} in the same structures, {bad} not, {unknown} unknown."
    return _photo(figure, f"Two patients side by side with lines between matched points, {run}. {counts}", counts)


def _heat(run: str, arrays: Mapping[str, Array], i: int) -> Picture:
    from matplotlib import colormaps

    image, values, truth, found = (arrays[f"{name}_{i}"] for name in ("image", "heat", "truth", "found"))
    figure, (axes,) = _plates([image], 3.2)
    low, high = float(np.nanmedian(values)), float(np.nanmax(values))
    share = np.nan_to_num((values.astype(np.float64) - low) / max(high - low, 1e-12)).clip(0, 1)
    coloured = colormaps["inferno"](share)
    coloured[..., 3] = 0.65 * share  # the less alike half of the places stays as it is, or all would be veiled
    height, width = image.shape
    axes.imshow(coloured, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="bilinear")
    look = {"markerfacecolor": "none", "markersize": 12, "markeredgewidth": 2.2, "linestyle": "", "clip_on": False}
    axes.plot(truth[1], truth[0], "o", markeredgecolor=BLUE, **look)
    axes.plot(found[1], found[0], "X", markeredgecolor=ORANGE, **look)
    words = f"{arrays[f'label_{i}']}: off by {100 * float(arrays[f'error_{i}']):.1f} % of the diagonal."
    return _photo(figure, f"Heat map of a search, {run}. {words}", words)


def _pair(run: str, arrays: Mapping[str, Array], i: int) -> Picture:
    fixed, moving, warped = (arrays[f"{name}_{i}"] for name in ("fixed", "moving", "warped"))
    figure, panels = _plates([fixed, moving, warped], 5.0)
    for axes in panels:
        _tint(axes, arrays[f"outline_fixed_{i}"], BLUE)
    _tint(panels[2], arrays[f"outline_warped_{i}"], ORANGE)
    return _photo(
        figure, f"One patient carried onto another by {run}: fixed, moving before and after, with outlines.", ""
    )


def _tint(axes: Any, mask: Array, colour: str) -> None:
    """Colour where the mask is."""
    from matplotlib.colors import to_rgba

    axes.imshow(mask.astype(bool)[..., None] * np.array(to_rgba(colour)), interpolation="nearest")
