"""What several test files share: a cache of prepared images, and one tiny run of Adam made once a process."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import folder
from fakes.command import vesalius

TINY = (
    "--backbone resnet18 --size 64 --epochs 1 --max-steps 1 --batch 8 --threads 1 --workers 0 --device cpu "
    "--method.size 32 --method.bank 16 --method.groups 2 --method.levels 0"
)


@pytest.fixture(autouse=True)
def own_arithmetic() -> Iterator[None]:
    """Denormal numbers are flushed by a test that asks for it, not by those after it: hypothesis refuses to work then."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root for prepared images; see also `own_cache`."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and $VESALIUS_CACHE says so."""
    monkeypatch.setenv("VESALIUS_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 images of 8 patients in their folders."""
    return folder.write(tmp_path_factory.mktemp("data") / "radiographs", patients=8)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, radiographs: Path, cache: Path) -> Any:
    """The folder of a finished run of one step; do not change it."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    spec = f"{radiographs}?manifest=manifest.csv"
    done = vesalius("pretrain", "adam", spec, "--out", out, "--cache", cache, *TINY.split())
    assert done.status == 0, done
    return out
