"""An evaluation that is killed at any moment goes on, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from PIL import Image

import eval as script
import models.loading
from utils.errors import UserError

ROOT = Path(script.__file__).resolve().parent
SCENES = [("dog", ("dog", "violin")), ("violin", ("dog", "violin")), ("drum", ("drum",)), (None, ("dog",))] * 2

RUN = """
import os, signal, sys, types

sys.path.insert(0, {tests!r})
import fakes
import models.loading

played = fakes.make_models()
segment, left = played["segmenter"].segment, [{segmentations}]


def mortal(images, queries):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return segment(images, queries)


played["segmenter"].segment = mortal
models.loading.load_models = lambda config, roles, *_: {{role: played[role] for role in sorted(set(roles))}}
import eval
from utils.errors import run_script
sys.exit(run_script(eval.main))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory, fakes):
    root = tmp_path_factory.mktemp("data")
    for folder in ("image", "wav", "gt_seg"):
        (root / folder).mkdir()
    for number, (sounding, visible) in enumerate(SCENES):
        sample = fakes.make_sample(sounding, visible, (40 + number, 60))
        Image.fromarray(sample.image).save(root / "image" / f"{number}.png")
        soundfile.write(root / "wav" / f"{number}.wav", sample.waveform, sample.sampling_rate)
        Image.fromarray(sample.gt_mask).save(root / "gt_seg" / f"{number}.png")
    return root


def command(data, output):
    options = ["--methods", "cross_modal", "classify", "--audio_control", "silence", "--batch_size", "2"]
    return [*options, "--device", "cpu", "--test_data_path", str(data), "--output_dir", str(output)]


def evaluate(data, output, segmentations):
    """Runs eval.py with the fake networks in a process that is killed after so many calls of the segmenter."""
    code = RUN.format(tests=str(ROOT / "tests"), segmentations=segmentations)
    return subprocess.run(
        [sys.executable, "-c", code, *command(data, output)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_a_killed_run_goes_on_to_the_same_records(data, tmp_path):
    undisturbed = evaluate(data, tmp_path / "one", 10**6)
    assert undisturbed.returncode == 0, undisturbed.stderr
    # a batch takes 5 segmentations: 2 methods and image_only with the sound, 2 methods without it
    assert evaluate(data, tmp_path / "two", 7).returncode == -signal.SIGKILL
    assert not (tmp_path / "two" / "per_sample.csv").exists()
    assert sorted(os.listdir(tmp_path / "two" / "unfinished")) == ["00000000.json", "run.json"]
    assert evaluate(data, tmp_path / "two", 6).returncode == -signal.SIGKILL
    gone_on = evaluate(data, tmp_path / "two", 10**6)
    assert gone_on.returncode == 0, gone_on.stderr
    assert "going on: 2 of 4 batches were measured before" in gone_on.stdout
    first, second = ((tmp_path / name / "per_sample.csv").read_bytes() for name in ("one", "two"))
    assert first == second
    assert not (tmp_path / "two" / "unfinished").exists()
    tables = [run.stdout.split("paper ")[1].split("written to")[0] for run in (undisturbed, gone_on)]
    assert tables[0] == tables[1]


def test_an_unfinished_run_is_not_mixed_with_another(data, tmp_path, monkeypatch, fakes):
    assert evaluate(data, tmp_path / "out", 7).returncode == -signal.SIGKILL
    played = fakes.make_models()
    monkeypatch.setattr(
        models.loading, "load_models", lambda config, roles, *_: {role: played[role] for role in sorted(set(roles))}
    )
    arguments = command(data, tmp_path / "out")
    with pytest.raises(UserError, match=r"another one \(methods.cross_modal.min_similarity 0.5 there, 0.3 here\)"):
        script.main([*arguments, "--set", "cross_modal.min_similarity=0.3"])
    mask = data / "gt_seg" / "0.png"
    changed = mask.stat().st_mtime + 10
    os.utime(mask, (changed, changed))
    with pytest.raises(UserError, match="another one .latest_change"):
        script.main(arguments)
