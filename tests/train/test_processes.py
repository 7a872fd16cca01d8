"""Two processes equal one: the same loss, bank and weights, and the bank identical on both.

In fp64, because a random ResNet with batch norm is chaotic: in fp32, weights that differ by one part in ten million already
give gradients that differ by one in five hundred (measured), whatever the number of processes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SETTINGS = (
    "--backbone resnet18 --size 96 --holdout 0 --batch 16 --epochs 3 --max-steps 3 --threads 1 --workers 0 --log-steps 1 "
    "--method.size 64 --method.bank 32 --method.levels 2 --precision fp64 --optim.lr 0.001"
).split()
DATA = "phantom:?bodies=24&size=96"


def train(out: Path, cache: Path, processes: int, groups: int) -> None:
    environment = {**os.environ, "VESALIUS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    words = ["-m", "vesalius.cli", "pretrain", "adam", DATA, "--out", str(out), *SETTINGS]
    words += ["--devices", str(processes), "--method.groups", str(groups), "--device", "cpu"]
    command = [sys.executable, *(launcher if processes > 1 else []), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 2])
def test_two_processes_equal_one(tmp_path: Path, groups: int) -> None:
    for processes in (1, 2):
        train(tmp_path / f"run{processes}", tmp_path / "cache", processes, groups)
    rows = [
        [json.loads(line) for line in (tmp_path / f"run{n}" / "metrics.jsonl").read_text().splitlines()] for n in (1, 2)
    ]
    logs = [[row["loss"] for row in some if "loss" in row] for some in rows]
    assert logs[0] == pytest.approx(logs[1], abs=1e-5)
    one, two = (load_file(tmp_path / f"run{n}" / "last.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(
            tensor.double(), two[name].double(), atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
