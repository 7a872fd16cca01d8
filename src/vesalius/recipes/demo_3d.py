"""The main job on volumes in minutes: pretrain vox2vec or PCRLv2 on synthetic CT, then tell organs by voxel vectors.

Command: vesalius demo --3d (--method pcrlv2), or vesalius run demo_3d.
Time: 4 minutes of two CPU cores without units for bf16 (AVX2). Seeds 0-2, the scores of every body:
recipes/results/demo_3d.jsonl. With PCRLv2 seed 0 alone was measured: 12 minutes of one core of a busy machine, 0.756 against
0.703 of random weights, better by 0.053 [0.028, 0.080].
What it shows: voxels of the organs of bodies never seen, each named by its nearest neighbours among voxels of other bodies
(k-NN, by cosine), with the pretrained pyramid against the same network with random weights. What it does not show: bodies of
one program look more alike than patients do, and organs of CT differ in HU, so that the raw voxels around a place name many
of them too: the page shows these beside. It says nothing about patients.
The papers' numbers: none at this size. vox2vec's trained 47.6 million parameters on 6,550 CT in three days of an A100.
"""

import time
from pathlib import Path
from typing import Any, Literal

from vesalius.recipes import pretrained
from vesalius.recipes.demo import cleared, enough

BODIES, UNSEEN = 48, 24
FIRST = 200_000  # of the unseen bodies; those from 100,000 on served to choose the settings below
VOXEL = 8  # mm: the trunk is 54 x 33 x 57 voxels
ORGANS = (
    "lung_right",
    "lung_left",
    "heart",
    "aorta",
    "spine",
    "liver",
    "spleen",
    "kidney_right",
    "kidney_left",
)  # the trunk is all of them, and of trachea, clavicles and ribs few voxels are whole
SHARED: dict[str, Any] = {
    "spacing": (),  # as they are made
    "upsample": False,
    "holdout": 0.0,
    "batch": 8,
}
VOX2VEC: dict[str, Any] = {
    **SHARED,
    "backbone": "fpn8x4",  # 0.7 million parameters, vectors of 120 numbers
    "epochs": 25,  # how often each body is seen, in a pair of patches
    "optim": {"lr": 2e-3, "warmup_epochs": 1.0, "schedule": "cosine"},  # 3e-4, constant, is for 100,000 steps
    "method": {
        "patch": (24, 24, 24),  # 192 mm: large enough to hold what lies around
        "voxels": 200,  # of 1,000: the loss is a small part of the time either way
    },
}
PCRLV2: dict[str, Any] = {
    **SHARED,
    "backbone": "unet16x4",  # vectors of 240 numbers
    "ndim": 3,
    "in_channels": 1,
    "epochs": 60,
    "optim": {"kind": "adamw", "lr": 2e-3, "warmup_epochs": 1.0, "schedule": "cosine"},
    "method": {
        "patch": (24, 24, 24),
        "small_patch": (12, 12, 12),
        "small": 2,  # of 6
        "sizes": ((24, 24, 24), (20, 20, 20), (16, 16, 16)),
        "small_sizes": ((8, 8, 8), (6, 6, 6)),
        "margin": (0, 0, 0),
        "flip": 0.0,  # left and right organs have names of their own
        "axis_blur": (0.0, 1.0),
        "noise": (0.0, 0.05),
        "pixels": 20.0,  # see pcrlv2_ct_small
        "swaps": 10,
        "groups": 1,
    },
}
METHODS = {"vox2vec": VOX2VEC, "pcrlv2": PCRLV2}


def main(
    out: str = "runs/demo_3d",
    method: Literal["vox2vec", "pcrlv2"] = "vox2vec",
    seed: int = 0,
    overwrite: bool = False,
    bodies: int = BODIES,
    unseen: int = UNSEEN,
    epochs: int = 0,
) -> None:
    """Pretrain on synthetic volumes and measure what was learned, or go on with it.

    Args:
        out: folder of the run
        method: vox2vec or pcrlv2
        seed: of the patches, the network and the measure
        overwrite: delete what is in `out` first, if it is a run
        bodies: how many to train on
        unseen: how many others to measure on
        epochs: how often each is seen; default: a few minutes
    """
    enough(bodies, METHODS[method]["batch"])
    folder = cleared(out, overwrite)
    begun = time.monotonic()
    data = f"phantom:?ndim=3&voxel={VOXEL}&bodies={bodies}"
    settings = {**METHODS[method], "seed": seed, **({"epochs": epochs} if epochs else {})}
    encoder = pretrained(method, data, out=folder, **settings)
    print(f"\npretrained in {(time.monotonic() - begun) / 60:.1f} minutes: {encoder}")
    print(measure(encoder, seed, folder, unseen))
    from vesalius.report.command import write

    print(f"what it knows of the body, as a page: {write([folder], folder / 'report.html')}")


def measure(encoder: Path, seed: int, folder: Path, unseen: int) -> str:
    """Organ voxels of unseen bodies, rows into results.jsonl; and the sentence that says whether they were named better."""
    from vesalius import results, statistics
    from vesalius.anatomy.command import measure as look
    from vesalius.chance import generator

    data = f"phantom:?ndim=3&voxel={VOXEL}&bodies={unseen}&first={FIRST}"
    # A fixed key: these patients are nobody, and the rows of several seeds must name the same bodies.
    path = look(
        {"trained": encoder}, data, folder, measures=("organs",), conditions=("upright",), structures=ORGANS, seed=seed,
        key=b"synthetic",
    )  # fmt: skip
    rows = results.select(results.read(path), measure="organs", name="knn_accuracy", condition="upright")
    trained, random = (results.select(rows, run=run) for run in ("trained", "random"))
    difference = statistics.compare(trained, random, generator(0))
    one, other = (sum(row.value for row in some) / len(some) for some in (trained, random))
    verdict = "it learned" if difference.low > 0 else "no gain shown"
    return (
        f"voxels of {len(ORGANS)} organs of {unseen} unseen synthetic bodies, named by k-NN (k=5): "
        f"pretrained {one:.3f}, random weights {other:.3f}; difference {difference.value:+.3f} "
        f"(95 % interval over bodies {difference.low:+.3f} to {difference.high:+.3f}): {verdict}"
    )
