"""One image and one sound in, the mask of what sounds out: with the picture, and the trail that led there.

Usage:
    python inference_demo.py
    python inference_demo.py --methods cross_modal --img_path input.jpg --wav_path input.wav

In a notebook (from elsewhere, `sys.path.append("PATH/OF/THE/CLONE")` first):
    from inference_demo import segment
    answer = segment("input.jpg", "input.wav")
    answer.mask, answer.trail, answer.show()
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import methods
from models.config import Config, load_config
from models.loading import load_models
from models.remembering import Memory
from utils.cli import DEFAULT_CONFIG, Parser, add_demo_options, more_help
from utils.errors import UserError, run_script
from utils.files import digest, make_folder
from utils.media.images import read_image_and_size, resize_score_map
from utils.media.sounds import read_recording
from utils.trails import caption, describe_answer, describe_sample, line, near_miss, published_networks
from utils.types import Answer, Demo, Pair, Prediction, Sample, save_comparison

EXAMPLES = Path(__file__).resolve().parent / "datasets" / "examples"
EXAMPLE = "farm_dog"  # a stem of EXAMPLES
SESSIONS = 2  # that `segment` keeps, each with its networks


class Session:
    """The networks and methods of one config, loaded when they are first needed, and kept.

    Args:
        config, overrides, device, seed: as --config, --set, --device and --seed take them, or a UserError.
    """

    def __init__(
        self,
        config: str | Path = DEFAULT_CONFIG,
        overrides: Sequence[str] = (),
        device: str = "auto",
        seed: int | None = None,
    ) -> None:
        self.config: Config = load_config(config, overrides, methods.available(), ())
        self.overrides, self.seed = tuple(overrides), seed
        self.memory, self.models = Memory(), dict[str, Any]()
        shared = {"memory": self.memory, "models": self.models, "loaded": {}}
        self.load = partial(load_models, self.config, device=device, **shared)  # roles that are not there yet
        self._methods: dict[tuple[str, int | None], methods.Method] = {}

    @property
    def about(self) -> str:
        """The config's name, and what it is, in words."""
        return f"{self.config.name}: {self.config.summary}"

    def check(self, names: Sequence[str]) -> list[str]:
        """Refuses (UserError), before a network is loaded, names, roles and settings; returns the roles needed."""
        roles = list(dict.fromkeys(role for name in names for role in self.requires(name)))
        load_config(self.config.path, self.overrides, methods.available(), roles)
        named = {*names, *(override.partition(".")[0] for override in self.overrides)}
        for name, settings in self.config.methods.items():
            if name in named or not self.config.bundled:
                methods.check(name, settings)
        return roles

    def requires(self, name: str) -> tuple[str, ...]:
        """The roles that the method of this name needs, as it is set."""
        return methods.requires(name, self.config.methods.get(name))

    def method(self, name: str, seed: int | None = None) -> methods.Method:
        """The method of this name, with the session's seed unless another is given."""
        seed = self.seed if seed is None else seed
        if (name, seed) not in self._methods:
            if not self.models.keys() >= {*self.requires(name)}:
                self.load(self.check([name]))
            own = {"values": self.config.methods.get(name), "seed": seed, "memory": self.memory}
            self._methods[name, seed] = methods.create(name, self.models, **own)
        return self._methods[name, seed]

    def predict(self, samples: Sequence[Sample], name: str, seed: int | None = None) -> list[Prediction]:
        """One prediction per sample, in order; see `methods.base.Method.predict`."""
        return self.method(name, seed).predict(samples)

    def answer(
        self, sample: Sample, name: str, threshold: float = 0.5, seed: int | None = None, paths: Pair | None = None
    ) -> Answer:
        """What a method answers to one sample; the mask is where the score is above `threshold`, from 0 to below 1."""
        return self.finish(sample, name, threshold, self.predict([sample], name, seed)[0], seed, paths)

    def finish(
        self, sample: Sample, name: str, threshold: float, prediction: Prediction, seed: int | None, paths: Pair | None
    ) -> Answer:
        """What a prediction comes to at the picture's own size; where that is nothing, what was nearly found."""
        mask, near = resize_score_map(prediction.score_map, sample.size, partial(np.less, threshold)), {}
        if not mask.any():
            near = near_miss(prediction, self.models.get("segmenter"), threshold)
            if paths and methods.listens(name):
                near |= published_networks(self.config.name, name, sample, *paths)
        roles = {role: dict(self.config.roles.get(role, {})) for role in self.requires(name)}
        seed, settings = self.seed if seed is None else seed, self.config.methods.get(name)
        made_of = digest(name, roles, settings, threshold, seed, sample)
        return Answer(name, sample, prediction, mask, caption(prediction.trail, mask.any()), made_of, near)


def segment(
    image: Any,
    sound: Any,
    method: str = "cross_modal",
    *,
    config: str | Path = DEFAULT_CONFIG,
    device: str = "auto",
    threshold: float = 0.5,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Answer:
    """Which thing in this picture makes this sound? Networks stay loaded from one call to the next.

    Args:
        image: path of a picture, (H, W, 3) uint8 RGB, or a PIL image, taken as Pillow shows it.
        sound: path of a sound, or (waveform, sampling_rate): (T,), (T, C) or (C, T) float in [-1, 1] or int16, and Hz.
        method, config, device, threshold, seed: as the options of these names take them.
        settings: what to set otherwise, {"cross_modal.min_similarity": 0.2}.

    Raises:
        UserError: what was expected, what was found and what to do.
    """
    from utils.demo.inputs import checked, overrides_of, sample_of

    sample, overrides = sample_of(image, sound), overrides_of(settings)
    checked(threshold, seed)
    path = load_config(config, overrides, methods.available(), ()).path.resolve()
    session = _session(path, path.stat().st_mtime_ns, overrides, str(device))
    return session.answer(sample, method, threshold, seed)


@lru_cache(SESSIONS)
def _session(config: Path, changed: int, overrides: tuple[str, ...], device: str) -> Session:
    """The session that is kept for a config as it was when its file was changed last."""
    return Session(config, overrides, device)


def main(argv: Sequence[str] | None = None) -> Any:
    """Runs what a command line describes: arguments without the script's name, or the process's own.

    Returns:
        The Demo of a picture and a sound; of several, of a video and of a page, what `run_several`, `run_video` and
        `serve_page` return.

    Raises:
        UserError: a name, a setting or a file is wrong; where several are given, the others are answered before.
    """
    arguments = parse_arguments(argv)
    names, threshold, folder = list(dict.fromkeys(arguments.methods)), arguments.threshold, arguments.output
    verifying = methods.verifying(names) if arguments.verify else ()
    session = Session(arguments.config, [*verifying, *arguments.set], arguments.device, arguments.seed)
    roles = session.check(names)
    if arguments.serve or arguments.space:
        from utils.demo.serving import serve_page

        summaries = {
            name: about for name, about in methods.summaries().items() if name in names or methods.listens(name)
        }
        return serve_page(arguments, session, summaries, EXAMPLES.parents[1])
    if arguments.video:
        from utils.demo.run_video import run_video

        return run_video(arguments, names, session.predict, session.memory.forget, session.about)
    paths = input_paths(arguments.img_path, arguments.wav_path)
    if paths is None:
        from utils.demo.several import run_several

        return run_several(arguments, session, partial(answer_pair, session, names, threshold, folder))
    say = (lambda *_: None) if arguments.json else partial(print, sep="\n", flush=True)
    sample, remarks = read_sample(*paths)
    make_folder(folder)
    say(line("config", session.about), *describe_sample(sample, paths, remarks))
    session.load(roles)
    answers: dict[str, Answer] = {}
    for name in names:
        prediction = session.method(name).predict([sample])[0]
        answers[name] = session.finish(sample, name, threshold, prediction, arguments.seed, paths).save(folder)
        say("", *describe_answer(answers[name]))
    demo = Demo(paths, answers, save_comparison(sample, answers, folder))
    if demo.comparison:
        say("", line("side by side", demo.comparison))
    if arguments.json:
        from utils.demo.records import as_json, plain

        print(as_json(plain(demo, session.config, threshold)))
    return demo


def answer_pair(session: Session, names: Sequence[str], threshold: float, folder: Path, paths: Pair) -> Demo:
    """What `main` makes of one pair of many: the same files, without a word."""
    sample, _ = read_sample(*paths)
    answers = {name: session.answer(sample, name, threshold, paths=paths).save(folder) for name in names}
    return Demo(paths, answers, save_comparison(sample, answers, folder))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    about = "Shows what sounds in an image, and how that was found. Without arguments: a bundled example."
    parser = Parser(description=about, epilog=lambda: more_help(methods.summaries()))
    add_demo_options(parser, methods.available())
    return parser.parse_args(argv)


def input_paths(images: Sequence[Path] | None, sounds: Sequence[Path] | None) -> Pair | None:
    """The image and the sound to use: both as given, or both of the bundled example; None for several and for folders.

    Raises:
        UserError: only one of them is given.
    """
    if images and sounds:
        is_one = len(images) == len(sounds) == 1 and not images[0].is_dir() and not sounds[0].is_dir()
        return (images[0], sounds[0]) if is_one else None
    if images or sounds:
        given, missing = ("--img_path", "--wav_path") if images else ("--wav_path", "--img_path")
        raise UserError(f"expected image and sound, found {given} alone; give {missing} too, or neither for an example")
    examples = EXAMPLES.relative_to(Path.cwd()) if EXAMPLES.is_relative_to(Path.cwd()) else EXAMPLES
    return examples / "image" / f"{EXAMPLE}.jpg", examples / "wav" / f"{EXAMPLE}.wav"


def read_sample(img_path: Path, wav_path: Path) -> tuple[Sample, list[str]]:
    """Reads the two files, and says what is special about the sound; a name of both is there once."""
    sound = read_recording(wav_path)
    name = img_path.stem if img_path.stem == wav_path.stem else f"{img_path.stem}_with_{wav_path.stem}"
    image, own_size = read_image_and_size(img_path)
    return Sample(name, image, sound.waveform, sound.sampling_rate, own_size=own_size), sound.remarks


if __name__ == "__main__":
    sys.exit(run_script(main))
