"""Labels that cannot be meant: one line that names the file, before anything is trained."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import kermany, wingspan
from fakes.command import vesalius
from vesalius import results

pytestmark = pytest.mark.usefixtures("own_cache")
Break = Callable[[Path], object]
QUICK = ["--draws", 1, "--shares", 1, "--steps", 1, "--batch", 2, "--size", 32, "--protocol", "finetune"]


def paint(file: str, pixels: np.ndarray) -> Break:
    return lambda root: Image.fromarray(pixels).save(root / file)


def edit(file: str, old: str, new: str) -> Break:
    return lambda root: (root / file).write_text((root / file).read_text().replace(old, new))


CASES: list[tuple[str, str, Break, str]] = [
    (
        "wingspan",
        "?test_list=test.txt",
        paint("masks/wingspan_001.png", np.zeros((50, 64), np.uint8)),
        "wingspan_001.png: is 50 x 64, its image 96 x 96",
    ),
    (
        "wingspan",
        "?test_list=test.txt",
        paint("masks/wingspan_002.png", np.full((96, 96), 9, np.uint8)),
        "wingspan_002.png: holds the value 9, out of range 0 to 7",
    ),
    (
        "wingspan",
        "?test_list=test.txt",
        edit("test.txt", "002", "099"),
        "test.txt: lists 'wingspan_099', which is not here",
    ),
    ("kermany", "", edit("labels.csv", "label", "lable"), "labels.csv: has no column 'label'"),
    (
        "kermany",
        "",
        edit("labels.csv", "train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/gone.jpeg"),
        "labels.csv: names 'train/NORMAL/gone.jpeg'",
    ),
]


@pytest.mark.parametrize(("name", "query", "broken", "message"), CASES)
def test_one_line_that_names_the_file(
    tiny_run: Path, tmp_path: Path, name: str, query: str, broken: Break, message: str
):
    root = tmp_path / "root"
    kermany.write(root, table=True) if name == "kermany" else wingspan.write(root)
    broken(root)
    done = vesalius("evaluate", tiny_run, "--data", f"{name}:{root}{query}", "--out", tmp_path / "out", *QUICK)
    assert done.status == 1
    assert message in done.error
    assert not (tmp_path / "out" / results.FILE).exists()
