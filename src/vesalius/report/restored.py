"""What methods that restore made of images, held out where some were: the image, distorted, and as each scale restores it."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vesalius.errors import DataError
from vesalius.report import page
from vesalius.report.folders import RunFolder
from vesalius.report.overlays import QUALITY
from vesalius.report.plots import Picture

TEXT = (
    "Each row is one image: a crop, turned and scaled as in training (black corners are that), as the network saw it, and what "
    "the network made of that; of volumes the middle slice. Scale 0 is the coarsest. What is blurred was not kept in the "
    "vectors of that scale, or not yet: a run of few steps restores little. The network is that of the run's last step."
)
LEAST = 128  # px of a picture's shorter side: smaller ones are enlarged, so that the page does not smooth them


def chapter(runs: Sequence[RunFolder]) -> str:
    """A heading a run, a row an image; empty where no run has pictures."""
    parts = [part for run in runs if run.pictures for part in (page.heading(run.name), *_rows(run))]
    return page.section("restored", "Restored images", page.words(TEXT, soft=True), *parts) if parts else ""


def _rows(run: RunFolder) -> list[str]:
    """DataError where the arrays are not those of pictures."""
    names, images = (run.pictures.get(name, np.zeros(0)) for name in ("names", "images"))
    if images.ndim != 4 or images.shape[1] != len(names) or images.dtype != np.uint8:
        reason = "holds no names (K,) and images (B, K, H, W) of bytes"
        raise DataError(reason, file=Path(run.name) / "pictures.npz", remedy="Delete it; a run writes it as it ends.")
    return [
        page.plates(_picture(name, image, run.name) for name, image in zip(names, row, strict=True)) for row in images
    ]


def _picture(name: str, image: np.ndarray, run: str) -> Picture:
    from PIL import Image

    grey = Image.fromarray(image)
    times = max(1, -(-LEAST // min(grey.size)))
    out = io.BytesIO()
    large = grey.resize((times * grey.width, times * grey.height), Image.Resampling.NEAREST)
    large.save(out, format="jpeg", quality=QUALITY, optimize=True)
    return Picture(out.getvalue(), f"{name}, of {run}", str(name), "image/jpeg", photo=True)
