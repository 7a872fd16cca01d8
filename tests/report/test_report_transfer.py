"""The chapter of transfer says what the statistics say, and hides no leak."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import plausible
import pytest
from labelled import LEAK, write_fewshot, write_linear
from PIL import Image
from plausible import write_results
from sklearn.metrics import average_precision_score, roc_auc_score

from fakes.command import vesalius
from vesalius import results, statistics
from vesalius.chance import generator
from vesalius.report import cases
from vesalius.report.bands import bands
from vesalius.report.compare import compare
from vesalius.report.efficiency import level, of_cohort, panels
from vesalius.report.family import sentence
from vesalius.report.folders import Study, open_folders
from vesalius.report.measures import PROTOCOLS
from vesalius.report.names import located, told_apart
from vesalius.report.paired import NOTHING, pair, tasks
from vesalius.report.plots import looks
from vesalius.report.pooled import over_shots, over_structures
from vesalius.report.sections import headline
from vesalius.report.tables import Scores
from vesalius.report.trainable import trainable
from vesalius.results import Row

EASY = np.linspace(0.3, 0.7, 15)
NOISE = generator(0).normal(0, 0.03, (4, 15))


def rows(run, values, **more):
    about = {"measure": "fewshot", "name": "dice", "structure": "heart", "data": "wingspan", "shots": 3, **more}
    return [Row(run=run, patient=f"p{i:02d}", value=float(v), **about) for i, v in enumerate(values)]


def grid(run, structures=("heart", "lung"), shots=(3, 6), draws=2, gain=0.0):
    """Rows of all combinations, each with other values."""
    rng = generator(1, len(run))
    return [
        row
        for n in shots
        for draw in range(draws)
        for name in structures
        for row in rows(run, gain + rng.random(15), structure=name, shots=n, draw=draw)
    ]


def mean_of(some, **wanted):
    return np.mean([row.value for row in results.select(some, **wanted)])


def only(found):
    ((_, value),) = found.items()
    return value


def test_a_level_is_what_the_statistics_say_of_its_table():
    draws = [row for d in range(3) for row in rows("adam", EASY + NOISE[d], draw=d)]
    ((task, runs),) = tasks(draws).items()
    assert level(task, runs["adam"]) == statistics.hierarchical(EASY + NOISE[:3], generator(0))
    assert level(task, runs["adam"][:15]) == statistics.interval(EASY + NOISE[0], generator(0))


def test_a_number_of_the_cohort_without_scores_has_no_interval():
    some = [Row(run="a", measure="linear", name="auc", value=v, draw=d) for d, v in enumerate((0.6, 0.8))]
    ((task, runs),) = tasks(some).items()
    assert level(task, runs["a"]) == pytest.approx(0.7)


def test_the_mean_over_structures_is_that_of_the_rows_and_so_is_the_mean_over_shots():
    some = grid("adam") + grid("mo")
    means = over_structures(tasks(some))
    (panel,) = panels(means)
    assert panel.task.what.structure == "mean of 2 structures"
    for run, shots in (("adam", 3), ("adam", 6), ("mo", 6)):
        assert panel.level(run, shots).value == pytest.approx(mean_of(some, run=run, shots=shots))
    ((task, runs),) = over_shots(means).items()
    assert task.what.condition == "mean over 3, 6 labelled"
    found = pair(task, "adam", "mo", runs, 99)
    assert found.difference.value == pytest.approx(mean_of(some, run="adam") - mean_of(some, run="mo"))
    assert found.difference.n == 15


def test_a_patient_who_lacks_a_structure_is_out_of_the_mean_of_that_training_alone():
    some = grid("adam", shots=(3,), draws=1) + grid("mo", shots=(3,), draws=1)
    gone = next(row for row in some if (row.run, row.structure, row.patient) == ("mo", "lung", "p04"))
    runs = only(over_structures(tasks([row for row in some if row is not gone])))
    assert "p04" not in {row.patient for row in runs["mo"]}
    assert {len(own) for own in runs.values()} == {28, 30}


def test_numbers_of_labels_that_a_run_lacks_or_that_were_trained_once_are_not_pooled():
    some = grid("adam", ("heart",), (3, 6, 12)) + grid("mo", ("heart",), (3, 6))
    some += rows("adam", EASY, shots=99, draw=0) + rows("mo", EASY, shots=99, draw=0)
    assert [task.what.condition for task in over_shots(tasks(some))] == ["mean over 3, 6 labelled"]
    assert over_shots(tasks([replace(row, measure="landmarks") for row in some])) == {}


@pytest.mark.parametrize(("name", "oracle"), [("auc", roc_auc_score), ("ap", average_precision_score)])
def test_the_interval_of_a_cohort_is_that_of_its_patients_drawn_again(tmp_path, name, oracle):
    rng = generator(4)
    label, score = np.arange(30) % 3 == 0, rng.normal(size=30) + np.arange(30) % 3 * -0.5
    people = np.array([f"p{i:02d}" for i in range(30)])
    file = results.save(tmp_path, "a", {"patient": people, "label": label.astype(float), "score": score})
    row = Row(
        run="a", measure="linear", name=name, value=float(oracle(label, score)), artefact=str(tmp_path / file), shots=9
    )
    ((task, runs),) = tasks([row]).items()
    found = of_cohort(task, runs["a"], 199)
    drawn = generator(0).integers(30, size=(199, 30))
    slow = [oracle(label[i], score[i]) for i in drawn]
    assert found.value == pytest.approx(row.value)
    assert (found.low, found.high) == (pytest.approx(np.quantile(slow, 0.025)), pytest.approx(np.quantile(slow, 0.975)))


def test_the_mean_over_classes_and_shots_is_that_of_their_areas(tmp_path):
    write_linear(tmp_path, {"a": 0.5, "b": 0.0}, images=40)
    some = results.select(located(tmp_path / results.FILE, "x"), name="auc")
    means = over_structures(tasks(some))
    for task, runs in means.items():
        expected = mean_of(some, run="a", shots=task.what.shots)
        assert of_cohort(task, runs["a"], 9).value == pytest.approx(expected)
    ((task, runs),) = over_shots(means).items()
    found = pair(task, "a", "b", runs, 9, family=0)
    assert found.difference.value == pytest.approx(mean_of(some, run="a") - mean_of(some, run="b"))
    assert np.isnan(found.p)


def test_bold_is_surely_best_and_never_a_leak():
    some = rows("adam", EASY + 0.1) + rows("moco", EASY) + rows("seen", EASY + 0.2, leak=LEAK)
    (panel,) = panels(tasks(some))
    assert [run for run, cell in panel.column(3).items() if cell.best] == ["adam"]
    (far,) = panels(tasks([replace(row, name="hd95") for row in some]))
    assert [run for run, cell in far.column(3).items() if cell.best] == ["moco"]
    (close,) = panels(tasks(rows("adam", EASY + NOISE[0]) + rows("moco", EASY + NOISE[1])))
    assert not any(cell.best for cell in close.column(3).values())


def test_no_curve_of_one_number_of_labels():
    (one,) = panels(tasks(rows("adam", EASY)))
    (two,) = panels(tasks(rows("adam", EASY) + rows("adam", EASY, shots=None)))
    styles = looks(["adam"])
    assert bands(one, "heart", styles) is None
    assert two.shots == (3, None)
    assert bands(two, "heart", styles).data[:4] == b"\x89PNG"


def test_a_sentence_names_the_better_first():
    ((task, runs),) = tasks(rows("adam", EASY) + rows("moco", EASY + 0.1)).items()
    worse = replace(pair(task, "adam", "moco", runs, 99), corrected=0.004)
    assert sentence(worse).replace("\u00a0", " ") == "moco better than adam: +0.100 [0.100, 0.100], n = 15, p = 0.004"
    assert NOTHING in sentence(replace(worse, corrected=0.2))


def test_compare_pools_over_shots_and_marks_leaks():
    some = [
        row
        for run, gain, leak in (("adam", 0.1, ""), ("seen", 0.0, LEAK))
        for n in (3, 6)
        for row in rows(run, EASY + gain, shots=n, leak=leak)
    ]
    text = compare(some, resamples=99)
    assert "| fewshot: dice, heart, mean over 3, 6 labelled | better ⚠ |" in text
    assert "all 3 comparisons" in text
    assert "## adam against seen ⚠" in text
    assert f"⚠ seen: measured although the test had been seen ({LEAK}): not comparable." in text
    assert "⚠ |" not in compare([replace(row, leak="") for row in some], resamples=99)


def test_what_one_run_measured_in_several_folders_stays_one_run(tmp_path):
    write_fewshot(tmp_path / "few", {"adam": 0.1}, patients=2, shots=(3,), draws=1, cases=False)
    write_results(tmp_path / "anatomy", {"adam": 0.1}, patients=2, small=True)
    few, other = (located(tmp_path / name / results.FILE, name) for name in ("few", "anatomy"))
    other = [replace(row, data="wingspan") for row in other]
    assert {row.run for row in told_apart({"few": few, "anatomy": other})} >= {"adam", "random"}
    changed = [replace(row, value=0.5) for row in few]
    assert {row.run for row in told_apart({"a": few, "b": changed})} == {"adam (a)", "adam (b)"}
    assert told_apart({"a": few, "b": few}) == few


def case(folder, run, dice, patient="p", draw=0, **arrays):
    mask = np.zeros((1, 8, 9), bool)
    mask[0, 2:6, 2:7] = True
    whole = {"image": np.full((8, 9), 40, np.uint8), "truth": mask, "found": ~mask, "structures": ["heart"], **arrays}
    file = results.save(folder, f"case-{run}-{patient}-{draw}", {k: np.asarray(v) for k, v in whole.items()})
    about = {"measure": "fewshot", "name": "case", "run": run, "shots": 3, "draw": draw, "patient": patient}
    return Row(value=dice, artefact=str(folder / file), **about)


def test_the_worst_patients_come_first_with_all_runs(tmp_path):
    some = [case(tmp_path, run, dice, p) for p, dice in (("a", 0.9), ("b", 0.2), ("c", 0.5)) for run in ("x", "y")]
    some.append(case(tmp_path, "x", 0.1, "d"))  # y lacks this patient
    some.append(replace(some[0], patient="e", value=0.0, artefact=str(tmp_path / "gone.npz")))
    (found,) = cases.worst(some, 2).values()
    assert [round(one.dice, 3) for one in found] == [0.2, 0.5]
    assert [list(one.found) for one in found] == [["x", "y"]] * 2


def test_plates_show_the_image_and_white_where_the_truth_ends(tmp_path):
    (found,) = cases.worst([case(tmp_path, "x", 0.2, image=np.full((8, 9), 40, np.uint8))], 1)[3]
    image, truth, mine = (np.asarray(Image.open(io.BytesIO(one.data)).convert("L"), int) for one in
                          cases.plates(found, cases.structures([found]), {}))  # fmt: skip
    assert abs(image - 40).max() <= 4
    assert abs(truth[0] - 40).max() < 12 < truth[3:5, 3:6].min() - 40
    assert mine[2, 4] > 200 > mine[4, 4]


@pytest.mark.parametrize("wrong", [{"image": np.zeros((8, 9, 3), np.uint8)}, {"structures": ["a", "b"]}])
def test_arrays_that_are_no_case_are_named(tmp_path, wrong):
    row = case(tmp_path, "x", 0.2, **wrong)
    results.write(tmp_path / results.FILE, [replace(row, artefact=f"artefacts/{row.artefact.rsplit('/', 1)[1]}")])
    assert "case-x-p-0.npz: holds no image" in vesalius("report", tmp_path, "--out", tmp_path / "a.html").error


@pytest.fixture(scope="module")
def transfer(tmp_path_factory):
    """A page of masks and classes, with a leak and with names that try to write HTML."""
    root = tmp_path_factory.mktemp("transfer")
    skills = {"adam": 0.2, "<i>seen": 0.1}
    about = {"patients": 8, "shots": (3, 12), "draws": 2, "leaks": {"<i>seen": f"<b>{LEAK}"}, "side": 64}
    write_fewshot(root / "few", skills, structures=("heart", "<u>lung"), metrics=("dice",), **about)
    write_linear(root / "linear", {"adam": 2.0, "moco": -1.3}, images=40, classes=("nodule",))
    done = vesalius("report", root / "few", root / "linear", "--out", root / "report.html")
    assert done.status == 0, done
    return (root / "report.html").read_text("utf-8")


def test_the_page_has_curves_tables_verdicts_and_cases(transfer):
    images = re.findall(r'<img class="(\w+)" src="([^"]*)" alt="([^"]*)"', transfer)
    plots = [alt for kind, _, alt in images if kind == "plot"]
    assert sum("Dice (0 to 1) against labelled patients" in alt for alt in plots) == 3
    assert sum("AUC (0 to 1) against labelled patients" in alt for alt in plots) == 1
    photos = [
        Image.open(io.BytesIO(base64.b64decode(src.split(",")[1]))).size for kind, src, _ in images if kind == "photo"
    ]
    assert photos == [(64, 64)] * 16  # two patients, fewest and most labels: image, truth, two runs
    text = re.sub(r"<[^>]*>", "", transfer).replace("\u00a0", " ")
    assert re.search(r"adam better than moco: \+0\.\d{3} \[0\.\d{3}, 0\.\d{3}\], n = 20", text)
    assert "mean of 2 structures" in text
    assert "patient00" not in text


def test_a_leak_is_shown_in_tables_and_verdicts(transfer):
    assert '<th scope="row">&lt;i&gt;seen ⚠</th>' in transfer
    assert "⚠ not comparable: adam" in transfer
    assert f"measured although the test had been seen (&lt;b&gt;{LEAK}): not comparable." in transfer


def test_names_are_escaped_and_nothing_of_bodies_is_said(transfer):
    assert not re.search("<[bu]>|<i>s", transfer)
    assert "What the encoder is worth with labels" in transfer
    assert 'id="claims"' not in transfer


def test_bodies_and_labels_share_a_page_but_not_their_tables(tmp_path):
    write_fewshot(tmp_path, {"adam": 0.1, "scratch": 0.0}, patients=3, shots=(3,), draws=1, cases=False)
    (study,) = open_folders([tmp_path])[1]
    known = [replace(row, data="wingspan") for row in plausible.rows({"adam": 0.1}, 3)]
    both = Study("wingspan", (*study.rows, *known), Scores([*study.rows, *known]))
    bodies = both.part(PROTOCOLS, others=True)
    assert (both.part(PROTOCOLS).rows, bodies.scores.runs) == (study.rows, ("adam",))
    assert "scratch" not in headline(bodies)


def test_dice_is_drawn_against_the_weights_that_learned():
    own = [
        replace(row, measure=measure, parameters=count, name="dice")
        for measure, count in (("linear", 2_000), ("nonlinear", 90_000), ("finetune", 3_000_000))
        for run in ("vox2vec", "random")
        for row in grid(run)
    ]
    some = panels(over_structures(tasks(own)), 99)
    for panel in some:
        assert (
            panel.trainable("vox2vec", 6)
            == {"linear": 2_000, "nonlinear": 90_000, "finetune": 3_000_000}[panel.task.what.measure]
        )
    drawn = trainable(some, looks(["vox2vec", "random"]))
    assert "circle: linear probe, square: non-linear probe, diamond: all weights" in drawn.caption
    assert "vox2vec" in drawn.alt
    assert trainable(some[:1], looks(["vox2vec", "random"])) is None
    assert trainable(panels(tasks(grid("vox2vec")), 99), looks(["vox2vec"])) is None
