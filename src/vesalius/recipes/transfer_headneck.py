"""Seven organs of the head and neck, from pyramids of vox2vec and PCRLv2: probing, fine-tuning, few labels.

Command: vesalius run vox2vec_ct_small and pcrlv2_ct_small, then vesalius run transfer_headneck. Hours: see recipes/results.
Data: OpenKBP's planning CT at 4 x 4 x 2.5 mm, or as coarse as they are (13 of the 15 test cases): 48 to train on, 15 to test
on, measured once; settings were tried on the 7 for validation. The 48 were seen in pretraining, without labels; the 15 were
not. An organ without a contour counts nowhere.
The paper's numbers (vox2vec; BTCV, 13 organs, mean Dice): from scratch 0.77, linear 0.65, non-linear 0.73, fine-tuned 0.78;
after pretraining on 6,550 CT. Its random pyramid, frozen, is a point of figure 2: Dice against trainable parameters.

Frozen encoders stand beside the same networks with random weights, fine-tuned ones beside training from scratch.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import pcrlv2_ct_small, transfer, vox2vec_ct_small

NAME = Path(__file__).stem
DATA = "ct_headneck:{}/ct_headneck"
SHOTS = (3, 6, 12, 24)
SHARES = (0.1, 0.2, 0.5, 1.0)
# Chosen on the validation cases, with seed 0 and with its random weights: of a linear head, as a cosine from 3e-2, Dice 0.42
# and 0.26, from 1e-1 0.44 and 0.29; of a non-linear one from 3e-3, 500 steps 0.51, 1,500 steps 0.58. At a constant rate the
# heads end anywhere.
PROBED: dict[str, Any] = {"patch": (32, 32, 32), "steps": 1000, "batch": 7, "whole": True, "cosine": True}
LINEAR, NONLINEAR = {**PROBED, "lr": 1e-1}, {**PROBED, "lr": 3e-3}
NONLINEAR_UNET = {**PROBED, "lr": 3e-2}  # of 8 numbers a voxel, on the validation cases: 0.33; from 1e-2 0.30
TUNED: dict[str, Any] = {"patch": (32, 32, 24), "steps": 500, "batch": 7, "lr": 1e-3, "cosine": True}


def studies(data: str, vox2vec: str, pcrlv2: str) -> transfer.Studies:
    """Of vox2vec's encoders, then, with _pcrlv2 in their names, of PCRLv2's; _unet: vox2vec-UNet, its linear head aside."""
    vox, pcrl = vox2vec_ct_small.encoders(vox2vec), pcrlv2_ct_small.encoders(pcrlv2)
    unet = vox["vox2vec-UNet"]
    frozen: dict[str, str | Path] = {"vox2vec-UNet": unet, "random vox2vec-UNet": f"random:{unet}"}
    seeds = {name: run for name, run in vox.items() if name not in frozen}
    own = _studies(data, seeds, "random", "scratch", frozen)
    others = _studies(data, pcrl, "random U-Net", "scratch U-Net")
    (_, nonlinear), (_, finetune) = own["nonlinear"], own["finetune"]
    tuned = {"vox2vec-UNet": unet, "scratch vox2vec-UNet": f"scratch:{unet}"}
    return {
        **own,
        "nonlinear_unet": (frozen, replace(nonlinear, settings=NONLINEAR_UNET)),
        "finetune_unet": (tuned, replace(finetune, plan=Plan(draws=1))),
        **{f"{name}_pcrlv2": study for name, study in others.items()},
    }


def _studies(
    data: str, runs: Mapping[str, str | Path], random: str, scratch: str, beside: Mapping[str, str | Path] | None = None
) -> transfer.Studies:
    """random, scratch: what the first run's network without its weights is called. beside: more under a linear head.

    Of few labels and fine-tuning, the first run stands for its method: there each training takes minutes.
    """
    name, first = next(iter(runs.items()))
    blank = {random: f"random:{first}"}
    frozen, one, tuned = {**runs, **blank}, {name: first, **blank}, {name: first, scratch: f"scratch:{first}"}
    linear = Study(DATA.format(Path(data).resolve()), "linear", plan=Plan(draws=3), settings=LINEAR)
    nonlinear = replace(linear, protocol="nonlinear", settings=NONLINEAR)
    finetune = replace(linear, protocol="finetune", settings=TUNED)
    few = Plan(shots=SHOTS, draws=2)
    shares = Plan(shares=SHARES[:-1], draws=2)  # with all labels: linear
    return {
        "linear": ({**frozen, **(beside or {})}, linear),
        "nonlinear": (frozen, replace(nonlinear, plan=Plan(draws=2))),
        "linear_few": (one, replace(linear, plan=few)),
        "linear_shares": (one, replace(linear, plan=shares)),
        "nonlinear_few": (one, replace(nonlinear, plan=few)),
        "finetune": (tuned, replace(finetune, plan=Plan(shares=SHARES, draws=1))),
    }


def main(
    data: str = "../shared/data",
    vox2vec: str = f"runs/{vox2vec_ct_small.NAME}",
    pcrlv2: str = f"runs/{pcrlv2_ct_small.NAME}",
    out: str = f"runs/{NAME}",
    only: str = "",
    runs: tuple[str, ...] = (),
    record: str = "",
) -> None:
    """Measure the pyramids and random weights, or go on with it.

    Args:
        data: folder that holds ct_headneck
        vox2vec: folder of the runs of vox2vec_ct_small
        pcrlv2: folder of the runs of pcrlv2_ct_small
        out: folder of the rows
        only: one of linear, nonlinear, linear_few, linear_shares, nonlinear_few, finetune, these with _pcrlv2,
            nonlinear_unet, finetune_unet
        runs: encoders of that study alone, such as to measure two side by side, into two folders; random weights go
            beside a run
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, vox2vec, pcrlv2), out, only, record, NAME, runs)
