"""The share of a step that is spent waiting for data. Last line: `data_wait VALUE`, on two cores at most 0.05.

The product's own loop with its own `auto`: Adam, ResNet-18, views of 224 px at stages n = 0 and 4, batch 32, from radiographs
prepared beforehand (shared/data/cxr/nih beside the checkout, else the phantom). Each stage's first step is left out: it
waits for the loader's processes to start and to cut the first batch, once.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import vesalius
from vesalius.train.sources import prepare_only

RADIOGRAPHS = Path(__file__).resolve().parents[2] / "shared" / "data" / "cxr" / "nih" / "images"
PHANTOM = "phantom:?bodies=96&size=512"


def rows(data: str, out: Path, cache: Path, steps: int, **settings: Any) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, one a step, without the first of each stage."""
    method = {"levels": (0, 4), "bank": 1024}
    numbers: dict[str, Any] = {"backbone": "resnet18", "batch": 32, "holdout": 0.0, "log_steps": 1, "max_steps": steps}
    vesalius.pretrain("adam", data, out=out, cache=str(cache), method=method, **numbers, **settings)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line.get("step", 0) > 1 and "data_wait" in line]


def radiographs(folder: Path, count: int = 96) -> str:
    """A folder of links to the first real radiographs, where there are any; else the phantom."""
    for file in sorted(RADIOGRAPHS.iterdir())[:count] if RADIOGRAPHS.is_dir() else ():
        (folder / file.name).symlink_to(file)
    return str(folder) if any(folder.iterdir()) else PHANTOM


def main(steps: int = 4) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as links:
        data = radiographs(Path(links))
        cache = Path(folder) / "cache"
        prepare_only(data, 2, 512, str(cache))
        found = rows(data, Path(folder) / "run", cache, steps)
    speed = statistics.median(row["images_per_s"] for row in found)
    print(f"{len(found)} steps of 32 images, {'synthetic' if data == PHANTOM else 'radiographs'}: {speed:.1f} images/s")
    print(f"data_wait {statistics.median(row['data_wait'] for row in found):.4f}")


if __name__ == "__main__":
    main()
