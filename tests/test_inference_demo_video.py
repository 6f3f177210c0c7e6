"""The demo on a video, from its command line: files, lines, JSON, and one sentence for every mistake."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import inference_demo
from utils.errors import UserError
from utils.media.soundtracks import SoundTrack
from utils.media.videos import writing


@pytest.fixture
def scene(tmp_path, fakes, loaded, monkeypatch):
    """clip.mp4, four seconds of a dog beside a violin: first the dog sounds, then the violin; fakes behind the demo."""
    monkeypatch.chdir(tmp_path)
    samples = [fakes.make_sample(thing, ("dog", "violin"), (120, 200), seconds=2) for thing in ("dog", "violin")]
    soundfile.write("sound.wav", np.concatenate([sample.waveform for sample in samples]), fakes.RATE)
    for name, sound in (("clip.mp4", SoundTrack(Path("sound.wav"), 1)), ("mute.mp4", None)):
        with writing(Path(name), (120, 200), 8, sound) as write:
            for _ in range(32):
                write(samples[0].image)
    Path("fake.yaml").write_text("summary: for tests\n")
    return samples, loaded


def run(*arguments: str):
    return inference_demo.main(["--config", "fake.yaml", *arguments])


def test_the_mask_changes_with_the_sound(scene, capsys):
    answers = run("--video", "clip.mp4", "--masks", "--fps", "2")
    assert sorted(path.name for path in Path("outputs/demo").iterdir()) == [
        "clip_cross_modal.mp4",
        "clip_cross_modal_masks",
        "clip_cross_modal_strip.png",
        "clip_cross_modal_timeline.csv",
    ]
    for number, sample in ((1, scene[0][0]), (8, scene[0][1])):
        mask = np.asarray(Image.open(f"outputs/demo/clip_cross_modal_masks/clip_{number}.png")) > 0
        assert (mask & sample.gt_mask).sum() / (mask | sample.gt_mask).sum() > 0.9
    rows = list(csv.DictReader(Path("outputs/demo/clip_cross_modal_timeline.csv").read_text().splitlines()))
    assert [rows[i]["looked_for"] for i in (0, 7)] == ["A photo of dog", "A photo of violin"]
    assert len(answers["cross_modal"].moments) == 8
    out = capsys.readouterr().out
    assert "clip.mp4  (4.0 s, 200 x 120 pixels)" in out and "shown         " in out and "dog " in out
    assert len(scene[1]) == 1


def test_several_methods_load_networks_once_and_json_is_all_that_is_printed(scene, capsys):
    run("--video", "clip.mp4", "--json", "--methods", "cross_modal", "centre", "--fps", "1")
    found = json.loads(capsys.readouterr().out)
    assert [*found["methods"]] == ["cross_modal", "centre"] and len(scene[1]) == 1
    first = found["methods"]["cross_modal"]["moments"][0]
    assert (first["looked_for"], first["seconds"]) == ("A photo of dog", 0.0)
    assert Path(found["methods"]["centre"]["files"]["video"]).is_file()


def test_a_video_without_sound_asks_for_one(scene, capsys):
    with pytest.raises(UserError, match="expected sound in the video mute.mp4, found none; name a sound for it with"):
        run("--video", "mute.mp4")
    answers = run("--video", "mute.mp4", "--wav_path", "sound.wav", "--fps", "1")
    assert answers["cross_modal"].moments[0].looked_for == "A photo of dog"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "none.mp4"], "expected a video file at none.mp4, found nothing"),
        (["--video", "sound.wav"], "expected moving pictures in sound.wav"),
        (["--video", "clip.mp4", "--img_path", "a.png"], "found --video and --img_path; give one of them"),
        (["--video", "clip.mp4", "--wav_path", "none.wav"], "expected a sound file at none.wav"),
    ],
)
def test_mistakes_are_named_before_a_network_is_loaded(arguments, message, scene):
    with pytest.raises(UserError, match=message):
        run(*arguments)
    assert scene[1] == []


@pytest.mark.parametrize("arguments", [["--fps", "0"], ["--fps", "61"], ["--look", "-1"]])
def test_paces_that_cannot_be_are_refused(arguments, scene, capsys):
    with pytest.raises(SystemExit):
        run("--video", "clip.mp4", *arguments)
    assert f"{arguments[0]}: expected a number" in capsys.readouterr().err
