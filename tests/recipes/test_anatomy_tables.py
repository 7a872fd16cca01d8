"""The tables of `vesalius anatomy` in docs/results.md: they say what the rows say, and no claim without its controls."""

import pytest

from vesalius.recipes.anatomy_wingspan import means
from vesalius.recipes.tables import anatomy
from vesalius.results import Row

ABOUT = {"measure": "landmarks", "name": "within_5", "condition": "all", "shots": 1, "data": "wingspan"}


def scores(run: str, value: float, **more) -> list[Row]:
    return [Row(**{**ABOUT, **more}, run=run, value=value + 0.01 * (p % 5), patient=f"p{p}") for p in range(20)]


def test_the_surely_best_is_bold_and_what_nobody_measured_is_left_out():
    text = anatomy.markdown([*scores("adam", 0.5), *scores("random", 0.2)])
    assert "| landmarks: found within 5 %, moved, 1 image annotated | **0.520 [" in text
    assert "registration" not in text
    assert text.startswith("20 patients, wingspan.")


def test_a_claim_stands_only_beside_all_its_controls():
    few = [*scores("adam", 0.5), *scores("random", 0.2)]
    assert "claim of the paper" not in anatomy.markdown(few)
    text = anatomy.markdown([*few, *scores("raw_pixels", 0.3), *scores("coordinates", 0.55)])
    assert "| No need of alignment | adam | not shown (fails against coordinates) | 20 |" in text


def test_a_mean_stands_for_all_patients_of_one_number():
    found = means([*scores("adam", 0.5), *scores("adam", 0.1, condition="upright")])
    assert {(row.condition, row.patient, row.value) for row in found} == {("all", "", 0.52), ("upright", "", 0.12)}


@pytest.mark.parametrize(("condition", "is_anatomy"), [("all", True), ("", False)])
def test_rows_of_anatomy_say_how_images_were_shown(condition, is_anatomy):
    assert anatomy.of_anatomy(scores("adam", 0.5, condition=condition)) is is_anatomy
