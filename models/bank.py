"""Makes a bank of sounds: how a config's networks hear unrelated ones, from any folder of recordings.

    python -m models.bank DIR --config base --out banks/base.safetensors

Some 80 sounds of all kinds do; none of those that you test on. See `models/sound_bank.py` for what it is good for.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.config import load_config
from models.loading import load_models
from models.remembering import Memory
from models.sound_bank import HEARING, SoundBank, networks_of
from utils.cli import Parser, add_config_options, at_least
from utils.errors import UserError, run_script
from utils.files import make_folder
from utils.media.sounds import read_audio, why_unheard

SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff"}
FEWEST = 10  # of fewer, mean and deviation say nothing


def main(argv: Sequence[str] | None = None) -> SoundBank:
    """Makes what a command line asks for, writes it and returns it.

    Raises:
        UserError: too few sounds, a file that cannot be read, or networks that cannot be loaded.
    """
    arguments = parse_arguments(argv)
    config = load_config(arguments.config, arguments.set, used=HEARING)
    make_folder(arguments.out.parent)
    sounds = dict(audible(arguments.folder, arguments.sounds))
    if len(sounds) < FEWEST:
        raise UserError(
            f"expected {FEWEST} different audible sounds or more in {arguments.folder}, found {len(sounds)}"
        )
    models = load_models(config, HEARING, arguments.device, Memory())  # which may share what they hear
    embeds, rows = [], []
    for waveform, rate in tqdm(sounds.values(), unit="sound"):  # one by one: the same whatever the others are
        embeds.append(models["audio_text"].encode_audio([waveform], [rate])[0])
        rows.append(dict(models["audio_tagger"].tag([waveform], [rate], top_k=sys.maxsize)[0]))
    labels = sorted(rows[0])
    probabilities = np.array([[row[label] for label in labels] for row in rows], np.float32)
    digest = hashlib.sha256("".join(sorted(sounds)).encode()).hexdigest()
    origin = {"networks": networks_of(config, models), "sounds": {"number": len(sounds), "sha256": digest}}
    bank = SoundBank(np.stack(embeds), probabilities, labels, origin)
    bank.write(arguments.out)
    print(f"{arguments.out}: {len(sounds)} sounds, {arguments.out.stat().st_size / 1000:.0f} kB; for this config add\n")
    print(f"  audio_text:\n    bank: {arguments.out}\n\nor --set audio_text.bank={arguments.out}")
    return bank


def audible(folder: Path, most: int) -> Iterator[tuple[str, tuple[np.ndarray, int]]]:
    """At most so many sounds of a folder, or of its wav/: (digest, (waveform, Hz)); the same choice every time."""
    where = folder / "wav" if (folder / "wav").is_dir() else folder
    paths = [path for path in sorted(where.rglob("*")) if path.suffix.lower() in SUFFIXES]
    found = set()
    for path in sorted(paths, key=lambda path: hashlib.sha256(path.relative_to(where).as_posix().encode()).digest()):
        waveform, rate = read_audio(path)
        digest = hashlib.sha256(waveform.tobytes() + str(rate).encode()).hexdigest()
        if digest in found or why_unheard(waveform, rate):  # the frames of a clip share its sound
            continue
        found.add(digest)
        yield digest, (waveform, rate)
        if len(found) == most:
            return


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    about = "Makes a bank of unrelated sounds for a config's networks, for methods that want z-scores."
    parser = Parser(prog="python -m models.bank", usage="%(prog)s DIR [options]", description=about)
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="holds sounds, or wav/ with sounds; not what you test on")
    add("--out", type=Path, required=True, metavar="FILE", help="where the bank goes, NAME.safetensors")
    add_config_options(parser)
    add("--sounds", type=at_least(FEWEST), default=80, metavar="N", help="how many, at most (default: %(default)s)")
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
