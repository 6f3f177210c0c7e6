"""What the scripts are told: names that begin with "-", and the ranges of options and settings."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pytest

from utils.cli import (
    LEVEL,
    PROMPT,
    SECONDS,
    SHARE,
    TEXT,
    Parser,
    add_eval_options,
    add_run_options,
    at_least,
    check_setting,
    one_of,
    settings_of,
    several,
)
from utils.errors import UserError

CLIP = "-SxV944iB48.jpg"


@pytest.fixture
def parser(tmp_path, monkeypatch):
    """Options of every form, in a folder that holds files named like options and like none."""
    monkeypatch.chdir(tmp_path)
    for name in (CLIP, "--json", "-1", "-o"):
        Path(name).touch()
    parser = Parser()
    parser.add_argument("--img_path", type=Path)
    parser.add_argument("--image_size", type=at_least(1))
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("folders", nargs="*", type=Path)
    return parser


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--img_path", CLIP], {"img_path": Path(CLIP)}),
        ([f"--img_path={CLIP}"], {"img_path": Path(CLIP)}),
        (["--json", "--img_path", CLIP], {"img_path": Path(CLIP), "json": True}),
        (["--img_path", "-1"], {"img_path": Path("-1")}),
        (["--img_path", "-not_there.jpg"], {"img_path": Path("-not_there.jpg")}),
        (["--img_path", "--json"], {"img_path": Path("--json"), "json": False}),  # what must be a value is one
        (["--json", "--img_path", "a.jpg"], {"img_path": Path("a.jpg"), "json": True}),  # and nothing else
        ([CLIP, "a", "-o"], {"folders": [Path(CLIP), Path("a"), Path("-o")]}),
        (["--img_path=a.jpg", CLIP], {"img_path": Path("a.jpg"), "folders": [Path(CLIP)]}),
        (["--methods", "a", "b", "--", CLIP], {"methods": ["a", "b"], "folders": [Path(CLIP)]}),
    ],
)
def test_names_that_begin_with_a_dash_are_read_where_they_can_be_no_option(parser, words, expected):
    found = vars(parser.parse_args(words))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--img_path", "--methods", "a"], "argument --img_path: expected one argument"),
        (["--img_path"], "argument --img_path: expected one argument"),
        (["--imgpath", "a"], "unrecognized arguments: --imgpath"),
        (["--im", "a"], "ambiguous option: --im"),
        (["--img_path=a.jpg", "-new"], "unrecognized arguments: -new"),
        (["--image_size", "-1"], "expected a whole number from 1 up, found '-1'"),
        (["--image_size", "-x"], "expected a whole number from 1 up, found '-x'"),
    ],
)
def test_options_stay_options(parser, words, sentence, capsys):
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(words)
    assert exit_.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--test_data_path", "--output_dir", "--cache", "--config"])
def test_every_path_of_eval_may_begin_with_a_dash(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    Path("-there").mkdir()
    parser = Parser()
    add_run_options(parser, ["cross_modal"])
    add_eval_options(parser, [], needs_data=False)
    for name in ("-there", "-new"):
        assert str(vars(parser.parse_args([option, name]))[option[2:]]) == name


@pytest.mark.parametrize("seed", ["-1", "1.5", "nan", "one", ""])
def test_a_seed_is_a_whole_number_from_0_up(seed, capsys):
    parser = Parser()
    add_run_options(parser, [])
    with pytest.raises(SystemExit):
        parser.parse_args(["--seed", seed])
    assert f"expected a whole number from 0 up, found {seed!r}" in capsys.readouterr().err
    assert parser.parse_args(["--seed", "0"]).seed == 0


class Example:
    """Settings of every kind."""

    def __init__(
        self,
        models: dict,
        *,
        count: Annotated[int, at_least(1)] = 1,
        share: Annotated[float, SHARE] = 0.5,
        level: Annotated[float, LEVEL] = -60.0,
        seconds: Annotated[float | None, SECONDS] = None,
        how: Annotated[str, one_of("auto", "never")] = "auto",
        prompt: Annotated[str, PROMPT] = "{}",
        scales: Annotated[Sequence[int], several(at_least(32))] = (320, 448),
        words: Annotated[Sequence[str] | None, several(TEXT)] = None,
        plain: float = 1.0,
        switch: bool = True,
        name: str = "",
    ) -> None: ...


@pytest.mark.parametrize(
    ("name", "good", "bad", "range_"),
    [
        ("count", [1, 10**30], [0, -1, 1.0, "1", True, None, math.nan], "a whole number from 1 up"),
        ("share", [0, 1, 0.25], [-0.1, 1.1, math.nan, math.inf, "0.5", False], "a number from 0 to 1"),
        ("level", [0, -60, -math.inf], [1, math.nan, math.inf, "low"], "a number from -.inf to 0, of dBFS"),
        ("seconds", [None, 0.1, 3600], [-3, 0, math.nan, 1e9, "x"], "a number from 0.1 to 3600, of seconds"),
        ("how", ["auto", "never"], ["image", "", 1, None], "one of auto, never"),
        ("prompt", ["a {}"], ["a", "{} {}", 5, None], 'a sentence with one "{}" for the word'),
        ("scales", [[32], (64, 320)], [[], 320, [31], ["320"], "320", [math.nan], [True]], "a list, each a whole numb"),
        ("words", [None, ["a"], ("b",)], ["ab", [], [1], {"a": 1}, 5], "a list, each a text"),
        ("plain", [1, -2.5], ["1", True, None], "of the kind of its default 1.0"),
        ("switch", [True, False], [0, 1, "no"], "of the kind of its default True"),
        ("name", ["", "a"], [1, None, ["a"]], "of the kind of its default ''"),
    ],
)
def test_a_setting_has_the_range_that_stands_beside_it(name, good, bad, range_):
    setting = settings_of(Example)[name]
    for value in good:
        check_setting(f"example.{name}", value, setting)
    for value in bad:
        with pytest.raises(UserError) as refused:
            check_setting(f"example.{name}", value, setting)
        assert str(refused.value).startswith(f"example.{name} must be {range_}"), value
        assert f"; found {value!r}" in str(refused.value)


def test_what_was_found_is_said_in_few_words():
    with pytest.raises(UserError) as refused:
        check_setting("example.name", ["word"] * 10**5, settings_of(Example)["name"])
    assert len(str(refused.value)) < 200


def test_settings_are_the_keyword_only_arguments():
    assert list(settings_of(Example))[:2] == ["count", "share"]
    assert settings_of(Example)["count"].kind is inspect.Parameter.KEYWORD_ONLY
