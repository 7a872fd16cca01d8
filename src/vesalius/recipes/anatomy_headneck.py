"""What pyramids of CT know of the body: organs by neighbours, landmarks found in other patients, level by level.

Command: vesalius run vox2vec_ct_small and pcrlv2_ct_small, then vesalius run anatomy_headneck. Hours: see recipes/results.
Data: OpenKBP's planning CT: the 15 test cases, measured once; marks are given on training cases. A mark is the centre of a
contoured organ. Pretraining saw no test case.
The papers' numbers: none. Copying a mark's place within the body is the control to beat ("coordinates"), or its place in the
scanner ("scanner"): patients lie in masks, heads up, so that places say much.
"""

from pathlib import Path

from vesalius.recipes import pcrlv2_ct_small, picked, transfer_headneck, vox2vec_ct_small
from vesalius.recipes.anatomy_wingspan import write_down

NAME = Path(__file__).stem
MARKS = ("brainstem", "parotid_left", "parotid_right", "larynx", "mandible")
RUNS = ("vox2vec seed0", "vox2vec-UNet", "pcrlv2 seed0")
MEASURES = ("landmarks", "organs", "levels")


def main(
    data: str = "../shared/data",
    vox2vec: str = f"runs/{vox2vec_ct_small.NAME}",
    pcrlv2: str = f"runs/{pcrlv2_ct_small.NAME}",
    out: str = f"runs/{NAME}",
    runs: tuple[str, ...] = RUNS,
    record: str = "",
) -> None:
    """Measure the encoders of seed 0 and the controls, or go on with it.

    Args:
        data: folder that holds ct_headneck
        vox2vec: folder of the runs of vox2vec_ct_small
        pcrlv2: folder of the runs of pcrlv2_ct_small
        out: folder of rows and artefacts
        runs: some of the encoders, beside the controls of the first of them
        record: root of a checkout: write the rows into it, and measure nothing
    """
    from vesalius.anatomy.command import measure

    if record:
        write_down(Path(out), Path(record), NAME)
        return
    vox, pcrl = vox2vec_ct_small.encoders(vox2vec), pcrlv2_ct_small.encoders(pcrlv2)
    encoders = picked({**vox, **pcrl}, runs)
    source = transfer_headneck.DATA.format(Path(data).resolve())
    kept = measure(
        encoders, source, out, split="test", annotated="train", structures=MARKS, measures=MEASURES,
        conditions=("upright",),
    )  # fmt: skip
    print(kept)
