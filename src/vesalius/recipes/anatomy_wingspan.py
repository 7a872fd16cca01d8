"""What the encoders of adam_nih_small and pcrlv2_nih_small know of the body, measured on radiographs that none of them saw.

Command: vesalius run anatomy_wingspan, then vesalius report runs/anatomy_wingspan. Hours: under one, on two CPU cores.
Data: Wingspan's 60 test images, measured once; landmarks for the search come from the other 199, on which the measures were
developed. No image of Wingspan was in pretraining.
The paper's numbers: none. Its figures 4 and 5 are pictures; their landmarks and code were never released.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius import checkpoint, results
from vesalius.recipes import adam_nih_small, pcrlv2_nih_small, picked, recorded
from vesalius.recipes.tables import curves
from vesalius.results import Row

NAME = Path(__file__).stem
DATA = "wingspan:{0}/cxr/wingspan?test_list={0}/splits/wingspan_test.txt"
BESIDE = ("within_10", "found", "error_found")
BOTH = ("adam", "moco")
# A remedy, chosen on 24 of the other images: the vector of a patch twice as wide stands beside each patch's own.
WIDE: dict[str, Any] = {
    "wider": (0.44,),
    "conditions": ("upright", "all"),
    "composed": 0,
    "measures": ("locality", "correspondence", "landmarks", "registration"),
}


def main(
    data: str = "../shared/data",
    weights: str = "weights",
    out: str = f"runs/{NAME}",
    wide: bool = False,
    runs: tuple[str, ...] = (),
    record: str = "",
) -> None:
    """Measure adam, moco, moco_windows, pcrlv2 and the controls, or go on with it.

    Args:
        data: folder that holds cxr/wingspan and splits/wingspan_test.txt
        weights: folder of the encoders
        out: folder of rows and artefacts
        wide: measure adam and moco once more with wider patches beside, into OUT_wide
        runs: some of the encoders, beside the controls of the first of them
        record: root of a checkout: write the rows into it, and measure nothing
    """
    from vesalius.anatomy.command import measure

    wider = Path(f"{out}_wide")
    if record:
        for folder in (Path(out), wider):
            if (folder / results.FILE).exists():
                write_down(folder, Path(record), NAME + ("_wide" if folder == wider else ""))
        return
    every = {**adam_nih_small.encoders(weights), **pcrlv2_nih_small.encoders(weights)}
    encoders = picked(every, runs or (BOTH if wide else ()))
    source = DATA.format(Path(data).resolve())
    if wide:
        print(measure(encoders, source, wider, split="test", annotated="train", **WIDE))
    else:
        print(measure(encoders, source, out, split="test", annotated="train"))


def write_down(out: Path, root: Path, name: str) -> None:
    """The rows join recipes/results, small enough to keep: four digits, short hashes of patients, of what follows from other
    rows (px) or stands beside them (BESIDE) only the mean, and none of the arrays: they are pictures of patients."""
    rows = [row for row in results.read(out / results.FILE) if not row.artefact and not row.name.endswith("_px")]
    about = {"hardware": curves.hardware(), "settings": json.loads((out / "anatomy.json").read_text(encoding="utf-8"))}
    patient = recorded.public([about["settings"]["settings"].pop("data")])  # the path of a folder on one machine
    kept = [
        replace(row, value=round(row.value, 4), patient=patient(row.patient)) for row in rows if row.name not in BESIDE
    ]
    folder = root / recorded.RESULTS
    recorded.join(folder / f"{name}.jsonl", [*kept, *means([row for row in rows if row.name in BESIDE])])
    path = folder / f"{name}.json"
    before = json.loads(path.read_text(encoding="utf-8"))["settings"]["done"] if path.exists() else {}
    about["settings"]["done"] = before | about["settings"]["done"]
    checkpoint.write_bytes(path, (json.dumps(about, indent=2) + "\n").encode())


def means(rows: Sequence[Row]) -> list[Row]:
    """One row of the cohort for all rows of patients that differ in patient and value alone."""
    groups: dict[Row, list[float]] = defaultdict(list)
    for row in rows:
        groups[replace(row, patient="", value=0.0)].append(row.value)
    return [replace(about, value=round(sum(values) / len(values), 4)) for about, values in groups.items()]
