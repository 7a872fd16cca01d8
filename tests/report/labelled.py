"""Folders that look like those of `vesalius evaluate`: masks by few shots, classes by a linear probe, and kept cases.

`skill` of a run is the share of its error that it is spared; more labels spare more.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from plausible import picture

from vesalius import results
from vesalius.chance import generator
from vesalius.results import Row
from vesalius.statistics.curves import value

STRUCTURES = ("heart", "left lung", "right lung")
SHOTS = (3, 6, 12, 24)
LEAK = "pretraining: 12 patients"


def write_fewshot(
    folder: Path, skills: Mapping[str, float], patients: int = 30, shots: tuple[int, ...] = SHOTS, draws: int = 3,
    leaks: Mapping[str, str] | None = None, cases: bool = True, measure: str = "fewshot", side: int = 192,
    structures: tuple[str, ...] = STRUCTURES, metrics: tuple[str, ...] = ("dice", "iou", "hd95"),
) -> Path:  # fmt: skip
    """These metrics of every patient and structure; a case of each fourth patient in the first draw."""
    rows = []
    for place, (run, skill) in enumerate(skills.items()):
        rng = generator(11, place)
        for n in shots:
            for draw in range(draws):
                about = Row(
                    measure=measure, name="", value=0.0, run=run, data="wingspan", split="test", space="standard",
                    shots=n, draw=draw, seed=100 + draw, leak=(leaks or {}).get(run, ""),
                )  # fmt: skip
                own = _training(folder, about, skill, rng, patients, structures, side if cases and draw == 0 else 0)
                rows += [row for row in own if row.name in (*metrics, "case")]
    results.write(folder / results.FILE, rows)
    return folder


def _training(folder, about, skill, rng, patients, structures, side):
    luck, labels = rng.normal(0, 0.02), np.log2(about.shots) / 12
    for p in range(patients):
        mine, found = replace(about, patient=f"patient{p:03d}"), []
        for k, structure in enumerate(structures):
            ease = 0.45 + skill + labels + luck + 0.05 * np.sin(p) + 0.04 * k
            dice = float(np.clip(rng.normal(ease, 0.05), 0.02, 0.99))
            found.append(dice)
            yield replace(mine, name="dice", structure=structure, value=dice)
            yield replace(mine, name="iou", structure=structure, value=dice / (2 - dice))
            yield replace(mine, name="hd95", structure=structure, value=60 * (1 - dice), unit="mm")
        if side and p % 4 == 0:
            artefact = results.save(
                folder, f"case-{about.run}-{about.shots}-{p}", _case(generator(5, p), np.mean(found), side, structures)
            )
            yield replace(mine, name="case", value=float(np.mean(found)), artefact=artefact)


def _case(rng, dice, side, structures):
    """A body with three ovals, and the same ovals moved away by more the lower the Dice."""
    image = picture(rng, side)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]

    def oval(row, column, shift):
        return ((x - column - shift) / 0.28) ** 2 + ((y - row - shift) / 0.5) ** 2 < 1

    places = ((0.2, 0.05), (-0.05, 0.4), (-0.05, -0.4))[: len(structures)]
    truth, found = (np.stack([oval(*place, shift) for place in places]) for shift in (0, 0.5 * (1 - dice)))
    return {"image": image, "truth": truth, "found": found, "structures": np.array(structures)}


def write_linear(
    folder: Path, skills: Mapping[str, float], images: int = 80, shots: tuple[int, ...] = (10, 100), draws: int = 2,
    classes: tuple[str, ...] = ("nodule", "effusion"),
) -> Path:  # fmt: skip
    """AUC and AP of each class, two images a patient, scores beside."""
    rows = []
    label = np.arange(images)[:, None] // 2 % np.arange(2, 2 + len(classes)) == 0
    patient = np.array([f"patient{i // 2:03d}" for i in range(images)])
    for place, (run, skill) in enumerate(skills.items()):
        rng = generator(12, place)
        for n in shots:
            for draw in range(draws):
                for k, name in enumerate(classes):
                    score = label[:, k] * (1 + skill + np.log10(n) / 3) + rng.normal(size=images)
                    arrays = {"patient": patient, "label": label[:, k].astype(float), "score": score}
                    about = {
                        "run": run, "data": "chestxray14", "split": "test", "structure": name, "shots": n, "draw": draw,
                        "seed": draw, "artefact": results.save(folder, f"linear-{run}-{name}-{n}-{draw}", arrays),
                    }  # fmt: skip
                    rows += [
                        Row(measure="linear", name=metric, value=value(metric, label[:, k], score), **about)
                        for metric in ("auc", "ap")
                    ]
    results.write(folder / results.FILE, rows)
    return folder
