"""A run that ends in an error ends: its loader's processes too, though an uncaught error keeps its frames alive."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, vesalius
vesalius.pretrain(
    "adam", "phantom:?bodies=8&size=64", out=sys.argv[1] + "/run", cache=sys.argv[1] + "/cache", workers=1, threads=1,
    backbone="resnet18", size=64, holdout=0.0, batch=8, epochs=20, optim={"lr": 1e30},
    method={"size": 32, "bank": 16, "groups": 2, "levels": (0,)},
)
"""


@pytest.mark.slow
def test_an_error_in_a_script_does_not_wait_for_loader_workers(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 1
    assert "bad_batch_rank0" in ended.stderr
