"""README and docs tell the truth: their code runs, page by page, and their links lead somewhere.

Blocks of `sh` and `python` are run in order, in one empty folder a page; neighbouring blocks of Python are one program.
`no-test: REASON` after the language leaves a block out. The reference names every command, flag and setting.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import fields
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from fakes.command import vesalius
from vesalius import cli, methods
from vesalius.checkpoint import Card
from vesalius.data import datasets
from vesalius.results import Row
from vesalius.train.folder import MAY_DIFFER
from vesalius.train.run import Run, configure

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w*)[ \t]*(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def script(page: Path, folder: Path) -> str:
    """All blocks of a page as one of bash; each program of Python is a file that it calls, with the page's line numbers."""
    text, lines = page.read_text(encoding="utf-8"), list[str]()
    program: Path | None = None
    for block in BLOCK.finditer(text):
        language, note, code = block.groups()
        above = text.count("\n", 0, block.start(3))
        if language not in ("sh", "python") or note.startswith("no-test: "):
            continue
        if language == "sh":
            program = None
            lines += [f"echo '--- {page.name}, line {above + 1}'", code]
            continue
        if program is None:
            program = folder / f"{page.stem}{above + 1}.py"
            program.touch()
            lines += [f"echo '--- {page.name}, line {above + 1}'", f"python {program}"]
        with program.open("r+") as file:
            before = file.read().count("\n")
            file.write("\n" * (above - before) + code)
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_of_code_runs(page: Path, tmp_path: Path) -> None:
    (work := tmp_path / "work").mkdir()
    (commands := tmp_path / "blocks.sh").write_text(script(page, tmp_path))
    own = {"OMP_NUM_THREADS": "1", "VESALIUS_CACHE": str(tmp_path / "cache")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **own, "PATH": path}
    done = subprocess.run(["bash", "-e", commands], cwd=work, env=environment, capture_output=True, text=True)
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


def headings(page: Path) -> set[str]:
    """What a link to a page may say after #."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_into_pages_name_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([\w./-]*\.md)?#([\w-]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in headings(page.parent / target if target else page), anchor


def test_pictures_are_small() -> None:
    assert sum(picture.stat().st_size for picture in ROOT.glob("docs/pictures/*.png")) < 300_000


def section(title: str) -> str:
    """Of the reference, from a heading to the next."""
    return re.split(r"^##+ ", REFERENCE.partition(f"# {title}")[2], maxsplit=1, flags=re.MULTILINE)[0]


def unnamed(names: Iterable[str], text: str = REFERENCE) -> list[str]:
    """Those that do not stand in backticks."""
    return [name for name in names if f"`{name}`" not in text]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_reference_names_every_flag_of_a_command(command: str) -> None:
    assert (own := section(f"vesalius {command}"))
    flags = set(re.findall(r"(?<!\S)--(?!no-)[a-z]\S*?(?=[\s,\]])", vesalius(command, "--help").out)) - {"--help"}
    assert not unnamed(flags, own)


def rows(settings: Any, prefix: str = "--") -> list[str]:
    """How the reference begins the line of each setting: its flag, * where a resumed run may change it, its default."""
    lines = []
    elsewhere = ("name", "method", "data", "optim", "probe")
    for name in (field.name for field in fields(settings) if field.name not in elsewhere):
        value = getattr(settings, name)
        shown = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(shown)
        free = " *" if name in MAY_DIFFER and prefix == "--" else ""
        lines.append(f"| `{prefix}{name.replace('_', '-')}`{free} | {shown} | ".replace("|  |", "| |"))
    return lines


@pytest.mark.parametrize("name", methods.names())
def test_the_reference_gives_every_setting_and_its_default(name: str) -> None:
    module = methods.find(name)
    run, title = Run(name, module.Config()), (module.__doc__ or "").partition(":")[0]
    assert [row for row in rows(run) if row not in section("Settings of pretrain")] == []
    assert [row for row in rows(run.optim, "--optim.") if row not in section("Optimiser")] == []
    assert [row for row in rows(run.probe, "--probe.") if row not in section("Probes")] == []
    assert [row for row in rows(run.method, "--method.") if row not in section(title)] == []
    own = configure(name, {})  # with what the method itself sets of the run
    changed = {*rows(own), *rows(own.optim, "--optim.")} - {*rows(run), *rows(run.optim, "--optim.")}
    assert [row for row in changed if row.replace(" *", "") not in section(title)] == []


@pytest.mark.parametrize("name", datasets.names())
def test_the_reference_names_every_data_set_and_its_options(name: str) -> None:
    options = [
        field.name for field in fields(import_module(f"{datasets.__name__}.{name}").Dataset) if field.name != "root"
    ]
    line = next(line for line in section("Data\n").splitlines() if line.startswith(f"| `{name}` |"))
    assert not unnamed(options, line)


def test_the_reference_names_what_files_hold(tiny_run: Path) -> None:
    lines = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    assert not unnamed(path.name for path in tiny_run.iterdir())
    assert not unnamed(chain.from_iterable(lines), section("metrics.jsonl"))
    assert not unnamed((field.name for field in fields(Card)), section("The card"))
    assert not unnamed((field.name for field in fields(Row)), section("Rows of results"))
