"""How far the demo stays above what it cannot do without: importing the libraries, and the networks' own passes.

python -m tests.benchmarks.demo
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from inference_demo import input_paths
from tests.checkpoints.tiny_config import save_config
from utils.cli import at_least
from utils.errors import run_script

ROOT = Path(__file__).resolve().parents[2]
# What cross_modal needs with the networks of tests/checkpoints/tiny_config.py, as the libraries' documentation has it:
# the text asked for is fixed, no noun is looked for, nothing is resampled, compared, drawn or written.
BARE = """
import sys

import soundfile
import torch
import transformers
from PIL import Image
from transformers import (
    BlipForConditionalGeneration, BlipProcessor, ClapModel, ClapProcessor, CLIPSegForImageSegmentation, CLIPSegProcessor
)

transformers.utils.logging.disable_progress_bar()
folder, image_path, sound_path = sys.argv[1:]
image = Image.open(image_path).convert("RGB")
waveform = soundfile.read(sound_path, dtype="float32", always_2d=True)[0][:, 0]
networks = {}
for role, network, processor in (
    ("image_captioner", BlipForConditionalGeneration, BlipProcessor),
    ("audio_text", ClapModel, ClapProcessor),
    ("segmenter", CLIPSegForImageSegmentation, CLIPSegProcessor),
):
    place = f"{folder}/{role}"
    networks[role] = network.from_pretrained(place).float().eval(), processor.from_pretrained(place)
with torch.inference_mode():
    network, processor = networks["image_captioner"]
    network.generate(**processor(images=image, return_tensors="pt"), max_new_tokens=16)
    network, processor = networks["audio_text"]
    rate = processor.feature_extractor.sampling_rate
    network.get_audio_features(**processor.feature_extractor(waveform, sampling_rate=rate, return_tensors="pt"))
    network.get_text_features(**processor.tokenizer(["dog", "violin", "drum"], padding=True, return_tensors="pt"))
    network, processor = networks["segmenter"]
    network(**processor(text=["A photo of dog"], images=[image], return_tensors="pt"))
"""


def main(argv: Sequence[str] | None = None) -> float:
    """Measures in turn and prints.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        Median wall time of the demo over that of the bare script.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.demo", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=at_least(1), default=7, metavar="N", help="of both (default: %(default)s)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        config = save_config(Path(folder) / "networks")
        image, sound = map(str, input_paths(None, None))
        inputs = ["--img_path", image, "--wav_path", sound]
        commands = {
            "bare": [sys.executable, "-c", BARE, str(config.parent), image, sound],
            "demo": [sys.executable, "inference_demo.py", "--config", str(config), *inputs, "--output", folder],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.rounds + 1):
            for name, command in commands.items():
                start = perf_counter()
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
                seconds[name].append(perf_counter() - start)
    found = {name: median(values[1:]) for name, values in seconds.items()}  # the first ones fill the disk's cache
    print(
        f"demo {found['demo']:.2f} s; bare imports, loading and passes {found['bare']:.2f} s; "
        f"rounds: {arguments.rounds}"
    )
    print(f"demo/bare {found['demo'] / found['bare']:.2f}")
    return found["demo"] / found["bare"]


if __name__ == "__main__":
    sys.exit(run_script(main))
