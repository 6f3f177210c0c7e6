"""A video and its sound in, the same video out with the mask of what sounds at each moment, a strip and a timeline.

Conventions: those of `utils.media.videos`; score_map: (H, W) float32 in [0, 1] of an image's size.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from utils.demo.captions import canvas_size, subtitled, words_of
from utils.demo.looks import Moment, Pace, Predict, answered, between_looks, calmed, looks
from utils.files import file_name, make_own_folder, write_text_atomic
from utils.media.drawing import draw_overlay, grey, save_png, side_by_side
from utils.media.images import resize_score_map
from utils.media.soundtracks import SoundTrack
from utils.media.videos import Video, open_video, writing

FEWEST_STILLS, MOST_STILLS, STILLS_A_ROW = 4, 8, 4
HEADER = ("seconds", "heard", "looked_for", "sure", "share_of_picture")


@dataclass(frozen=True, eq=False)
class VideoAnswer:
    """What became of a video.

    Attributes:
        files: "video", "strip", "timeline" and, where asked for, "masks" (a folder).
        moments: one a frame.
    """

    files: Mapping[str, Path]
    moments: Sequence[Moment]


def annotate(
    video: Video, sound_path: Path, predict: Predict, pace: Pace, stem: Path, masks: bool = False
) -> VideoAnswer:
    """Writes STEM.mp4, STEM_strip.png, STEM_timeline.csv and, with `masks`, STEM_masks/NAME_1.png, NAME_2.png, ...

    Args:
        video: see `open_video`; NAME is that of its file.
        sound_path: what is heard over it, mostly its own path.
        predict: a method.
        pace: how often what is done.
        stem: path of the results without their endings.
        masks: whether to write the mask of every frame, of an image's size, numbered as AVSBench numbers frames.

    Raises:
        UserError: the video or its sound cannot be read.
    """
    starts_at = video.sound_starts_at if sound_path == video.path else 0.0
    sound = SoundTrack(sound_path, pace.window + pace.look + 1, starts_at or 0.0)
    files = {"video": stem.with_name(f"{stem.name}.mp4"), "strip": stem.with_name(f"{stem.name}_strip.png")}
    files["timeline"] = stem.with_name(f"{stem.name}_timeline.csv")
    if masks:
        files["masks"] = stem.with_name(f"{stem.name}_masks")
        make_own_folder(files["masks"])
    size, moments = canvas_size(video.size), []
    whole = subtitled(np.zeros((*size, 3), np.uint8), ("", "")).shape[:2]
    seen = answered(looks(video.frames(pace.fps), pace), sound, predict, video.path.stem)
    total = math.ceil(video.seconds * pace.fps) if video.seconds else None
    with (
        writing(files["video"], whole, pace.fps, sound) as write,
        tqdm(total=total, desc=stem.name, unit="frame", disable=None, leave=False) as bar,
    ):
        for frame, score_map, moment in between_looks(calmed(seen), pace.threshold):
            mask = score_map > pace.threshold
            write(subtitled(overlay(frame.image, score_map, pace.threshold, size), words_of(moment)))
            moments.append(moment)
            if masks:
                save_png(grey(mask), files["masks"] / file_name(video.path.stem, f"_{len(moments)}.png"))
            bar.update()
    write_timeline(moments, files["timeline"])
    save_png(strip(files["video"], moments, pace.fps), files["strip"])
    if masks:
        _remove_further(files["masks"], video.path.stem, len(moments))
    return VideoAnswer(files, tuple(moments))


def _remove_further(folder: Path, stem: str, count: int) -> None:
    """Removes the masks that an earlier run with more frames wrote, so that the folder holds one run's."""
    while (path := folder / file_name(stem, f"_{count + 1}.png")).is_file():
        path.unlink()
        count += 1


def overlay(image: np.ndarray, score_map: np.ndarray, threshold: float, size: tuple[int, int]) -> np.ndarray:
    """The mask over its image, at a size (H, W); nothing of what stays below the threshold everywhere."""
    picture = image
    if image.shape[:2] != size:
        picture = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))
    score_map = resize_score_map(score_map, size)
    mask = score_map > threshold
    return np.asarray(draw_overlay(picture, mask, score_map if mask.any() else None))


def write_timeline(moments: Iterable[Moment], path: Path) -> None:
    """Writes HEADER and a line a frame as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for one in moments:
        writer.writerow([f"{one.seconds:.3f}", one.heard, one.looked_for, f"{one.sure:.3f}", f"{one.share:.4f}"])
    write_text_atomic(path, text.getvalue())


def strip(path: Path, moments: Sequence[Moment], fps: float) -> Image.Image:
    """Some frames of a written video side by side: the middle of each stretch in which one thing is shown."""
    chosen = set(stills(moments))
    frames = enumerate(open_video(path).frames(fps))
    shown = [frame for number, frame in frames if number in chosen]
    titled = [(f"{int(frame.time // 60)}:{frame.time % 60:05.2f}", Image.fromarray(frame.image)) for frame in shown]
    return side_by_side(titled, min(len(titled), STILLS_A_ROW))


def stills(moments: Sequence[Moment]) -> list[int]:
    """Numbers of frames, growing: the middles of the longest stretches; where these are few, frames evenly spread."""
    runs = [
        list(run) for _, run in groupby(range(len(moments)), lambda i: (moments[i].looked_for, moments[i].share > 0))
    ]
    if len(runs) < FEWEST_STILLS:
        count = min(len(moments), MOST_STILLS)
        return [int((i + 0.5) * len(moments) / count) for i in range(count)]
    return sorted(run[len(run) // 2] for run in sorted(runs, key=len, reverse=True)[:MOST_STILLS])
