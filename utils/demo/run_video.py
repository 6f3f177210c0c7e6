"""`python inference_demo.py --video`: what is said before, between and after the methods, and where things go."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from utils.demo.captions import thing_of
from utils.demo.looks import Moment, Pace
from utils.demo.video import VideoAnswer, annotate
from utils.errors import UserError
from utils.files import file_name, make_folder
from utils.media.videos import Video, open_video
from utils.trails import line
from utils.types import Prediction, Sample

THINGS_SHOWN = 5


def run_video(
    arguments: argparse.Namespace,
    names: Sequence[str],
    predict: Callable[[Sequence[Sample], str], Sequence[Prediction]],
    forget: Callable[[], None],
    config: str,
) -> dict[str, VideoAnswer]:
    """Runs methods on a video; prints what they heard and showed, or JSON alone.

    Args:
        arguments: video, wav_path, img_path, fps, look, threshold, masks, output and json, see `utils.cli`.
        names: of the methods.
        predict: (samples, name) -> predictions; networks may be loaded at the first call.
        forget: called after each batch, so that what is remembered of pictures does not grow with the video.
        config: which networks, in words.

    Returns:
        Method name -> what it wrote.

    Raises:
        UserError: an image is named too, or the video or its sound cannot be read.
    """
    if arguments.img_path:
        raise UserError("expected a video or an image, found --video and --img_path; give one of them")
    given = arguments.wav_path or []
    if len(given) > 1 or any(path.is_dir() for path in given):
        raise UserError(
            f"expected one sound for the video {arguments.video}, found {len(given)} or a folder; name one file"
        )
    video = open_video(arguments.video)
    if video.sound_starts_at is None and not given:
        raise UserError(f"expected sound in the video {video.path}, found none; name a sound for it with --wav_path")
    make_folder(arguments.output)
    pace = Pace(arguments.fps, arguments.look, threshold=arguments.threshold)
    say = (lambda *_: None) if arguments.json else partial(print, sep="\n", flush=True)
    say(line("config", config), line("video", f"{video.path}  ({about(video)})"))

    def answer(name: str, samples: Sequence[Sample]) -> Sequence[Prediction]:
        predictions = predict(samples, name)
        forget()
        return predictions

    answers = {}
    for name in names:
        start = perf_counter()
        stem = arguments.output / file_name(video.path.stem, f"_{name}")
        sound = given[0] if given else video.path
        answers[name] = annotate(video, sound, partial(answer, name), pace, stem, arguments.masks)
        spent = perf_counter() - start
        say("", name, *(line(f"  {label}", value) for label, value in describe(answers[name], pace.fps, spent)))
        if video.undecodable:
            say(line("  passed over", f"{video.undecodable} parts of the file, which cannot be decoded"))
    if arguments.json:
        print(json.dumps(as_json(answers, arguments), indent=2, allow_nan=False))
    return answers


def about(video: Video) -> str:
    """Length and size, in words."""
    length = f"{video.seconds:.1f} s, " if video.seconds else ""
    return f"{length}{video.size[1]} x {video.size[0]} pixels"


def describe(answer: VideoAnswer, fps: float, spent: float) -> list[tuple[str, str]]:
    """What was shown for how long, how long it took, and where the files are: (label, text)."""
    moments = answer.moments
    shown = Counter(thing_of(one) for one in moments)
    parts = [f"{thing} {count / fps:.1f} s" for thing, count in shown.most_common(THINGS_SHOWN)]
    parts += ["..."] * (len(shown) > THINGS_SHOWN)
    took = f"{spent:.1f} s for {len(moments) / fps:.1f} s of video, {len(moments)} frames"
    return [("shown", ", ".join(parts)), ("took", took), *((kind, str(path)) for kind, path in answer.files.items())]


def as_json(answers: dict[str, VideoAnswer], arguments: argparse.Namespace) -> dict:
    """The whole result as JSON takes it."""
    return {
        "video": str(arguments.video),
        "wav_path": str(arguments.wav_path[0]) if arguments.wav_path else None,
        "fps": arguments.fps,
        "look": arguments.look,
        "threshold": arguments.threshold,
        "methods": {
            name: {
                "files": {kind: str(path) for kind, path in answer.files.items()},
                "moments": [_row(moment) for moment in answer.moments],
            }
            for name, answer in answers.items()
        },
    }


def _row(moment: Moment) -> dict:
    return {**vars(moment), "sure": round(moment.sure, 4), "share": round(moment.share, 4)}
