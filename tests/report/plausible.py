"""Folders that look like those of `vesalius anatomy` and `vesalius pretrain`: rows and artefacts drawn at random.

`skill` of a run is what it is better by, on a scale where random weights have 0.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vesalius import results
from vesalius.chance import generator
from vesalius.results import Row

CONTROLS = {"random": 0.0, "raw_pixels": 0.02, "coordinates": -0.05}
CONDITIONS = {"upright": 0.15, "shift": 0.05, "rotation": 0.02, "zoom": 0.04, "all": 0.0}
LANDMARKS = (
    "carina",
    "aortic knob",
    "left apex",
    "right apex",
    "left hilum",
    "heart apex",
    "left angle",
    "right angle",
)


def rows(
    skills: Mapping[str, float], patients: int, data: str = "bodies", pictures: Collection[str] = ()
) -> Iterator[Row]:
    """All rows of the contract; those of `pictures` (runs) have artefacts. Patients are easy or hard for all runs alike."""
    for place, (run, skill) in enumerate(skills.items()):
        rng = generator(7, place)
        for p in range(patients):
            for about, value in _of_patient(skill + 0.1 * np.sin(p), rng):
                yield Row(run=run, data=data, patient=f"patient{p:03d}", value=float(value), seed=0, **about)
        for about, value in _of_cohort(skill, rng):
            yield Row(run=run, data=data, value=float(value), seed=0, **about)
        if run in pictures:
            for measure, name in NAMES:
                yield Row(run=run, data=data, measure=measure, name=name, value=1.0, artefact=_file(measure, run))


NAMES = (
    ("locality", "vectors"),
    ("compositionality", "cosines"),
    ("correspondence", "matches"),
    ("landmarks", "heat"),
    ("registration", "pairs"),
)


def _file(measure: str, run: str) -> str:
    return f"artefacts/{measure}-{run}.npz"


def _of_patient(skill: float, rng: np.random.Generator) -> Iterator[tuple[dict[str, Any], float]]:
    def noisy(middle: float, scale: float = 0.08) -> float:
        return float(np.clip(rng.normal(middle, scale), 0, 1))

    for condition, ease in CONDITIONS.items():
        shown: dict[str, Any] = {"condition": condition}
        hard = condition in ("upright", "all")
        yield {"measure": "locality", "name": "knn_accuracy", **shown}, noisy(0.5 + skill + ease)
        if condition != "upright":
            share = noisy(0.4 + skill + ease)
            yield {"measure": "correspondence", "name": "within_5", **shown}, share
            yield {"measure": "correspondence", "name": "error", **shown}, 0.2 * (1 - share)
            yield {"measure": "correspondence", "name": "error_px", **shown}, 140 * (1 - share)
        for shots in (1, 5):
            share = noisy(0.3 + skill + ease + 0.02 * shots)
            of: dict[str, Any] = {"measure": "landmarks", "shots": shots, **shown}
            factors = {"within_5": share, "within_10": share**0.5, "error": 0.3 * (1 - share), "found": noisy(0.8)}
            factors |= {"error_px": 200 * (1 - share), "error_mm": 60 * (1 - share), "error_found": 0.2 * (1 - share)}
            yield from (({**of, "name": name}, value) for name, value in factors.items())
        if hard:
            for k in (1, 5, 20):
                yield (
                    {"measure": "locality", "name": f"knn_accuracy_{k}", **shown},
                    noisy(0.35 + skill + ease + k / 200),
                )
            yield {"measure": "locality", "name": "margin", **shown}, noisy(0.1 + skill)
            yield {"measure": "locality", "name": "silhouette", **shown}, noisy(0.05 + skill)
            for name in ("matched", "same_structure", "same_structure_all"):
                yield {"measure": "correspondence", "name": name, **shown}, noisy(0.45 + skill + ease)
            tre = abs(rng.normal(0.1 - 0.1 * skill, 0.02))
            yield {"measure": "registration", "name": "tre", **shown}, tre
            yield {"measure": "registration", "name": "tre_px", **shown}, 700 * tre
            yield {"measure": "registration", "name": "dice", **shown}, noisy(0.7 + skill / 2)
            yield {"measure": "registration", "name": "inliers", **shown}, noisy(0.3 + skill)
    for n in (2, 3, 4):
        own, shuffled = noisy(0.75 + skill / 2, 0.03), noisy(0.7, 0.03)
        of = {"measure": "compositionality", "structure": f"{n} parts"}
        yield {**of, "name": "cosine"}, own
        yield {**of, "name": "cosine_shuffled"}, shuffled
        yield {**of, "name": "gain"}, own - shuffled
        yield {**of, "name": "closed"}, (own - shuffled) / max(1 - shuffled, 1e-6)


def _of_cohort(skill: float, rng: np.random.Generator) -> Iterator[tuple[dict[str, Any], float]]:
    for n in (2, 3, 4):
        for name in ("mode", "spread", "mode_shuffled", "spread_shuffled"):
            yield {"measure": "compositionality", "structure": f"{n} parts", "name": name}, rng.random()
    for label in LANDMARKS:
        for condition in ("upright", "all"):
            about = {"structure": label, "condition": condition}
            yield {"measure": "locality", "name": "knn_accuracy_of_landmark", **about}, rng.random()
        for condition in CONDITIONS:
            for name in ("error", "within_5"):
                about = {"structure": label, "condition": condition, "shots": 1}
                yield {"measure": "landmarks", "name": name, **about}, rng.random()


def picture(rng: np.random.Generator, side: int = 256) -> np.ndarray:
    """A bright oval with two dark ones in it, and noise."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    bend = rng.normal(0, 0.06, 4)
    body = ((x + bend[0]) / 0.85) ** 2 + (y / 0.95) ** 2 < 1
    lungs = [((x + s * 0.4 + bend[1]) / 0.3) ** 2 + ((y + bend[2]) / 0.6) ** 2 < 1 for s in (-1, 1)]
    grey = 30 + 150.0 * body - 90.0 * (lungs[0] | lungs[1]) + rng.normal(0, 10, (side, side))
    return np.clip(grey, 0, 255).astype(np.uint8)


def _arrays(measure: str, skill: float, rng: np.random.Generator, patients: int, examples: int) -> dict[str, Any]:
    if measure == "locality":
        labels = np.tile(LANDMARKS, 2 * patients)
        means = rng.normal(size=(len(LANDMARKS), 32))
        vectors = skill * 3 * np.tile(means, (2 * patients, 1)) + rng.normal(size=(len(labels), 32))
        conditions = np.repeat(["upright", "all"], len(labels) // 2)
        return {"vectors": vectors.astype(np.float16), "labels": labels, "conditions": conditions}
    if measure == "compositionality":
        own = {f"parts_{n}": np.clip(rng.normal(0.75 + skill / 2, 0.08, 400), -1, 1) for n in (2, 3, 4)}
        return own | {f"shuffled_{n}": np.clip(rng.normal(0.65, 0.1, 400), -1, 1) for n in (2, 3, 4)}
    found: dict[str, Any] = {}
    for i in range(examples):
        image, other = picture(rng), picture(rng)
        ring = image > 100
        if measure == "correspondence":
            start = rng.uniform(40, 210, (60, 2))
            lines = np.concatenate([start, start + rng.normal(0, 12, (60, 2))], axis=1)
            right = rng.choice([0, 1, -1], 60, p=[0.5 - skill, 0.4 + skill, 0.1])
            found |= {f"a_{i}": image, f"b_{i}": other, f"lines_{i}": lines, f"right_{i}": right}
            found[f"cosine_{i}"] = rng.uniform(0.8, 1, 60)
        elif measure == "landmarks":
            truth, miss = rng.uniform(50, 200, 2), rng.normal(0, 60 / (i + 1), 2)
            found |= {f"image_{i}": image, f"heat_{i}": rng.random((16, 16)).astype(np.float32), f"truth_{i}": truth}
            found |= {f"found_{i}": np.clip(truth + miss, 0, 255), f"label_{i}": np.array(LANDMARKS[i])}
            found[f"error_{i}"] = np.array(np.hypot(*miss) / 362)
        else:
            rim = ring ^ np.roll(ring, 2, axis=0)
            found |= {f"fixed_{i}": image, f"moving_{i}": other, f"warped_{i}": np.roll(image, 4, axis=1)}
            found |= {f"outline_fixed_{i}": rim, f"outline_warped_{i}": np.roll(rim, 4, axis=1)}
    return found


def write_results(folder: Path, skills: Mapping[str, float], patients: int = 12, small: bool = False) -> Path:
    """results.jsonl and artefacts of these runs and all controls, as `vesalius anatomy` leaves them.

    small: upright and all alone, one annotated image, pictures of the first run and of random weights.
    """
    everyone = {**skills, **CONTROLS}
    drawn = [next(iter(skills)), "random"] if small else list(everyone)
    found = [
        row
        for row in rows(everyone, patients, pictures=drawn)
        if not small or (row.condition in ("", "upright", "all") and row.shots in (None, 1))
    ]
    (folder / "artefacts").mkdir(parents=True)
    # At once: `append` opens the file anew for each of 20,000 rows.
    (folder / "results.jsonl").write_text("".join(results._line(row).decode() for row in found))
    for place, run in enumerate(drawn):
        for measure, _ in NAMES:
            arrays = _arrays(measure, everyone[run], generator(8, place), patients, 2 if small else 6)
            np.savez(folder / _file(measure, run), **arrays)
    return folder


def write_run(folder: Path, **settings: Any) -> Path:
    """config.json and metrics.jsonl of a run of two stages."""
    config = {
        "name": "adam",
        "out": str(folder),
        "data": ["nih:/home/me/data/nih?table=a.csv"],
        "cache": "/home/me/cache",
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**config, "optim": {"lr": 0.001}, "size": 512, **settings}))
    lines = []
    for step in range(10, 410, 10):
        about = {"stage": step // 201, "total_step": step}
        loss = 4 / (1 + step / 100)
        lines.append(
            {**about, "loss": loss, "spread": 0.98, "pruned": None if step < 100 else 0.01, "images_per_s": 20.0}
        )
        lines.append({**about, "watch_loss": loss * 1.1})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
