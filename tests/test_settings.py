from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from vesalius.errors import SettingError
from vesalius.settings import ascending, from_dict, least, replace, to_dict, within


@dataclass(frozen=True)
class Inner:
    lr: float = 0.03
    kind: Literal["sgd", "adamw"] = "sgd"


@dataclass(frozen=True)
class Outer:
    name: str
    levels: tuple[int, ...] = (0, 2, 4)
    out: Path | None = None
    workers: int | Literal["auto"] = "auto"
    optim: Inner = field(default_factory=Inner)


def test_what_is_written_comes_back() -> None:
    config = Outer("adam", (0, 1), Path("runs/a"), 2, Inner(0.1, "adamw"))
    assert from_dict(Outer, to_dict(config)) == config


def test_nested_values_replace_only_themselves() -> None:
    changed = replace(Outer("adam"), {"optim": {"lr": 1}, "levels": [0]})
    assert changed == Outer("adam", (0,), optim=Inner(1.0))
    assert isinstance(changed.optim.lr, float)


def test_an_unknown_key_names_its_neighbour() -> None:
    with pytest.raises(SettingError, match=r"optim\.lrr.*Did you mean lr\?"):
        replace(Outer("adam"), {"optim": {"lrr": 1}})


@pytest.mark.parametrize(
    "wrong",
    [{"levels": "0"}, {"levels": [0.5]}, {"workers": 1.5}, {"workers": "many"}, {"workers": True}, {"optim": 3}],
)
def test_a_wrong_type_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError, match="setting"):
        replace(Outer("adam"), wrong)


def test_a_literal_lists_its_choices() -> None:
    with pytest.raises(SettingError, match="'sgd', 'adamw'"):
        replace(Outer("adam"), {"optim": {"kind": "lion"}})


def test_a_missing_required_setting_is_named() -> None:
    with pytest.raises(SettingError, match="setting name is missing"):
        from_dict(Outer, {})


def test_bounds_hold_for_numbers_and_tuples_and_pass_words_over() -> None:
    config = Outer("adam", levels=(0, 5), optim=Inner(lr=float("nan")))
    least(config, 0, "levels", "workers")
    within(config, 0, 5, "levels", "workers")
    with pytest.raises(SettingError, match=r"setting levels is \(0, 5\). It must be at least 1."):
        least(config, 1, "levels")
    with pytest.raises(SettingError, match=r"It must be from 0 to 4."):
        within(config, 0, 4, "levels")
    with pytest.raises(SettingError, match=r"setting optim.lr is nan"):
        least(config.optim, 0, "lr", where="optim.")
    ascending(config, "levels")
    with pytest.raises(SettingError, match="in this order"):
        ascending(replace(config, {"levels": [5, 0]}), "levels")
