import json
import math
import subprocess
import sys

import pytest

from vesalius import results
from vesalius.errors import DataError
from vesalius.results import Row

ROWS = [
    Row(measure="locality", name="knn_accuracy", value=0.75, run="adam", patient="9f3c", seed=2, gflops=1.8),
    Row(measure="locality", name="silhouette", value=-0.125, structure="Rücken", parameters=11_176_512),
]


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    assert [results.append(path, ROWS[:1]), results.append(path, iter(ROWS[1:]))] == [1, 1]
    assert results.read(path) == ROWS
    assert [len(line) > 2 for line in path.read_text("utf-8").splitlines()] == [True, True]


def test_undefined_stays_undefined_and_is_valid_json(tmp_path):
    path = tmp_path / "results.jsonl"
    results.append(path, [Row(measure="m", name="n", value=math.nan)])
    assert json.loads(path.read_text())["value"] is None
    assert math.isnan(results.read(path)[0].value)


def test_infinite_is_no_result():
    with pytest.raises(ValueError, match="infinite"):
        Row(measure="m", name="n", value=math.inf)


@pytest.mark.parametrize("kept", [1, 20, -2])
def test_a_torn_last_line_is_left_out_and_does_not_hurt_the_next(tmp_path, kept):
    path = tmp_path / "results.jsonl"
    results.append(path, ROWS)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:kept])
    assert results.read(path) == ROWS[:1]
    results.append(path, ROWS[1:])
    assert results.read(path) == ROWS


def test_a_last_line_that_only_lacks_its_end_is_kept(tmp_path):
    path = tmp_path / "results.jsonl"
    results.append(path, ROWS[:1])
    path.write_bytes(path.read_bytes().rstrip())
    assert results.read(path) == ROWS[:1]
    results.append(path, ROWS[1:])
    assert results.read(path) == ROWS


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"measure":"m","name":"n","value":1,"colour":2}', "unknown key 'colour'"),
        ('{"measure":"m","name":"n"}', "missing key 'value'"),
        ('{"measure":"m","name":"n","value":"high"}', "'value' is 'high'"),
        ('{"measure":"m","name":"n","value":1,"seed":true}', "'seed' is True"),
        ('{"measure":"m","name":"n","value":1e999}', "'value' is inf"),
        ('{"measure":"m","name":"n","value":NaN}', "not JSON"),
        ("[1]", "not a row"),
        ("{", "not JSON"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, reason):
    path = tmp_path / "results.jsonl"
    path.write_text(f'{{"measure":"m","name":"n","value":1}}\n{line}\n')
    with pytest.raises(DataError, match=r"results\.jsonl: line 2") as caught:
        results.read(path)
    assert reason in str(caught.value)


def test_a_row_is_on_disk_before_the_next_is_measured(tmp_path):
    path = tmp_path / "results.jsonl"

    def measuring():
        yield ROWS[0]
        assert results.read(path) == ROWS[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.append(path, measuring())
    assert results.read(path) == ROWS[:1]


def test_unwritable_and_missing_name_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/results\.jsonl: cannot be written"):
        results.append(tmp_path / "file" / "results.jsonl", ROWS)
    with pytest.raises(DataError, match=r"absent\.jsonl: cannot be read"):
        results.read(tmp_path / "absent.jsonl")


def test_select_keeps_rows_that_agree_in_all_fields():
    assert results.select(ROWS, measure="locality") == ROWS
    assert results.select(ROWS, measure="locality", seed=2) == ROWS[:1]
    assert results.select(ROWS, run="adam", name="silhouette") == []


def test_a_full_disk_is_named_and_costs_no_row_that_was_there(tmp_path):
    path = tmp_path / "results.jsonl"
    results.append(path, ROWS)
    code = f"""
import resource, sys
from pathlib import Path
from vesalius import results
resource.setrlimit(resource.RLIMIT_FSIZE, ({path.stat().st_size + 20},) * 2)
try:
    results.append(Path(sys.argv[1]), results.read(Path(sys.argv[1])))
except results.DataError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout
    assert said == f"{path}: cannot be written (File too large). Check the path and the space left.\n"
    assert len(path.read_bytes().splitlines()) == 3
    assert results.read(path) == ROWS
    results.append(path, ROWS[:1])
    assert results.read(path) == [*ROWS, ROWS[0]]
