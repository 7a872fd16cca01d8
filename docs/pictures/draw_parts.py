"""Draws the pictures of README from the phantom: `python docs/pictures/draw_parts.py [FOLDER]`. No real person is shown."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from vesalius.data.datasets.phantom import Dataset
from vesalius.space.box import Box
from vesalius.views.parts import parts

BODY, SIDE, GAP, HEAD = "body0025-0", 300, 12, 28
CUT, MARK, INK = (255, 190, 60), (255, 90, 80), (40, 40, 40)
COLOURS = {
    "lung_right": (90, 170, 255),
    "lung_left": (90, 170, 255),
    "heart": (255, 110, 110),
    "aorta": (255, 150, 60),
    "clavicles": (150, 220, 120),
    "liver": (200, 150, 90),
}


def whole(size: int = SIDE) -> tuple[Dataset, np.ndarray]:
    """The phantom, and the radiograph of BODY as (size, size, 3) uint8."""
    data = Dataset(bodies=1, first=25, size=size)
    return data, np.repeat(data.read(BODY).image[0, ..., None], 3, axis=-1)


def decomposed(image: np.ndarray, n: int) -> Image.Image:
    """The 2**n parts of a radiograph, each framed."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for part in parts(Box.whole(image.shape[:2]), n):
        (top, left), (bottom, right) = part.start, part.stop
        draw.rectangle((left, top, right - 1, bottom - 1), outline=CUT, width=2)
    return picture


def known(data: Dataset, image: np.ndarray) -> Image.Image:
    """The outlines of some structures and the landmarks, as the phantom knows them."""
    labels, drawn = data.labels(BODY), image.copy()
    assert labels.mask is not None
    for name, colour in COLOURS.items():
        mask = labels.mask[labels.structures.index(name)]
        drawn[binary_dilation(mask, iterations=2) & ~mask] = colour
    picture = Image.fromarray(drawn)
    draw = ImageDraw.Draw(picture)
    for row, column in labels.landmarks.values():
        draw.ellipse((column - 3, row - 3, column + 3, row + 3), fill=MARK, outline="white")
    return picture


def beside(pictures: dict[str, Image.Image]) -> Image.Image:
    """Pictures in a row, each under its title."""
    width = len(pictures) * (SIDE + GAP) - GAP
    sheet = Image.new("RGB", (width, HEAD + SIDE), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for place, (title, picture) in enumerate(pictures.items()):
        left = place * (SIDE + GAP)
        draw.text((left + SIDE / 2, HEAD / 2), title, fill=INK, font=font, anchor="mm")
        sheet.paste(picture, (left, HEAD))
    return sheet


def main(folder: Path) -> None:
    """Write parts.png into `folder`."""
    data, image = whole()
    panels = {f"n = {n}: {2**n} part{'s' * (n > 0)}": decomposed(image, n) for n in (0, 2, 4)}
    panels["what the phantom knows"] = known(data, image)
    beside(panels).save(folder / "parts.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
