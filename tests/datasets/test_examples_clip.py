"""The README's animation: a clip of the examples with their sounds, and a video as a WebP."""

from __future__ import annotations

import numpy as np
from PIL import Image

from datasets.examples_clip import FPS, SECONDS, SIZE, main
from utils.media.soundtracks import SoundTrack
from utils.media.videos import open_video


def test_examples_follow_each_other_with_their_sounds(tmp_path):
    main(["make", str(tmp_path / "clip.mp4"), "rehearsal_a", "cow_owl_a"])
    video = open_video(tmp_path / "clip.mp4")
    frames = [frame.image for frame in video.frames(FPS)]
    assert (len(frames), video.size) == (2 * FPS * SECONDS, SIZE)
    sound = SoundTrack(tmp_path / "clip.mp4", 9, video.sound_starts_at)
    assert all(np.abs(sound.between(at, at + 1)).max() > 0.05 for at in (0.5, SECONDS + 0.2))
    main(["animate", str(tmp_path / "clip.mp4"), str(tmp_path / "clip.webp")])
    assert Image.open(tmp_path / "clip.webp").n_frames >= 2 and Image.open(tmp_path / "clip.webp").size == SIZE[::-1]
