"""README and docs tell the truth: their code runs, page by page, and their links lead somewhere.

Blocks of `sh` and `python` are run in order, in one empty folder a page. `no-test: REASON` after the language leaves one out.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.warm import Warm

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w*)[ \t]*(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Of the blocks: `vesalius` and `python` on the path."""
    with Warm() as warm:
        yield {**os.environ, "PATH": f"{warm.folder}:{os.environ['PATH']}"}


def script(page: Path, folder: Path) -> str:
    """All blocks of a page as one of bash; a block of Python is a file that it calls."""
    text, lines = page.read_text(encoding="utf-8"), list[str]()
    for block in BLOCK.finditer(text):
        language, note, code = block.groups()
        line = text.count("\n", 0, block.start()) + 1
        if language not in ("sh", "python") or note.startswith("no-test: "):
            continue
        lines.append(f"echo '--- {page.name}, line {line}'")
        if language == "python":
            (folder / f"line{line}.py").write_text(code)
            code = f"python {folder}/line{line}.py\n"
        lines.append(code)
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_of_code_runs(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    (work := tmp_path / "work").mkdir()
    (commands := tmp_path / "blocks.sh").write_text(script(page, tmp_path))
    settled = {**environment, "VESALIUS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(["bash", "-e", commands], cwd=work, env=settled, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_says_what_it_is(page: Path) -> None:
    for language, note, _ in BLOCK.findall(page.read_text(encoding="utf-8")):
        assert language in ("sh", "python", "json", "text", "mermaid")
        assert not note or re.fullmatch(r"no-test: \S.{8,}", note), note


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_pictures_are_small() -> None:
    assert sum(picture.stat().st_size for picture in ROOT.glob("docs/pictures/*.png")) < 300_000
