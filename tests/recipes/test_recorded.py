"""What recipes write down: it joins what stood there, and patients go by hashes that are the same on every machine."""

from pathlib import Path

import pytest

from fakes import kermany
from vesalius.data.cache import default_root, key_hash, salt_of
from vesalius.data.datasets import open_dataset
from vesalius.errors import DataError
from vesalius.recipes import recorded
from vesalius.recipes.tables import curves
from vesalius.results import Row, read


def test_what_stood_there_stays_unless_it_is_of_the_same(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        Row(measure="linear", name="dice", value=0.5, run=run, patient="a", shots=3, draw=0, seed=1)
        for run in ("one", "two")
    ]
    recorded.join(path, rows)
    again = Row(measure="linear", name="dice", value=0.7, run="two", patient="a", shots=3, draw=0, seed=9, parameters=4)
    other = Row(measure="linear", name="dice", value=0.1, run="two", patient="a", shots=3, draw=1, seed=1)
    recorded.join(path, [again, other])
    assert read(path) == [rows[0], again, other]


def test_a_seed_tells_rows_apart_where_there_are_no_draws(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [Row(measure="organs", name="knn", value=0.5, run="random", seed=seed) for seed in (0, 1)]
    for row in rows:
        recorded.join(path, [row])
    assert read(path) == rows


def test_patients_have_the_same_hash_whatever_the_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"kermany:{kermany.write(tmp_path / 'data')}"
    data = open_dataset(source)
    patient = data.patient(data.ids[0])
    written = set[str]()
    for machine in ("here", "there"):
        monkeypatch.setenv("VESALIUS_CACHE", str(tmp_path / machine))
        written.add(recorded.public([source])(key_hash(salt_of(default_root()), patient)))
    assert written == {key_hash(recorded.KEY, patient)[:8]}
    assert recorded.public([source])("") == ""
    with pytest.raises(DataError, match=r"patient 0123abcd of the rows.*VESALIUS_CACHE"):
        recorded.public([source])("0123abcd" * 4)


def test_curves_of_other_runs_stay() -> None:
    head = "run,step\n"
    assert curves.joined("", head + "a,1\n") == head + "a,1\n"
    assert curves.joined(head + "a,1\nb,1\nb,2\n", head + "b,5\n") == head + "a,1\nb,5\n"
