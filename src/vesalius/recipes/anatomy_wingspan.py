"""What the encoders of adam_nih_small know of the body, measured on radiographs that none of them saw.

Command: vesalius run anatomy_wingspan, then vesalius report runs/anatomy_wingspan. Hours: under one, on two CPU cores.
Data: Wingspan's 60 test images, measured once; landmarks for the search come from the other 199, on which the measures were
developed. No image of Wingspan was in pretraining.
The paper's numbers: none. Its figures 4 and 5 are pictures; their landmarks and code were never released.
"""

import json
from pathlib import Path

from vesalius import checkpoint, results
from vesalius.recipes.adam_nih_small import NAME as PRETRAINED
from vesalius.recipes.adam_nih_small import RUNS
from vesalius.recipes.tables import curves

NAME = Path(__file__).stem
DATA = "wingspan:{0}/cxr/wingspan?test_list={0}/splits/wingspan_test.txt"


def main(
    data: str = "../shared/data",
    weights: str = "weights",
    out: str = f"runs/{NAME}",
    record: str = "",
) -> None:
    """Measure adam, moco, moco_windows and the controls, or go on with it.

    Args:
        data: folder that holds cxr/wingspan and splits/wingspan_test.txt
        weights: folder of the encoders
        out: folder of rows and artefacts
        record: root of a checkout: write the rows into it, and measure nothing
    """
    from vesalius.anatomy.command import measure

    if record:
        write_down(Path(out), Path(record))
        return
    runs = {name: Path(weights) / f"{PRETRAINED}-{name}.safetensors" for name in RUNS}
    source = DATA.format(Path(data).resolve())
    print(measure(runs, source, out, split="test", annotated="train"))


def write_down(out: Path, root: Path) -> None:
    """The rows of patients and of the cohort to recipes/results: four digits, without what follows from other rows (px)
    and without the arrays, which are pictures of patients."""
    kept = [
        results.rounded(row)
        for row in results.read(out / results.FILE)
        if not row.artefact and not row.name.endswith("_px")
    ]
    folder = root / "src/vesalius/recipes/results"
    results.write(folder / f"{NAME}.jsonl", kept)
    about = {"hardware": curves.hardware(), "settings": json.loads((out / "anatomy.json").read_text(encoding="utf-8"))}
    about["settings"]["settings"].pop("data")  # the path of a folder on one machine
    checkpoint.write_bytes(folder / f"{NAME}.json", (json.dumps(about, indent=2) + "\n").encode())
