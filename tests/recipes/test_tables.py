"""The tables of docs/results.md: what they say is what the rows say, and nothing else."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vesalius.errors import DataError, SettingError
from vesalius.recipes import names, tables
from vesalius.recipes.tables import curves, transfer
from vesalius.results import Row

ROOT = Path(__file__).parents[2]


def rows(run: str, gain: float, seeds: int = 3, data: str = "phantom") -> list[Row]:
    """Scores of eight patients; each patient's own is the same in every run, plus `gain`."""
    easy = np.linspace(0.2, 0.5, 8)
    return [
        Row(measure="locality", name="knn_accuracy", run=run, data=data, patient=f"p{p}", seed=s, value=easy[p] + gain)
        for s in range(seeds)
        for p in range(8)
    ]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_says_what_the_results_say() -> None:
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert text == tables.put(text, tables.markdown(tables.experiments())), "run: python -m vesalius.recipes.tables"


def test_a_constant_gain_is_known_exactly() -> None:
    line = tables.table(rows("trained", 0.25) + rows("random", 0.0)).splitlines()[2]
    assert cells(line)[3].startswith("0.600 [")
    assert cells(line)[4:] == ["+0.250 [+0.250, +0.250]", "8", "3"]


def test_one_seed_is_enough_and_rows_of_a_structure_are_left_out() -> None:
    some = rows("trained", 0.1, seeds=1)
    part = Row(measure="locality", name="knn_accuracy_of_landmark", run="trained", structure="carina", value=1.0)
    assert tables.table([*some, part]) == tables.table(some)
    assert cells(tables.table(some).splitlines()[2])[-2:] == ["8", "1"]


def test_numbers_without_patients_stand_as_they_are() -> None:
    hours = [
        Row(measure="cost", name="hours", run="adam", value=value, unit="h", seed=s)
        for s, value in enumerate((1, 1.25))
    ]
    hours.append(Row(measure="cost", name="hours", run="moco", value=2, unit="h"))
    assert [cells(line) for line in tables.table(hours).splitlines()[::2]] == [
        ["", "adam", "moco"],
        ["cost: hours", "1 h, 1.25 h", "2 h"],
    ]


def test_numbers_of_synthetic_bodies_are_not_called_real() -> None:
    assert tables.markdown({}) == tables.WAITING
    assert tables.markdown({"demo": rows("trained", 0.1)}).endswith(tables.WAITING)
    assert tables.WAITING not in tables.markdown(
        {"demo": rows("trained", 0.1), "nih": rows("a", 0, data="chestxray14")}
    )


def test_a_run_with_fewer_numbers_of_labels_is_compared_where_it_was_measured(tmp_path: Path) -> None:
    """`all` was measured with 3 and 12 labelled, as was `none`; `late` with 12 alone."""
    gains = {"all": 0.2, "none": 0.0, "late": 0.1}
    some = [
        replace(row, measure="linear", name="dice", structure=structure, shots=shots, draw=row.seed, seed=None)
        for run, gain in gains.items()
        for shots in ((3, 12) if run != "late" else (12,))
        for structure in ("heart", "lung")
        for row in rows(run, gain)
    ]
    lines = [line for line in transfer.markdown(some, tmp_path).splitlines() if line.startswith("- ")]
    assert sorted(line.split(" [")[0] for line in lines) == [
        "- 12 labelled: all better than late: +0.100",
        "- 12 labelled: all better than none: +0.200",
        "- 12 labelled: late better than none: +0.100",
        "- mean over 3, 12 labelled: all better than none: +0.200",
    ]


def test_of_runs_on_different_patients_the_table_says_how_many(tmp_path: Path) -> None:
    some = [
        replace(row, measure="linear", name="dice", structure="heart", draw=row.seed, seed=None)
        for run in ("all", "few")
        for row in rows(run, 0.0)
    ]
    patients = sorted({row.patient for row in some})
    assert "Patients:" not in transfer.markdown(some, tmp_path)
    some = [row for row in some if row.run == "all" or row.patient in patients[:3]]
    assert f"\nPatients: {len(patients)} (all); 3 (few)\n" in transfer.markdown(some, tmp_path)


def test_other_patients_are_not_compared() -> None:
    with pytest.raises(SettingError, match="patients"):
        tables.table(rows("trained", 0.1) + rows("random", 0.0)[:-8])


@pytest.mark.parametrize("text", ["", tables.BEGIN, tables.END + tables.BEGIN, 2 * (tables.BEGIN + tables.END)])
def test_a_readme_without_one_place_for_results_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="no place for results"):
        tables.put(text, "new")


def test_only_what_stands_between_the_marks_changes() -> None:
    text = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter"
    assert tables.put(text, "new") == text.replace("old", "new")
    assert tables.put(tables.put(text, "new"), "old") == text


def test_tables_are_no_recipe() -> None:
    assert "tables" not in names()


def run_folder(folder: Path, stages: int = 2, steps: int = 100) -> Path:
    """A run of `stages` x `steps`, logged every tenth step at 32 images/s with batch 64, its loss falling by 1/100 a step."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"batch": 64, "seed": 3, "data": ["/secret/place"]}))
    with open(folder / "metrics.jsonl", "w") as file:
        for total in range(10, stages * steps + 1, 10):
            where = {"stage": (total - 1) // steps, "step": (total - 1) % steps + 1, "total_step": total}
            file.write(
                json.dumps({**where, "loss": 9 - total / 100, "pruned_same_part": None, "images_per_s": 32}) + "\n"
            )
            file.write(json.dumps({**where, "watch_loss": 5.0}) + "\n")
        file.write(json.dumps({"stage": 0, "alarm": "collapse"}) + "\n")
    return folder


def test_a_run_is_summed_up(tmp_path: Path) -> None:
    found = {row.name: row.value for row in curves.rows(run_folder(tmp_path / "run"), "adam", "nih")}
    assert found["hours"] == round(200 * 64 / 32 / 3600, 2)
    assert found["loss, stage 0"] == pytest.approx(9 - 0.8)  # the mean of steps 60 to 100
    assert found["watch_loss, stage 1"] == 5
    assert "pruned_same_part, stage 0" not in found


def test_a_curve_has_every_run_and_stage_and_no_place(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", stages=3, steps=1000)
    text = curves.curve({"a": folder, "b": folder})
    table = pd.read_csv(io.StringIO(text))
    assert table.groupby(["run", "stage"]).step.agg(["count", "max"]).values.tolist() == 6 * [[34, 1000]]
    assert "secret" not in text
