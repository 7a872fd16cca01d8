"""What auto chooses; and denormal numbers become 0 on every thread that computes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import vesalius
from vesalius.train import machine
from vesalius.train.batches import Batches, load
from vesalius.train.run import configure

DENORMAL = np.array(1000, np.int32).view(np.float32)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """As many as before."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def flushed() -> float:
    """Share of a large denormal tensor that a multiplication by 1 makes 0; half of it is worked on by another thread."""
    return float((torch.from_numpy(np.full(2**20, DENORMAL)) * 1).eq(0).numpy().mean())


def before_and_after() -> tuple[float, float]:
    torch.set_num_threads(2)
    torch.set_flush_denormal(False)
    return flushed(), (machine.prepare(configure("adam", {"device": "cpu", "threads": 2})), flushed())[1]


def test_threads_that_earlier_work_has_started_flush_too() -> None:
    with ThreadPoolExecutor(1) as fresh:  # whose OpenMP threads are its own
        assert fresh.submit(before_and_after).result() == (0, 1)


def test_a_loader_worker_flushes_whoever_started_it() -> None:
    torch.set_flush_denormal(False)
    scans = [None, None]
    batches = Batches(scans, lambda *_: {"x": (torch.tensor(DENORMAL) * 1).numpy()}, None, 0, 2, 0)  # type: ignore[arg-type]
    assert [batch["x"].tolist() for batch in load(batches, 0, 1, workers=1, pin=False)] == [[0, 0]]
    assert batches[0]["x"].min() > 0


@pytest.mark.parametrize(("wish", "threads"), [("1", 1), ("99", 2), ("", 2), ("4,2", 2)])
def test_auto_takes_the_cores_unless_openmp_is_told_to_take_fewer(
    wish: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", wish)
    assert machine._threads("cpu", cores=4, processes=2) == threads


def test_the_callers_arithmetic_is_left_as_it_was(tmp_path: Path, own_cache: Path) -> None:
    seen = list[bool]()
    small = {"size": 16, "bank": 8, "groups": 1, "levels": (0,)}
    few = {"backbone": "resnet18", "batch": 4, "max_steps": 1, "holdout": 0.0, "threads": 1, "workers": 0, "size": 64}
    for before in (True, False):
        torch.set_flush_denormal(before)
        vesalius.pretrain("adam", "phantom:?bodies=4&size=64", out=tmp_path / str(before), method=small, **few)
        seen.append(machine.flushes_denormals())
    assert seen == [True, False]
