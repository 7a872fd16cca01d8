"""The main job in minutes, on the embedded default: pretrain Adam or PCRLv2 on synthetic bodies, then show what it learned.

Command: make demo, or vesalius demo (--method pcrlv2; --3d: demo_3d).
Time: 9 minutes of two CPU cores (AVX2, no units for bf16), half of them training; with PCRLv2 8 to 14 of one busy core.
What it shows: patches at the landmarks of bodies never seen, named by their nearest neighbours in other bodies (k-NN), with
the pretrained encoder against the same network with random weights. Seeds 0-2, the scores of every body (knn_accuracy in
results.jsonl): recipes/results/demo.jsonl and, of PCRLv2, demo_pcrlv2.jsonl. PCRLv2's network is its plain U-Net, whose
random weights name fewer landmarks than those of a ResNet-18: the two demos do not say which method is better.
What it does not show: mean-free raw pixels name these patches better than any of them, since bodies of one program look more
alike than patients do; and it says nothing about patients.
"""

import shutil
import time
from pathlib import Path
from typing import Any, Literal

from vesalius.errors import SettingError
from vesalius.recipes import pretrained

BODIES, UNSEEN = 192, 48
FIRST = 200_000  # of the unseen bodies; those from 100,000 on served to choose the settings below
VIEW, PATCH = 32, 48  # px: of a view in training; of a landmark patch, which has 56 px of the image
QUICK: dict[str, Any] = {  # a minute or two; organs and levels, of networks with fine maps alone, would take eight more
    "measures": ("locality", "compositionality", "correspondence", "landmarks", "registration"),
    "grid": 8,
    "conditions": ("upright", "all"),
    "composed": 2,
}
SHARED: dict[str, Any] = {
    "size": 256,
    "holdout": 0.0,
    "optim": {"kind": "adamw", "lr": 1e-3, "warmup_epochs": 5.0},
}
ADAM: dict[str, Any] = {
    **SHARED,
    "backbone": "resnet18",
    "batch": 64,
    "epochs": 80,  # of each of the two stages
    "method": {
        "levels": (0, 2),  # a stage of n = 4 after these learned to tell bodies, not places: k-NN fell
        "size": VIEW,
        "scale": (0.9, 1.0),  # what two strong crops have in common takes longer to learn than there is time
        "rotation": 10.0,
        "jitter": (0.5, 0.5, 0.0, 0.0),
        "blur": (0.1, 4.0),  # strong: what is left is the lie of the organs, not the grain of this one image
        "bank": 512,
        "momentum": 0.99,
        "prune_from": 0.9,
        "head_norm": True,
        "groups": 2,
    },
}
PCRLV2: dict[str, Any] = {
    **SHARED,
    "backbone": "unet16x4",  # trained, a ResNet-18 names landmarks worse than with random weights: docs/findings.md
    "batch": 32,
    "epochs": 24,
    "optim": {**SHARED["optim"], "lr": 3e-3},  # at 1e-3 some starts are still far from the images' mean at the end
    "method": {
        "size": 64,
        "small_size": VIEW,
        "small": 2,  # of 6: more bodies seen in the same time
        "jitter": (0.4, 0.4, 0.0, 0.0),  # the images are grey
        "grayscale": 0.0,
        "blur": (0.1, 1.0),
        "flip": 0.0,
        "pixels": 20.0,  # see pcrlv2_ct_small
        "groups": 1,
    },
}
METHODS = {"adam": ADAM, "pcrlv2": PCRLV2}


def main(
    out: str = "runs/demo",
    method: Literal["adam", "pcrlv2"] = "adam",
    seed: int = 0,
    overwrite: bool = False,
    bodies: int = BODIES,
    epochs: int = 0,
) -> None:
    """Pretrain on synthetic bodies and measure what was learned, or go on with it.

    Args:
        out: folder of the run
        method: adam or pcrlv2
        seed: of the bodies' crops, the network and the bank
        overwrite: delete what is in `out` first, if it is a run
        bodies: how many to train on
        epochs: of each of Adam's two stages, or of PCRLv2's one; default: a few minutes
    """
    enough(bodies, METHODS[method]["batch"])
    folder = cleared(out, overwrite)
    begun = time.monotonic()
    data = f"phantom:?bodies={bodies}"
    settings = {**METHODS[method], "seed": seed, **({"epochs": epochs} if epochs else {})}
    encoder = pretrained(method, data, out=folder, **settings)
    minutes = (time.monotonic() - begun) / 60
    print(f"\npretrained in {minutes:.1f} minutes: {encoder}")
    print(measure(encoder, seed, folder))
    from vesalius.report.command import write

    print(f"what it knows of the body, as a page: {write([folder], folder / 'report.html')}")


def enough(bodies: int, batch: int) -> None:
    """SettingError where `bodies` do not fill a batch."""
    if bodies < batch:
        raise SettingError(
            f"{bodies} bodies are fewer than one batch of {batch}", remedy=f"Give --bodies {batch} or more."
        )


def cleared(out: str, overwrite: bool) -> Path:
    """The folder `out`, deleted where that is asked for. SettingError: it holds something that is no run."""
    folder = Path(out)
    if overwrite and (folder / "config.json").exists():
        shutil.rmtree(folder)
    elif overwrite and folder.exists() and any(folder.iterdir()):
        raise SettingError("is not a run, so it is not overwritten", file=folder, remedy="Give another --out.")
    return folder


def measure(encoder: Path, seed: int, folder: Path) -> str:
    """All measures on unseen bodies, rows into results.jsonl; and the sentence that says whether patches were named better."""
    from vesalius import results, statistics
    from vesalius.anatomy.command import measure as look
    from vesalius.chance import generator

    unseen = f"phantom:?bodies={UNSEEN}&first={FIRST}"
    # A fixed key: these patients are nobody, and the rows of several seeds must name the same bodies.
    path = look({"trained": encoder}, unseen, folder, size=PATCH, seed=seed, key=b"synthetic", **QUICK)
    rows = results.select(results.read(path), measure="locality", name="knn_accuracy", condition="upright")
    trained, random = (results.select(rows, run=run) for run in ("trained", "random"))
    difference = statistics.compare(trained, random, generator(0))
    one, other = (sum(row.value for row in some) / len(some) for some in (trained, random))
    verdict = "it learned" if difference.low > 0 else "no gain shown"
    return (
        f"landmark patches of {UNSEEN} unseen synthetic bodies, named by k-NN (k=5): "
        f"pretrained {one:.3f}, random weights {other:.3f}; difference {difference.value:+.3f} "
        f"(95 % interval over bodies {difference.low:+.3f} to {difference.high:+.3f}): {verdict}"
    )
