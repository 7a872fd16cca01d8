"""The command line: names to functions, help at once, one line for what is wrong."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vesalius as front_door
from fakes.command import vesalius
from vesalius import cli
from vesalius.errors import SettingError

HEAVY = "{'torch', 'pandas', 'numpy', 'sklearn', 'scipy', 'tyro', 'rich', 'lightning_fabric', 'PIL', 'blosc2'}"


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_help_names_every_command(words: tuple[str, ...]) -> None:
    done = vesalius(*words)
    assert done.status == 0
    assert all(f"\n  {name} " in done.out for name in cli.COMMANDS)


def test_help_answers_within_a_second() -> None:
    seconds = []
    for _ in range(3):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "vesalius.cli", "--help"], check=True, capture_output=True)
        seconds.append(time.monotonic() - begun)
    assert min(seconds) < 1


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, vesalius, vesalius.cli as c; c.main(['--help']); sys.exit(str({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr.strip() == "set()"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = vesalius(name, "--help")
    assert done.status == 0
    assert "usage: vesalius" in done.out or name == "list"


@pytest.mark.parametrize("method", ["adam", "moco"])
def test_help_of_a_method_lists_its_settings(method: str) -> None:
    done = vesalius("pretrain", method, "--help")
    assert done.status == 0
    assert all(flag in done.out for flag in ("--method.bank", "--optim.lr", "--batch", "--resume"))


def test_version_and_list() -> None:
    assert vesalius("--version").out == f"vesalius {front_door.__version__}\n"
    listed = dict(line.split(": ") for line in vesalius("list").out.splitlines())
    assert {"adam", "moco"} <= set(listed["methods"].split(", "))
    assert {"folder", "phantom"} <= set(listed["data sets"].split(", "))
    assert "resnet50" in listed["backbones"]
    assert "demo" in listed["recipes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pretrian",), "unknown command pretrian. Did you mean pretrain"),
        (("pretrain", "--out", "x"), "no method given. usage: vesalius pretrain METHOD DATA"),
        (("pretrain", "adam"), "setting out is empty. Give the run's folder: --out runs/NAME."),
        (("pretrain", "adam", "--out"), "Missing value for argument '--out'"),
        (("pretrain", "adam", "--config"), "--config names no file."),
        (("pretrain", "--config", "--resume"), "--config names no file."),
        (("run",), "no recipe given. Recipes: "),
        (("run", "dmeo"), "unknown recipe dmeo. Did you mean demo or demo_3d?"),
        (("embed",), "Missing from vesalius embed: RUN"),
        (("embed", "run", "phantom", "--kind", "globl", "--out", "x.npz"), "invalid choice 'globl'"),
        (("export", "run"), "--out"),
        (("prepare", "phantom", "--ndim", "4"), "ndim is 2 or 3"),
        (("prepare", "phantom", "--size", "0"), "size at least 1"),
        (("inspect",), "DATA"),
        (("inspect", "phantm:"), "unknown data set 'phantm'. Did you mean 'phantom'?"),
        (("inspect", "phantom:?bodis=3"), "has no option 'bodis'. Did you mean 'bodies'?"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: tuple[str, ...], message: str) -> None:
    done = vesalius(*words)
    assert message in done.error
    assert done.status == 2


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(words: list[str]) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(cli.COMMANDS, "list", broken)
    with pytest.raises(ZeroDivisionError):
        vesalius("list")


def test_ctrl_c_is_not_an_error_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "list", interrupted)
    done = vesalius("list")
    assert (done.status, done.err.count("\n")) == (130, 1)


def test_a_reader_that_leaves_early_is_not_an_error_page() -> None:
    words = [sys.executable, "-m", "vesalius.cli", "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        assert child.stderr.read() == b""


def test_the_command_line_and_python_take_the_same_words(tmp_path: Path, radiographs: Path, cache: Path) -> None:
    words = (
        "--backbone resnet18 --batch 8 --max-steps 1 --holdout 0 --threads 1 --workers 0 --method.size 4 --optim.lr 0.1"
    )
    more = (radiographs, "--cache", cache, "--out", tmp_path / "words")
    assert vesalius("pretrain", "fakes.contrast", *more, *words.split()).status == 0
    front_door.pretrain(
        "fakes.contrast", str(radiographs), out=tmp_path / "python", cache=str(cache), backbone="resnet18", batch=8,
        max_steps=1, holdout=0, threads=1, workers=0, method={"size": 4}, optim={"lr": 0.1},
    )  # fmt: skip
    a, b = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("words", "python"))
    assert {**a, "out": ""} == {**b, "out": ""}
    again = vesalius("pretrain", "--config", tmp_path / "words" / "config.json", "--out", tmp_path / "again")
    assert again.status == 0
    assert {**json.loads((tmp_path / "again" / "config.json").read_text()), "out": ""} == {**a, "out": ""}
    with pytest.raises(SettingError, match=r"unknown setting optim.rl. Did you mean lr"):
        front_door.pretrain("adam", "phantom", out=tmp_path / "x", optim={"rl": 0.1})
