"""A claim is shown only where every control is beaten, and the control that is not is named."""

import numpy as np
import pytest

from vesalius.report import claims
from vesalius.report.claims import CLAIMS, findings
from vesalius.report.folders import Study
from vesalius.report.measures import CONTROLS
from vesalius.report.tables import Quantity, Scores
from vesalius.results import Row

SEPARATE, PARTS, _, ALIGNMENT = CLAIMS
EASY = np.linspace(0.2, 0.6, 12)


def study(shifts, what=SEPARATE.what, patients=12):
    about = {"measure": what.measure, "name": what.name, "condition": what.condition, "structure": what.structure}
    wave = 0.01 * np.sin(np.arange(12))  # differences are not all equal
    some = [
        Row(run=run, patient=f"p{i}", value=EASY[i] + shift + place * wave[i], shots=what.shots, **about)
        for place, (run, shift) in enumerate(shifts.items())
        for i in range(patients)
    ]
    return Study("bodies", tuple(some), Scores(some))


def test_a_claim_holds_where_all_controls_are_beaten():
    (found,) = findings(study({"adam": 0.2, **dict.fromkeys(CONTROLS, 0.0)}), [SEPARATE])
    assert (found.run, found.verdict, found.fails, found.n) == ("adam", "shown", (), 12)


@pytest.mark.parametrize("strong", CONTROLS)
def test_one_control_that_is_as_good_refutes_it_and_is_named(strong):
    (found,) = findings(study({"adam": 0.2, **dict.fromkeys(CONTROLS, 0.0), strong: 0.2}), [SEPARATE])
    assert (found.verdict, found.fails) == ("not shown", (strong,))


def test_a_control_that_was_not_measured_is_not_beaten():
    (found,) = findings(study({"adam": 0.2, "random": 0.0, "raw_pixels": 0.0}), [SEPARATE])
    assert (found.verdict, found.fails) == ("not shown", ("coordinates",))


def test_what_was_not_measured_has_no_verdict():
    (found,) = findings(study({"adam": 0.2}, ALIGNMENT.what), [SEPARATE])
    assert (found.verdict, found.n) == ("not measured", 0)


def test_one_patient_shows_nothing():
    (found,) = findings(study({"adam": 0.9, **dict.fromkeys(CONTROLS, 0.0)}, patients=1), [SEPARATE])
    assert found.verdict == "not shown"


@pytest.mark.parametrize(
    ("own", "random", "pixels", "fails"),
    [(0, -0.3, -0.2, ()), (0, 0, -0.3, ("random",)), (0, -0.3, 0.1, ("raw_pixels",)), (-0.7, -1, -1, ("0",))],
)
def test_the_whole_must_go_further_than_nothing_random_weights_and_raw_pixels(own, random, pixels, fails):
    (found,) = findings(study({"adam": own, "random": random, "raw_pixels": pixels}, PARTS.what), [PARTS])
    assert found.fails == fails
    assert found.verdict == ("not shown" if fails else "shown")


def test_intervals_widen_with_the_number_of_comparisons():
    assert (SEPARATE.level, PARTS.level) == (pytest.approx(1 - 0.05 / 3), pytest.approx(1 - 0.05 / 3))
    both = study({"adam": 0.2, **dict.fromkeys(CONTROLS, 0.0)})
    one = findings(both, [SEPARATE])[0].evidence[0].found
    assert one.low < both.scores.difference("adam", "random", SEPARATE.what).low


def test_runs_meet_each_other_and_errors_count_the_other_way():
    tre = Quantity("registration", "tre", "all")
    worse = claims.duels(study({"adam": 0.2, "moco": 0.0, "random": 0.0}, tre), [tre])
    assert [(one.first, one.second, one.verdict) for one in worse] == [("adam", "moco", "worse")]
    same = claims.duels(study({"adam": 0.0, "moco": 0.0}, tre), [tre])
    assert same[0].verdict == "no difference shown"
