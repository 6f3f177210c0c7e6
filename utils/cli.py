"""What the scripts are told: the options of their command lines, and the settings of methods and families, with ranges.

A setting is a keyword-only argument of a class; its range stands beside it: `top_k: Annotated[int, at_least(1)] = 1`.
Without one it is whatever is of the kind of its default. None is taken where it is the default.
"""

from __future__ import annotations

import argparse
import inspect
import math
import os
import re
import reprlib
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import UserError

MOST_DRAWS = 100_000  # of the bootstrap; each is kept
DEFAULT_CONFIG = "pocket"  # a name in configs/, for whoever names none
HELP_WIDTH = 118  # characters
BULK = """\
without ground truth:
  Given folders, every image is paired with the sound of its name. --output then holds a mask for each, predictions.csv
  with a row for each pair and method, and index.html to look through. eval.py scores them where gt_seg/ is there.

examples:
  python inference_demo.py
  python inference_demo.py --methods cross_modal several --img_path photo.jpg --wav_path recording.wav
  python inference_demo.py --img_path DIR/image --wav_path DIR/wav --output predictions""".splitlines()


class Parser(argparse.ArgumentParser):
    """Takes a value that begins with "-", as the names of YouTube's clips do, for what it is.

    What follows an option that wants one value is that value, unless it is an option too and no file has its name;
    elsewhere, what is the name of a file and no option.
    """

    def format_help(self) -> str:
        """An epilog that takes reading files may be a function; its lines are left as they are."""
        if callable(self.epilog):
            self.formatter_class, self.epilog = argparse.RawDescriptionHelpFormatter, self.epilog()
        return super().format_help()

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """See `argparse.ArgumentParser.parse_known_args`, through which all parsing goes."""
        words: list[str] = []
        options = self._option_string_actions
        for word in sys.argv[1:] if args is None else args:
            before = options.get(words[-1]) if words else None
            known = any(name.startswith(word.partition("=")[0]) for name in options)
            there = word.startswith("-") and os.path.lexists(word)
            if before and before.nargs is None and word.startswith("-") and (there or not known):
                words[-1] += f"={word}"
            else:
                words.append(f"./{word}" if there and not known else word)
        return super().parse_known_args(words, namespace)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Adds --config and --set: which network plays which role, with which settings."""
    parser.add_argument(
        "--config",
        default=DEFAULT_CONFIG,
        metavar="NAME|PATH",
        help="which network plays which role, a file of configs/ (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="override settings of roles and methods, such as cross_modal.min_similarity=0.2",
    )


def add_run_options(parser: argparse.ArgumentParser, methods: Sequence[str]) -> None:
    """Adds --methods, of which the help names these, --config, --set, --device, --seed, --verify, --threshold."""
    add = parser.add_argument
    about = f"one or several connection strategies: {', '.join(methods)} (default: cross_modal)"
    add("--methods", "--method", nargs="+", default=["cross_modal"], metavar="NAME", help=about)
    add_config_options(parser)
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    add("--seed", type=at_least(0), metavar="N", help="for the methods that draw numbers (text_inversion)")
    about = "compare each mask with the sound once more; what fits less gives way to the next candidate"
    add("--verify", action="store_true", help=about)
    about = "the mask is where the score is above (default: %(default)s)"
    add("--threshold", type=THRESHOLD, default=0.5, metavar="T", help=about)


def add_demo_options(parser: argparse.ArgumentParser, methods: Sequence[str]) -> None:
    """Adds what inference_demo.py takes: what it is asked about, how, and where its pictures go."""
    add = parser.add_argument
    about = "an image, anything Pillow opens; or several, or folders of them"
    add("--img_path", type=PATH, nargs="+", metavar="FILE", help=about)
    about = "a sound, anything libsndfile or FFmpeg reads; or several, or folders of them, paired with images by name"
    add("--wav_path", type=PATH, nargs="+", metavar="FILE", help=about)
    add_run_options(parser, methods)
    about = "where the pictures go (default: %(default)s)"
    add("--output", type=Path, default=Path("outputs/demo"), metavar="DIR", help=about)
    add("--json", action="store_true", help="print the result as JSON and nothing else")
    _add_video_options(parser)
    _add_page_options(parser)


def _add_video_options(parser: argparse.ArgumentParser) -> None:
    """Adds what a video takes: --video, --fps, --look and --masks."""
    add = parser.add_argument_group("a video").add_argument
    about = "a video, anything FFmpeg reads; its own sound, or that of --wav_path, is heard around each moment"
    add("--video", type=Path, metavar="FILE", help=about)
    add("--fps", type=FPS, default=4.0, metavar="N", help="frames a second that get a mask (default: %(default)g)")
    about = "seconds from one look of the networks to the next, 0 for every frame (default: %(default)g)"
    add("--look", type=NOT_NEGATIVE, default=0.75, metavar="S", help=about)
    add("--masks", action="store_true", help="write the mask of each frame too, numbered from 1 as in AVSBench")


def _add_page_options(parser: argparse.ArgumentParser) -> None:
    """Adds what a page in a browser takes: --serve, --host, --port and --space."""
    add = parser.add_argument_group("a page").add_argument
    about = "serve a page to drop or record pictures, sounds and videos on (needs requirements-page.txt)"
    add("--serve", action="store_true", help=about)
    about = "who reaches it: an address of this machine, 0.0.0.0 for everybody (default: %(default)s, this machine)"
    add("--host", default="127.0.0.1", metavar="ADDRESS", help=about)
    add("--port", type=PORT, default=7860, metavar="N", help="(default: %(default)s)")
    about = "write a folder that is a Hugging Face Space with that page"
    add("--space", type=Path, metavar="DIR", help=about)


def more_help(methods: Mapping[str, str]) -> str:
    """What stands below the demo's options: a sentence on each method, how to predict in bulk, and three examples."""
    width = max(map(len, methods)) + 4
    told = [
        textwrap.fill(f"  {name:<{width - 2}}{about}", HELP_WIDTH, subsequent_indent=width * " ")
        for name, about in methods.items()
    ]
    return "\n".join(["methods:", *told, "", *BULK])


def add_eval_options(parser: argparse.ArgumentParser, baselines: Sequence[str], needs_data: bool) -> None:
    """Adds what eval.py alone takes: what it reads, where its results go, and what is measured how."""
    add = parser.add_argument
    about = "holds image/ wav/ gt_seg/, paired by stem"
    add("--test_data_path", type=Path, required=needs_data, metavar="DIR", help=about)
    add("--limit", type=at_least(1), metavar="N", help="only the first N samples by name")
    about = "where the results go (default: %(default)s)"
    add("--output_dir", type=Path, default=Path("outputs/eval"), metavar="DIR", help=about)
    add("--overwrite", action="store_true", help="replace the results of another run that are there")
    add("--skip_faults", action="store_true", help="leave out samples with faults, and name them")
    about = "measure the I-th of N parts only; the same command without it collects them all"
    add("--shard", type=shard, metavar="I/N", help=about)
    add("--save_visualizations", action="store_true", help="also draw every prediction over its image")
    about = "samples at a time, at most; smaller groups are kept whole; changes no score (default: %(default)s)"
    add("--batch_size", type=at_least(1), default=16, metavar="N", help=about)
    about = "processes that read files ahead (default: up to 4 beside a GPU, else 0)"
    add("--num_workers", type=at_least(0), metavar="N", help=about)
    about = "folder that keeps embeddings, captions, tags and inversions for later runs (default: none)"
    add("--cache", type=Path, metavar="DIR", help=about)
    about = "size of the cache at most, the oldest go first (default: %(default)g)"
    add("--cache_gb", type=POSITIVE, default=10.0, metavar="X", help=about)
    add = parser.add_argument_group("what is measured").add_argument
    about = "paper, avsbench, sweep, ssl, pairs, dataset, negatives (default: all that the data allow)"
    add("--protocols", nargs="+", default=[], metavar="NAME", help=about)
    add("--explain", nargs="*", metavar="NAME", help="say what each column of these protocols means, and end")
    about = "also score the same images with another sound: silence, noise, swap, offscreen"
    add("--audio_control", nargs="+", default=["original"], metavar="NAME", help=about)
    about = "trivial answers scored beside the methods; no name for none (default: %(default)s)"
    add("--baselines", nargs="*", default=list(baselines), metavar="NAME", help=about)
    about = "the pixels that are compared (default: %(default)s)"
    add("--resolution", choices=("224", "native"), default="224", help=about)
    about = "samples of a clip, consecutive by name, where no manifest says what belongs together"
    add("--group_size", type=at_least(1), metavar="N", help=about)
    about = "of the bootstrap; 0 for no intervals (default: %(default)s)"
    add("--draws", type=at_least(0, MOST_DRAWS), default=1000, metavar="N", help=about)


@dataclass(frozen=True)
class Range:
    """What an option or a setting can be, in words, and whether a value is that; for argparse it reads one."""

    words: str
    holds: Callable[[Any], bool]
    read: Callable[[str], Any] = str

    def __call__(self, text: str) -> Any:
        try:
            value = self.read(text)
        except ValueError:
            value = None
        if not self.holds(value):
            raise argparse.ArgumentTypeError(f"expected {self.words}, found {text!r}")
        return value


def at_least(least: int, most: float = math.inf) -> Range:
    """Whole numbers from `least` to `most`."""
    to = "up" if most == math.inf else f"to {most}"
    return Range(f"a whole number from {least} {to}", lambda x: type(x) is int and least <= x <= most, int)


def number(range_: str, holds: Callable[[float], bool]) -> Range:
    """Numbers for which `holds` is true, as for not-a-number it must not be; the range is what an error calls them."""
    return Range(f"a number {range_}", lambda x: (isinstance(x, float) or type(x) is int) and holds(x), float)


def one_of(*choices: str) -> Range:
    """One of these words."""
    return Range(f"one of {', '.join(choices)}", choices.__contains__)


def several(of: Range) -> Range:
    """Lists of at least one value that is in a range."""
    return Range(f"a list, each {of.words}", lambda x: isinstance(x, (list, tuple)) and x and all(map(of.holds, x)))


def one_or_several(of: Range) -> Range:
    """A value that is in a range, or a list of at least one such."""
    return Range(f"{of.words}, or a list of such", lambda x: of.holds(x) or several(of).holds(x))


PATH = Range("the name of a file or a folder", lambda x: x is not None, lambda text: Path(text) if text else None)
TEXT = Range("a text", lambda x: isinstance(x, str))
PROMPT = Range('a sentence with one "{}" for the word', lambda x: isinstance(x, str) and x.count("{}") == 1)
SOUND_PROMPT = Range(
    'a sentence with one "{}" for the noun or one "{sound}" for how it is heard',
    lambda x: isinstance(x, str) and x.count("{}") + x.count("{sound}") == 1,
)
POSITIVE = number("above 0", lambda x: 0 < x < math.inf)
NOT_NEGATIVE = number("from 0 up", lambda x: 0 <= x < math.inf)
SHARE = number("from 0 to 1", lambda x: 0 <= x <= 1)
THRESHOLD = number("from 0 to below 1", lambda x: 0 <= x < 1)
BETWEEN = number("above 0 and below 1", lambda x: 0 < x < 1)
SIMILARITY = number("from -1 up", lambda x: -1 <= x < math.inf)
LEVEL = number("from -.inf to 0, of dBFS", lambda x: x <= 0)
PORT = at_least(1, 65535)
FPS = number("above 0, at most 60", lambda x: 0 < x <= 60)
SECONDS = number("from 0.1 to 3600, of seconds", lambda x: 0.1 <= x <= 3600)


def settings_of(owner: type) -> dict[str, inspect.Parameter]:
    """The settings of a method or a family: the keyword-only arguments of its class; with `**settings`, its base's."""
    parameters = inspect.signature(owner, eval_str=True).parameters.values()
    inherits = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    own = {parameter.name: parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    return {**(settings_of(owner.__base__) if inherits else {}), **own}


def check_setting(name: str, value: Any, setting: inspect.Parameter) -> None:
    """Refuses, with a UserError that names it, its range and what was found, what a setting cannot be."""
    default = setting.default
    kinds = (int, float) if type(default) is float else (type(default),)
    of_its_kind = Range(f"of the kind of its default {default!r}", lambda x: type(x) in kinds)
    range_ = getattr(setting.annotation, "__metadata__", [of_its_kind])[0]
    if not range_.holds(value) and (value is not None or default is not None):
        raise UserError(f"{name} must be {range_.words}; found {reprlib.repr(value)}")


def shard(text: str) -> tuple[int, int]:
    """Reads "2/8", the second of eight shards, as (1, 8), for argparse."""
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"expected a shard such as 2/8, the second of eight, found {text!r}")
    return int(found[1]) - 1, int(found[2])
