"""`vesalius compare`: verdicts that are true of rows made to be so, and words about what the runs do not share."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fakes.command import vesalius
from vesalius import results
from vesalius.chance import generator
from vesalius.errors import SettingError
from vesalius.report import critical
from vesalius.report.compare import compare, open_results
from vesalius.report.paired import NOTHING, Task, aligned, pair, tasks
from vesalius.report.tables import Quantity
from vesalius.results import Row
from vesalius.statistics import Interval, interval
from vesalius.statistics.significance import permutation

EASY = np.linspace(0.2, 0.8, 24)
NOISE = generator(0).normal(0, 0.05, (6, 24))


def rows(run, values, name="dice", first=0, **more):
    about = {"measure": "finetune", "name": name, "structure": "heart", "data": "wingspan", **more}
    return [Row(run=run, patient=f"p{first + i:02d}", value=float(v), **about) for i, v in enumerate(values)]


def only(some, a="adam", b="moco", **more):
    ((task, runs),) = tasks(some).items()
    return pair(task, a, b, runs, **more)


def lines(text):
    """The cells of each row of the tables, by heading."""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [dict(zip(table[0], row, strict=True)) for row in table if row[0] not in ("number", "---")]


def with_scores(folder, run, label, score, value=None, name="auc", **more):
    """A row of the whole cohort whose artefact is written to the folder."""
    folder.mkdir(exist_ok=True)
    file = f"{run}-{'-'.join(map(str, more.values()))}.npz"
    np.savez(folder / file, patient=[f"p{i:03d}" for i in range(len(label))], label=label, score=score)
    value = roc_auc_score(label, score) if value is None else value
    return Row(run=run, measure="linear", name=name, structure="nodule", value=value, artefact=file, **more)


@pytest.mark.parametrize(("name", "verdict"), [("dice", "better"), ("hd95", "worse"), ("error_mm", "worse")])
def test_more_is_better_but_not_of_distances(name, verdict):
    text = compare(rows("adam", EASY + 0.1 + NOISE[0], name) + rows("moco", EASY, name))
    assert [line["the first is"] for line in lines(text)] == [verdict]


def test_a_pair_is_what_the_statistics_say_of_its_differences():
    found = only(rows("adam", EASY + NOISE[0]) + rows("moco", EASY))
    assert found.difference == interval(EASY + NOISE[0] - EASY, generator(0))
    assert found.p == permutation(EASY + NOISE[0] - EASY, generator(1))
    assert found.superiority == pytest.approx(np.mean(NOISE[0] > 0))


def test_chance_alone_shows_no_difference():
    (line,) = lines(compare(rows("adam", EASY + NOISE[0]) + rows("moco", EASY + NOISE[1])))
    assert line["the first is"] == NOTHING
    assert line["n"] == "24"


def test_many_comparisons_make_a_verdict_harder():
    shift = 0.5 * NOISE[0].std() + NOISE[0] - NOISE[0].mean()
    one = rows("adam", EASY + shift) + rows("moco", EASY)
    many = [r for i in range(12) for run, v in (("adam", EASY + NOISE[2]), ("moco", EASY + NOISE[3])) for r in rows(run, v, structure=f"rib {i}")]  # fmt: skip  # noqa: E501
    alone, among = (lines(compare(some))[0] for some in (one, one + many))
    assert (alone["p"], alone["the first is"]) == (among["p"], "better")
    assert float(among["p, Holm"]) == pytest.approx(min(1, 13 * float(among["p"])), abs=0.01)
    assert among["the first is"] == NOTHING


def test_clear_differences_survive_the_correction_however_few_resamples():
    some = [row for i in range(12) for run in ("adam", "moco") for row in rows(run, EASY + NOISE[i % 6] + (run == "adam"), structure=f"rib {i}")]  # fmt: skip  # noqa: E501
    found = lines(compare(some, resamples=99))
    assert [line["the first is"] for line in found] == ["better"] * 12


def test_of_distances_the_lower_is_the_better_patient():
    error = rows("adam", NOISE[0], "hd95") + rows("moco", 0 * EASY, "hd95")
    assert only(error).superiority == pytest.approx(np.mean(NOISE[0] < 0))


def test_unequal_patients_are_compared_over_the_common_ones_and_it_says_so():
    (line,) = lines(compare(rows("adam", EASY + 0.1) + rows("moco", EASY[4:], first=4)))
    assert (line["n"], line["notes"]) == ("20", "20 patients in common, of 24 and 20")
    assert line["by (first − second)"] == "0.100 [0.100, 0.100]"
    (line,) = lines(compare(rows("adam", EASY) + rows("moco", EASY, first=50)))
    assert (line["n"], line["the first is"], line["p"]) == ("0", NOTHING, "–")


def test_unequal_seeds_are_told_and_the_shared_ones_compared():
    adam = [row for seed in range(4) for row in rows("adam", EASY + NOISE[seed] + seed, seed=seed)]
    moco = [row for seed in range(1, 3) for row in rows("moco", EASY, seed=seed)]
    found = only(adam + moco)
    assert found.notes == ("2 draws or seeds in common, of 4 and 2",)
    assert found.difference.value == pytest.approx(1.5 + NOISE[1:3].mean())
    other = only(adam + rows("moco", EASY, seed=9))
    assert other.notes == ("other draws or seeds (4 and 1): trainings are not paired",)
    assert other.difference.value == pytest.approx(1.5 + NOISE[:4].mean())


def test_draws_widen_the_interval_and_give_a_t_test():
    gains = [0.3, 0.0, 0.1]
    adam, moco = ([r for d in range(3) for r in rows(run, EASY + NOISE[d] + on * gains[d], draw=d)] for run, on in (("adam", 1), ("moco", 0)))  # fmt: skip  # noqa: E501
    found, one = only(adam + moco), only(adam[:24] + moco[:24])
    assert found.difference.low <= 0.0 < 0.3 <= found.difference.high
    assert one.difference.low == pytest.approx(0.3)
    assert np.isfinite(found.t)
    assert np.isnan(one.t)


def test_folds_make_one_training():
    halves = rows("adam", EASY[:12], fold=0) + rows("adam", EASY[12:], first=12, fold=1)
    (table,), notes = aligned([halves])
    assert (table.tolist(), notes) == ([EASY.tolist()], ())


def test_auc_is_compared_over_patients_by_their_scores(tmp_path):
    rng = generator(3)
    label = np.arange(90) % 2
    good, bad = label * 3 + rng.normal(size=90), label * 0.5 + rng.normal(size=90)
    for run, score in (("adam", good), ("moco", bad)):
        results.append(tmp_path / run / "results.jsonl", [with_scores(tmp_path / run, run, label, score)])
    done = vesalius("compare", tmp_path / "adam", tmp_path / "moco" / "results.jsonl", "--resamples", 999)
    (line,) = lines(done.out)
    assert (line["the first is"], line["n"], line["d_z"]) == ("better", "90", "–")
    assert float(line["first"]) == pytest.approx(roc_auc_score(label, good), abs=1e-3)
    assert float(line["p"]) == 0.001


def test_ap_is_not_auc(tmp_path):
    label, score = np.arange(60) % 3 == 0, generator(5).normal(size=(2, 60))
    value = [average_precision_score(label, s) for s in score]
    some = [with_scores(tmp_path, r, label, s, v, "ap") for r, s, v in zip(("a", "b"), score, value, strict=True)]
    results.append(tmp_path / "results.jsonl", some)
    found = only(open_results([tmp_path]), "a", "b", resamples=99)
    assert (found.of_a, found.of_b, found.difference.n) == (pytest.approx(value[0]), pytest.approx(value[1]), 60)


def test_scores_of_another_measurement_are_refused(tmp_path):
    label = np.arange(20) % 2
    made = [with_scores(tmp_path, "adam", label, label + 0.1, value=0.7), with_scores(tmp_path, "moco", label, label)]
    results.append(tmp_path / "results.jsonl", made)
    assert "adam-.npz: gives auc 1.0000, its row says 0.7000" in vesalius("compare", tmp_path).error
    (tmp_path / "adam-.npz").write_bytes(b"no arrays")
    assert "adam-.npz: holds no scores of patients" in vesalius("compare", tmp_path).error
    np.savez(tmp_path / "adam-.npz", patient=["p000"] * 20, label=label, score=label)
    made[0] = replace(made[0], value=1.0)
    results.write(tmp_path / "results.jsonl", made)
    assert "other images or labels" in vesalius("compare", tmp_path).error


def test_numbers_without_patients_are_compared_over_trainings_or_not_at_all():
    runs = [Row(run=run, measure="linear", name="auc", value=v, seed=s) for run, some in (("a", (0.7, 0.71, 0.72)), ("b", (0.5, 0.51, 0.53))) for s, v in enumerate(some)]  # fmt: skip  # noqa: E501
    (line,) = lines(compare(runs))
    assert (line["the first is"], line["n"], line["p"]) == ("better", "–", line["p, t over trainings"])
    assert "trainings alone" in line["notes"]
    text = compare([runs[0], runs[3]])
    assert lines(text) == []
    assert "Not compared: 1 numbers" in text


def test_what_is_neither_good_nor_bad_or_undefined_is_left_out():
    some = rows("adam", [0.1, np.nan]) + rows("adam", [0.9], "cosine")
    ((task, runs),) = tasks(some).items()
    assert task == Task("wingspan", "", "", Quantity("finetune", "dice", structure="heart"))
    assert [row.value for row in runs["adam"]] == [0.1]


def test_each_pair_or_those_with_one():
    some = rows("adam", EASY + 0.1) + rows("moco", EASY) + rows("random", EASY - 0.1)
    assert [line["the first is"] for line in lines(compare(some))] == ["better"] * 3
    against = compare(some, against="adam")
    assert [line["the first is"] for line in lines(against)] == ["worse"] * 2
    assert "## moco against adam" in against


def test_ranks_of_three_runs_are_drawn(tmp_path):
    some = rows("adam", EASY + 0.1) + rows("moco", EASY) + rows("random", EASY + np.where(np.arange(24) % 2, 0.01, -0.01))  # fmt: skip  # noqa: E501
    ((task, runs),) = tasks(some).items()
    found = critical.ranked(task, runs)
    assert found.means == (1, 2.5, 2.5)
    assert found.cliques() in ([("moco", "random")], [("random", "moco")])
    results.append(tmp_path / "results.jsonl", some)
    assert vesalius("compare", tmp_path, "--out", tmp_path / "page.md").out == f"{tmp_path / 'page.md'}\n"
    assert "](page.png)" in (tmp_path / "page.md").read_text("utf-8")
    assert (tmp_path / "page.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_runs_of_one_name_are_told_apart_unless_they_are_the_same(tmp_path):
    for folder, gain in (("a", 0.0), ("b", 0.1)):
        results.append(tmp_path / folder / "results.jsonl", rows("adam", EASY + gain) + rows("random", EASY))
    found = open_results([tmp_path / "a", tmp_path / "b"])
    assert {row.run for row in found} == {"adam (a)", "adam (b)", "random (a)"}
    assert len(found) == 72


def test_filters_choose_and_say_what_there_is(tmp_path):
    some = [r for run in ("adam", "moco") for n in ("dice", "iou") for s in (3, 6) for r in rows(run, EASY, n, shots=s)]
    results.append(tmp_path / "results.jsonl", some)
    text = vesalius("compare", tmp_path, "--name", "iou", "--shots", 3, "--resamples", 99).out
    assert [line["number"] for line in lines(text)] == ["finetune: iou, heart, 3 labelled"]
    assert "no row has the name dcie. There are: dice, iou." in vesalius("compare", tmp_path, "--name", "dcie").error


@pytest.mark.parametrize(
    ("made", "words", "message"),
    [
        ([], [], "there are no numbers to compare"),
        (rows("adam", EASY), [], "there is only the run adam"),
        (rows("adam", EASY) + rows("moco", EASY, "iou"), [], "share no number"),
        (rows("adam", EASY) + rows("moco", EASY), ["--against", "mocco"], "unknown run mocco. Did you mean moco?"),
        (rows("adam", EASY) + rows("moco", EASY), ["--out", "page.html"], "does not end in .md"),
        (rows("adam", EASY) + rows("moco", EASY), ["--resamples", "9"], "99 at least"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path, made, words, message):
    results.append(tmp_path / "results.jsonl", made)
    (tmp_path / "results.jsonl").touch()
    assert message in vesalius("compare", tmp_path, *words).error


def test_missing_files_are_named(tmp_path):
    assert f"{tmp_path / 'results.jsonl'}: cannot be read" in vesalius("compare", tmp_path).error
    assert "no run given" in vesalius("compare").error
    with pytest.raises(SettingError, match="only the run"):
        compare(rows("adam", EASY))


def test_no_verdict_without_an_interval():
    found = only(rows("adam", [0.9]) + rows("moco", [0.1]))
    assert (found.difference.n, found.p, replace(found, corrected=0.0).verdict) == (1, 1.0, NOTHING)
    assert replace(found, corrected=0.0, difference=Interval(0.8, 0.7, 0.9, 1)).verdict == "better"
