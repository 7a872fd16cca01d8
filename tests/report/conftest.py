"""One set of folders, as `anatomy` and `pretrain` would leave them, and the page made of it."""

import pytest
from plausible import write_results, write_run

from fakes.command import vesalius


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Two runs and their results; do not change them."""
    root = tmp_path_factory.mktemp("report")
    write_results(root / "anatomy", {"adam": 0.2, "moco": 0.0}, patients=6, small=True)
    write_run(root / "adam")
    write_run(root / "moco", name="moco", optim={"lr": 0.03})
    return root


@pytest.fixture(scope="session")
def html(folders):
    """The page of all three folders."""
    out = folders / "report.html"
    done = vesalius("report", *(folders / name for name in ("adam", "moco", "anatomy")), "--out", out)
    assert (done.status, done.out.strip()) == (0, str(out)), done
    return out.read_text("utf-8")
