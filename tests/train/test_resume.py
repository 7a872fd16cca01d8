"""A run stopped anywhere and resumed is the run that was never stopped, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

SETTINGS = (
    "--backbone resnet18 --size 64 --holdout 0 --batch 8 --epochs 2 --threads 1 --save-steps 1 --log-steps 1 "
    "--method.size 32 --method.bank 16 --method.groups 2 --method.levels 0 2"
).split()
DATA = "phantom:?bodies=16&size=64"  # 2 stages of 2 epochs of 2 steps


def start(out: Path, cache: Path, *more: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "VESALIUS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vesalius.cli", "pretrain", "adam", DATA, "--out", str(out), *SETTINGS, *more]
    # Into a file: a pipe would stay open while workers of a killed process are still going away.
    with open(out.with_suffix(".said"), "w") as said:
        return subprocess.Popen(command, env=environment, stderr=said, stdout=said, text=True)


def finish(out: Path, process: "subprocess.Popen[str]") -> str:
    process.wait(timeout=240)
    return f"{process.returncode} {out.with_suffix('.said').read_text()}"


def wait_for_step(out: Path, step: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 240
    metrics = out / "metrics.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and metrics.read_text().count("\n") >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached: {finish(out, process)}")


def same(a: Path, b: Path) -> bool:
    """Whether two files of weights are bit-identical."""
    one, two = load_file(a), load_file(b)
    return one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The run that was never stopped, without loader workers."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert finish(out, start(out, cache, "--workers", "0")).startswith("0")
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("step", "before", "after"), [(3, "1", "2"), (5, "2", "0")])
def test_killed_and_resumed_is_bit_identical(
    tmp_path: Path, cache: Path, whole: Path, step: int, before: str, after: str
) -> None:
    out = tmp_path / "killed"
    process = start(out, cache, "--workers", before)
    wait_for_step(out, step, process)
    process.kill()
    finish(out, process)
    assert not (out / "encoder.safetensors").exists()
    assert finish(out, start(out, cache, "--workers", after, "--resume")).startswith("0")
    assert same(out / "last.safetensors", whole / "last.safetensors")
    assert same(out / "encoder.safetensors", whole / "encoder.safetensors")
    steps = [json.loads(line)["total_step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 9))


@pytest.mark.slow
def test_sigterm_saves_and_exits_143(tmp_path: Path, cache: Path, whole: Path) -> None:
    out = tmp_path / "stopped"
    process = start(out, cache, "--workers", "0", "--save-minutes", "60")
    wait_for_step(out, 2, process)
    process.send_signal(signal.SIGTERM)
    said = finish(out, process)
    assert said.startswith("143")
    assert "--resume" in said
    assert finish(out, start(out, cache, "--workers", "0", "--resume")).startswith("0")
    assert same(out / "encoder.safetensors", whole / "encoder.safetensors")


def test_an_existing_run_is_not_written_over(cache: Path, whole: Path) -> None:
    said = finish(whole, start(whole, cache))
    assert said.startswith("2 ")
    assert "holds a run already" in said
