"""`python inference_demo.py --serve` and `--space`: the page, asked of one session of networks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from utils.demo.inputs import sample_of
from utils.demo.looks import Pace
from utils.demo.space import write_space
from utils.demo.video import annotate
from utils.errors import UserError
from utils.files import file_name
from utils.media.videos import open_video
from utils.types import Answer

EXAMPLES = ("farm_dog", "rehearsal_a", "rehearsal_b", "cat_sheep_b", "mariachi")  # stems of datasets/examples
INSTALL = "pip install -r requirements-page.txt"


def serve_page(arguments: argparse.Namespace, session: Any, summaries: Mapping[str, str], root: Path) -> str:
    """Serves the page until it is interrupted, or writes the folder of a Space.

    Args:
        arguments: methods, threshold, fps, look, host, port and space, see `utils.cli`.
        session: an `inference_demo.Session`.
        summaries: what each method that can be chosen does, by name.
        root: the repository's folder.

    Returns:
        The page's address, or the command that uploads the folder.

    Raises:
        UserError: Gradio is not installed, the port is taken, or the folder is not empty.
    """
    if arguments.img_path or arguments.wav_path or arguments.video:
        raise UserError("expected --serve or --space alone, found files beside it; leave them out")
    if find_spec("gradio") is None:
        raise UserError(f"expected Gradio, which draws the page, found none; {INSTALL}")
    if arguments.space:
        upload = write_space(root, arguments.space)
        print(f"written to {arguments.space}; to upload it: {upload}")
        return upload
    from utils.demo import page  # Gradio, which takes seconds

    def ask(image: str, sound: str, names: Sequence[str]) -> dict[str, Answer]:
        sample = sample_of(image, sound)
        try:
            return {name: session.answer(sample, name, arguments.threshold) for name in names}
        finally:
            session.memory.forget()

    def ask_video(video: str, name: str, folder: Path) -> Path:
        def predict(samples: Sequence[Any]) -> Sequence[Any]:
            predictions = session.predict(samples, name)
            session.memory.forget()
            return predictions

        opened = open_video(Path(video))
        if opened.sound_starts_at is None:
            raise UserError(f"expected sound in the video {video}, found none; take another")
        pace = Pace(arguments.fps, arguments.look, threshold=arguments.threshold)
        stem = folder / file_name(opened.path.stem, f"_{name}")
        return annotate(opened, opened.path, predict, pace, stem).files["video"]

    session.load(session.check(arguments.methods))
    folder = root / "datasets" / "examples"
    examples = [(folder / "image" / f"{stem}.jpg", folder / "wav" / f"{stem}.wav") for stem in EXAMPLES]
    built = page.build(session.about, summaries, arguments.methods, examples, ask, ask_video)
    return page.serve(built, arguments.host, arguments.port)
