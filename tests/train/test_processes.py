"""Two processes equal one: the same loss, bank, weights and batch-norm statistics.

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

SHARED = "--holdout 0 --threads 1 --workers 0 --log-steps 1 --precision fp64 --optim.lr 0.001 --device cpu".split()
ADAM = "--backbone resnet18 --size 96 --batch 16 --epochs 3 --max-steps 3 --method.size 64 --method.bank 32 --method.levels 2"
PCRLV2 = (
    "--ndim 3 --backbone unet4x3 --batch 4 --max-steps 3 --epochs 2 --method.patch 16 16 8 --method.small-patch 8 8 8"
    " --method.small 1 --method.sizes 16 16 8 12 12 12 --method.small-sizes 8 8 8 --method.margin 0 0 0"
)
PCRL = "--backbone unet4x3 --size 64 --batch 8 --epochs 1 --method.size 32 --method.bank 16"
VOX2VEC = "--backbone fpn4x2 --batch 4 --max-steps 3 --method.patch 12 12 8 --method.pairs-per-volume 2"
BODIES = "phantom:?bodies=8&voxel=12&ndim=3"
CASES = {
    "adam, 1 group": ("adam", "phantom:?bodies=24&size=96", f"{ADAM} --method.groups 1"),
    "adam, 2 groups": ("adam", "phantom:?bodies=24&size=96", f"{ADAM} --method.groups 2"),
    "pcrlv2": ("pcrlv2", BODIES, f"{PCRLV2} --method.groups 1"),  # heads of undrawn scales idle
    "pcrl": ("pcrl", "phantom:?bodies=24&size=64", f"{PCRL} --method.groups 2"),  # partners are of other processes
    "vox2vec, 1 group": ("vox2vec", BODIES, f"{VOX2VEC} --checkpointing"),  # statistics in the backward pass too
    "vox2vec, 2 groups": ("vox2vec", BODIES, f"{VOX2VEC} --method.groups 2"),
}


def train(out: Path, cache: Path, processes: int, case: str) -> None:
    method, data, settings = CASES[case]
    environment = {**os.environ, "VESALIUS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    words = ["-m", "vesalius.cli", "pretrain", method, data, "--out", str(out), *SHARED, *settings.split()]
    words += ["--devices", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(tmp_path: Path, case: str) -> None:
    for processes in (1, 2):
        train(tmp_path / f"run{processes}", tmp_path / "cache", processes, case)
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
