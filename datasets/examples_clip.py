"""A clip of the bundled examples, and an animation of what became of it: how the README's was made.

    python -m datasets.examples_clip make clip.mp4 rehearsal_a rehearsal_b cat_sheep_b cow_owl_a
    python inference_demo.py --video clip.mp4 --output .
    python -m datasets.examples_clip animate clip_cross_modal.mp4 clip.webp

Each example is shown for SECONDS with its sound, which is repeated as often as it fits. An animation is silent.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from utils.cli import Parser
from utils.errors import run_script
from utils.files import atomic_path
from utils.media.images import read_image
from utils.media.sounds import read_audio
from utils.media.soundtracks import SoundTrack
from utils.media.videos import open_video, writing

EXAMPLES = Path(__file__).resolve().parent / "examples"
SIZE, FPS, SECONDS = (336, 640), 4, 2.5


def main(argv: Sequence[str] | None = None) -> None:
    """Does what a command line says."""
    parser = Parser(prog="python -m datasets.examples_clip", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="make|animate")
    make = commands.add_parser("make", help="an MP4 of examples with their sounds")
    make.add_argument("out", type=Path)
    make.add_argument("stems", nargs="+")
    make.set_defaults(run=lambda given: make_clip(given.out, given.stems))
    animate = commands.add_parser("animate", help="a video as an animated WebP")
    animate.add_argument("video", type=Path)
    animate.add_argument("out", type=Path)
    animate.set_defaults(run=lambda given: make_animation(given.video, given.out))
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


def make_clip(out: Path, stems: Sequence[str]) -> None:
    """Writes an MP4 of examples, one after another."""
    sounds = []
    for stem in stems:
        waveform, rate = read_audio(EXAMPLES / "wav" / f"{stem}.wav")  # all of one rate
        wanted = int(SECONDS * rate)
        repeated = np.tile(waveform, max(1, wanted // len(waveform)))[:wanted]
        sounds.append(np.pad(repeated, (0, wanted - len(repeated))))
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(Path(folder) / "sound.wav", np.concatenate(sounds), rate)
        with writing(out, SIZE, FPS, SoundTrack(Path(folder) / "sound.wav", 0)) as write:
            for stem in stems:
                image = within(read_image(EXAMPLES / "image" / f"{stem}.jpg"))
                for _ in range(round(FPS * SECONDS)):
                    write(image)


def within(image: np.ndarray) -> np.ndarray:
    """An image in its own aspect in the middle of a black one of SIZE."""
    picture, canvas = Image.fromarray(image), Image.new("RGB", SIZE[::-1])
    scale = min(SIZE[1] / picture.width, SIZE[0] / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    canvas.paste(picture, ((SIZE[1] - picture.width) // 2, (SIZE[0] - picture.height) // 2))
    return np.asarray(canvas)


def make_animation(video: Path, out: Path) -> None:
    """Writes a short video as a WebP that plays for ever."""
    first, *others = (Image.fromarray(frame.image) for frame in open_video(video).frames(FPS))
    with atomic_path(out) as path:
        settings = {"duration": 1000 // FPS, "loop": 0, "quality": 70, "method": 6}
        first.save(path, "WEBP", save_all=True, append_images=others, **settings)


if __name__ == "__main__":
    sys.exit(run_script(main))
