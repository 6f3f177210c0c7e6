"""One image and one sound in, the mask of what sounds out: with the picture, and the trail that led there.

Usage:
    python inference_demo.py
    python inference_demo.py --methods cross_modal --img_path input.jpg --wav_path input.wav
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import methods
from models.config import Config, load_config
from models.loading import load_models
from models.remembering import Memory
from utils.cli import Parser, add_run_options, add_video_options
from utils.errors import UserError, run_script
from utils.files import file_name, make_folder
from utils.media.drawing import draw_overlay, grey, save_png, shades, side_by_side
from utils.media.images import read_image_and_size, resize_mask, resize_score_map
from utils.media.sounds import level_db, read_recording, why_unheard
from utils.trails import describe_trail
from utils.types import Prediction, Sample

EXAMPLES = Path(__file__).resolve().parent / "datasets" / "examples"
EXAMPLE = "farm_dog"  # a stem of EXAMPLES
RESEARCH_CONFIGS = ("base", "paper", "large")  # published networks, for what the bundled ones do not know
NAMES_SHOWN = 5
LABEL_WIDTH = 15  # characters


@dataclass(frozen=True, eq=False)
class Answer:
    """What one method made of the input.

    Attributes:
        prediction: score map, queries and trail.
        mask: (H, W) bool, at the image's own size.
        files: "overlay", "mask" and "score_map", each the path of a PNG of the image's own size; of a large image, the
            overlay has the size that it is worked on.
        near_miss: what was nearly found and what to try, labels and texts; empty where something was found.
    """

    prediction: Prediction
    mask: np.ndarray
    files: Mapping[str, Path]
    near_miss: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Demo:
    """What a run of the demo made.

    Attributes:
        answers: method name -> its answer, in the order asked for.
        comparison: path of the picture with all methods side by side; None for one method.
    """

    answers: Mapping[str, Answer]
    comparison: Path | None


def main(argv: Sequence[str] | None = None) -> Demo:
    """Runs what a command line describes: arguments without the script's name, or the process's own.

    Raises:
        UserError: a name, a setting or a file is wrong.
    """
    arguments = parse_arguments(argv)
    if arguments.video:
        return main_video(arguments)
    img_path, wav_path = input_paths(arguments.img_path, arguments.wav_path)
    names = list(dict.fromkeys(arguments.methods))
    if arguments.verify:
        arguments.set = [*methods.verifying(names), *arguments.set]
    roles = [role for name in names for role in methods.requires(name)]
    sample, remarks = read_sample(img_path, wav_path)
    make_folder(arguments.output)

    config = load_config(arguments.config, arguments.set, methods.available(), roles)
    named = {*names, *(override.partition(".")[0] for override in arguments.set)}
    for name, settings in config.methods.items():
        if name in named or not config.bundled:
            methods.check(name, settings)
    roles = [role for name in names for role in methods.requires(name, config.methods.get(name))]
    say = (lambda *_: None) if arguments.json else partial(print, sep="\n", flush=True)  # nothing but JSON
    say(*describe_input(config, img_path, wav_path, sample, remarks))
    memory = Memory()
    models = load_models(config, roles, arguments.device, memory=memory)
    answers = {}
    for name in names:
        method = methods.create(name, models, config.methods.get(name), seed=arguments.seed, memory=memory)
        prediction = method.predict([sample])[0]
        size = sample.own_size or sample.image.shape[:2]
        mask = resize_score_map(prediction.score_map, size, partial(np.less, arguments.threshold))
        files = write_pictures(name, sample, prediction, mask, arguments.output)
        missed = {}
        if not mask.any():
            missed = near_miss(prediction, models, arguments.threshold)
            missed |= published_networks(config, name, sample, img_path, wav_path)
        answers[name] = Answer(prediction, mask, files, missed)
        say("", *describe_answer(name, answers[name]))
    demo = Demo(answers, write_comparison(sample, answers, arguments.output) if len(answers) > 1 else None)
    if demo.comparison:
        say("", _line("side by side", demo.comparison))
    if arguments.json:
        print(json.dumps(as_json(demo, config, arguments.threshold, img_path, wav_path), indent=2, allow_nan=False))
    return demo


def main_video(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """See `main`, for a video."""
    from utils.demo.run_video import run_video

    names = list(dict.fromkeys(arguments.methods))
    roles = [role for name in names for role in methods.requires(name)]
    config, memory = load_config(arguments.config, arguments.set, methods.available(), roles), Memory()
    for name in names:
        methods.check(name, config.methods.get(name, {}))

    @cache
    def models() -> Mapping[str, Any]:
        return load_models(config, roles, arguments.device, memory=memory)

    @cache
    def method(name: str) -> methods.Method:
        return methods.create(name, models(), config.methods.get(name), seed=arguments.seed, memory=memory)

    def predict(samples: Sequence[Sample], name: str) -> list[Prediction]:
        return method(name).predict(samples)

    return run_video(arguments, names, predict, memory.forget, f"{config.name}: {config.summary}")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    parser = Parser(
        description="Shows what sounds in an image, and how that was found. Without arguments: a bundled example."
    )
    add = parser.add_argument
    add("--img_path", type=Path, metavar="FILE", help="an image, anything Pillow opens")
    add("--wav_path", type=Path, metavar="FILE", help="a sound, anything libsndfile or FFmpeg reads")
    add_video_options(parser)
    add_run_options(parser, methods.available())
    about = "where the pictures go (default: %(default)s)"
    add("--output", type=Path, default=Path("outputs/demo"), metavar="DIR", help=about)
    add("--json", action="store_true", help="print the result as JSON and nothing else")
    return parser.parse_args(argv)


def input_paths(img_path: Path | None, wav_path: Path | None) -> tuple[Path, Path]:
    """The image and the sound to use: both as given, or both of the bundled example.

    Raises:
        UserError: only one of them is given.
    """
    if img_path and wav_path:
        return img_path, wav_path
    if img_path or wav_path:
        given, missing = ("--img_path", "--wav_path") if img_path else ("--wav_path", "--img_path")
        raise UserError(
            f"expected an image and a sound, found {given} alone; give {missing} too, or neither for an example"
        )
    examples = EXAMPLES.relative_to(Path.cwd()) if EXAMPLES.is_relative_to(Path.cwd()) else EXAMPLES
    return examples / "image" / f"{EXAMPLE}.jpg", examples / "wav" / f"{EXAMPLE}.wav"


def read_sample(img_path: Path, wav_path: Path) -> tuple[Sample, list[str]]:
    """Reads the two files, and says what is special about the sound; a name of both is there once."""
    sound = read_recording(wav_path)
    name = img_path.stem if img_path.stem == wav_path.stem else f"{img_path.stem}_with_{wav_path.stem}"
    image, own_size = read_image_and_size(img_path)
    return Sample(name, image, sound.waveform, sound.sampling_rate, own_size=own_size), sound.remarks


def write_pictures(
    name: str, sample: Sample, prediction: Prediction, mask: np.ndarray, folder: Path
) -> dict[str, Path]:
    """Writes overlay, mask and score map as SAMPLE_METHOD_overlay.png and so on; returns their paths."""
    pictures = {
        "overlay": draw_overlay(sample.image, resize_mask(mask, sample.image.shape[:2]), prediction.score_map),
        "mask": grey(mask),
        "score_map": Image.fromarray(resize_score_map(prediction.score_map, mask.shape, shades)),
    }
    return {
        kind: save_png(picture, folder / file_name(sample.id, f"_{name}_{kind}.png"))
        for kind, picture in pictures.items()
    }


def write_comparison(sample: Sample, answers: Mapping[str, Answer], folder: Path) -> Path:
    """Writes the image and every method's overlay as one picture; returns its path."""
    pictures = [("image", Image.fromarray(sample.image))]
    for name, answer in answers.items():
        pictures.append((f"{name}\n{caption_of(answer)}", Image.open(answer.files["overlay"])))
    return save_png(side_by_side(pictures), folder / file_name(sample.id, "_comparison.png"))


def caption_of(answer: Answer) -> str:
    """What was asked for, and whether nothing came of it."""
    asked = answer.prediction.trail.get("query")
    return asked + ("" if answer.mask.any() else ": nothing found") if asked else "nothing asked for"


def describe_input(config: Config, img_path: Path, wav_path: Path, sample: Sample, remarks: Sequence[str]) -> list[str]:
    """Lines on what is used and what it is good for."""
    (height, width), size = sample.own_size or sample.image.shape[:2], sample.image.shape[:2]
    reduced = f", worked on at {size[1]} x {size[0]}" if size != (height, width) else ""
    seconds, level = len(sample.waveform) / sample.sampling_rate, level_db(sample.waveform, sample.sampling_rate)
    loudness = f"loudest moment {level:.0f} dBFS" if level > float("-inf") else "nothing but silence"
    about = ", ".join([f"{seconds:.1f} s", f"{sample.sampling_rate} Hz", loudness, *remarks])
    return [
        _line("config", f"{config.name}: {config.summary}"),
        _line("image", f"{img_path}  ({width} x {height} pixels{reduced})"),
        _line("sound", f"{wav_path}  ({about})"),
    ]


def describe_answer(name: str, answer: Answer) -> list[str]:
    """Lines on what a method heard, saw, weighed, asked for and found, and where the pictures are."""
    found = ("found", f"{answer.mask.mean():.1%} of the image, {answer.mask.sum()} pixels")
    rows = [*describe_trail(answer.prediction.trail), found, *answer.files.items(), *answer.near_miss.items()]
    return [name, *(_line(f"  {label}" if label else "", value) for label, value in rows)]


def near_miss(prediction: Prediction, models: Mapping[str, Any], threshold: float) -> dict[str, str]:
    """What was nearly found where no pixel is above the threshold: label -> text."""
    if not prediction.queries:
        return {}
    query, known = prediction.queries[0], getattr(models.get("segmenter"), "known_names", None)
    rows = {"highest score": f"{prediction.score_map.max(initial=0):.2f}; a pixel counts above {threshold:g}"}
    if known:
        nothing = f'"{query.text}" means nothing to this segmenter'
        rows["nearest names"] = ", ".join(known(query, NAMES_SHOWN)) or nothing
    return rows


def published_networks(config: Config, name: str, sample: Sample, img_path: Path, wav_path: Path) -> dict[str, str]:
    """How to ask published networks the same; nothing where that cannot help."""
    heard = methods.listens(name) and not why_unheard(sample.waveform, sample.sampling_rate)
    if config.name in RESEARCH_CONFIGS or not heard:
        return {}
    fetch = f"python -m models.fetch --config {RESEARCH_CONFIGS[0]}"
    command = ["python", "inference_demo.py", "--config", RESEARCH_CONFIGS[0], "--methods", name]
    return {"or try": f"{fetch} && {shlex.join([*command, '--img_path', str(img_path), '--wav_path', str(wav_path)])}"}


def as_json(demo: Demo, config: Config, threshold: float, img_path: Path, wav_path: Path) -> dict[str, Any]:
    """The whole result as JSON takes it."""
    answers = {
        name: {
            "queries": [{"text": query.text, "score": float(query.score)} for query in answer.prediction.queries],
            "trail": answer.prediction.trail,
            "mask_share": float(answer.mask.mean()),
            "files": {kind: str(path) for kind, path in answer.files.items()},
            "near_miss": dict(answer.near_miss),
        }
        for name, answer in demo.answers.items()
    }
    return {
        "config": {"name": config.name, "path": str(config.path), "summary": config.summary},
        "img_path": str(img_path),
        "wav_path": str(wav_path),
        "threshold": threshold,
        "methods": answers,
        "comparison": str(demo.comparison) if demo.comparison else None,
    }


def _line(label: str, value: object) -> str:
    return f"{label:<{LABEL_WIDTH}} {value}"


if __name__ == "__main__":
    sys.exit(run_script(main))
