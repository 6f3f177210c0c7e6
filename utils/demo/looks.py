"""Which frames of a video the networks look at, with which sound, and what follows for the frames between.

What is drawn for a look is calmed over three of them. Neither a look nor its sound reaches over a cut. Everything is
done in passing: of a long video only seconds are held.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np
from PIL import Image

from utils.media.sounds import is_silent
from utils.media.soundtracks import SoundTrack
from utils.media.videos import Frame
from utils.types import Prediction, Sample

Predict = Callable[[Sequence[Sample]], Sequence[Prediction]]

BATCH = 8  # looks that are predicted together
CALM = 1.75  # seconds from the first to the last of three looks that are calmed
QUIET_SECONDS = 0.5  # that have to be silent around a frame for it to show nothing
THUMB = 32  # pixels a side of what frames are compared by
CUT = 40.0  # of 255, by which all places of a frame differ on average from the frame before after a cut
STILL = 6.0  # of 255, by which no place of a frame differs from another that it is as good as


@dataclass(frozen=True)
class Pace:
    """How often what is done.

    Attributes:
        fps: frames a second that are shown, and have a mask.
        look: seconds from one look of the networks to the next; of what is left, masks are between two looks'. 0 for a
            look at every frame.
        window: seconds of sound around a moment that decide it.
        threshold: the mask is where the score is above.
    """

    fps: float = 4.0
    look: float = 0.75
    window: float = 2.0
    threshold: float = 0.5


@dataclass(frozen=True)
class Moment:
    """What is said of one frame.

    Attributes:
        seconds: from the video's start.
        heard: in words; "nothing" in silence.
        looked_for: what the segmenter was asked, "" for nothing.
        sure: in [0, 1]: the mean score within the mask; where there is none, the highest there is.
        share: of the picture that the mask covers.
        why: why there is nothing to look for, "" where there is.
    """

    seconds: float
    heard: str
    looked_for: str
    sure: float
    share: float
    why: str = ""


@dataclass(frozen=True, eq=False)
class Look:
    """A frame that the networks are shown.

    Attributes:
        shot: its number; 0 up to the first cut.
        frames: those after the shot's look before, the last of which is looked at.
        picture: what is shown for it: of frames that hardly differ the first, so that a memory knows it.
        start, stop: seconds, the sound that goes with it.
        silent: for each of `frames`, whether nothing is heard around it.
        prediction: what is answered.
    """

    shot: int
    frames: Sequence[Frame]
    picture: np.ndarray
    start: float
    stop: float
    silent: Sequence[bool] = ()
    prediction: Prediction | None = None

    @property
    def time(self) -> float:
        return self.frames[-1].time


def looks(frames: Iterable[Frame], pace: Pace) -> Iterator[Look]:
    """Chooses what to look at: the first and the last frame of a shot, and one every `pace.look` seconds.

    A look comes when as much of what follows is known as its sound needs.
    """
    reach, number, begin = pace.window / 2, 0, 0.0
    waiting: list[Look] = []
    since: list[Frame] = []
    due, before, shown, shown_thumb = -math.inf, None, None, None

    def look() -> None:
        nonlocal shown, shown_thumb, since, due
        thumb = _thumb(since[-1].image)
        if shown is None or np.abs(thumb - shown_thumb).max() > STILL:
            shown, shown_thumb = since[-1].image, thumb
        time = since[-1].time
        waiting.append(Look(number, since, shown, max(begin, time - reach), time + reach))
        since, due = [], time + pace.look - 1e-6

    for frame in frames:
        thumb = _thumb(frame.image)
        if before is not None and np.abs(thumb - before).mean() > CUT:
            if since:
                look()
            yield from (replace(one, stop=min(one.stop, frame.time)) for one in waiting)
            number, begin, due = number + 1, frame.time, -math.inf
            waiting.clear()
        since.append(frame)
        if frame.time >= due:
            look()
        while waiting and waiting[0].stop <= frame.time:
            yield waiting.pop(0)
        before = thumb
    if since:
        look()
    yield from waiting


def answered(looks: Iterator[Look], sound: SoundTrack, predict: Predict, name: str) -> Iterator[Look]:
    """Asks a method about some looks at a time, and whether anything is heard around each frame."""

    def heard(look: Look) -> tuple[Look, Sample]:
        half = QUIET_SECONDS / 2
        around = [sound.between(frame.time - half, frame.time + half) for frame in look.frames]
        silent = [is_silent(waveform, sound.sampling_rate) for waveform in around]
        waveform = sound.between(look.start, look.stop)
        return replace(look, silent=silent), Sample(name, look.picture, waveform, sound.sampling_rate)

    while batch := [heard(look) for look in islice(looks, BATCH)]:
        predictions = predict([sample for _, sample in batch])
        for (look, _), prediction in zip(batch, predictions, strict=True):
            yield replace(look, prediction=prediction)


def calmed(looks: Iterable[Look]) -> Iterator[Look]:
    """Outvotes a look that differs from those beside it: at each pixel, the median of three looks of a shot.

    They are the one before, the look itself and the one after; at the ends of a shot, its first or last three. Three
    that are further apart than CALM seconds may rightly differ, as a frame a second of AVSBench, and are left alone.
    """
    for _, of_shot in groupby(looks, lambda look: look.shot):
        shot = iter(of_shot)
        three = list(islice(shot, 3))
        if len(three) < 3:
            yield from three
            continue
        yield _agreed(three, 0)
        yield _agreed(three, 1)
        for look in shot:
            three = [*three[1:], look]
            yield _agreed(three, 1)
        yield _agreed(three, 2)


def _agreed(three: Sequence[Look], own: int) -> Look:
    if three[2].time - three[0].time > CALM:
        return three[own]
    predictions = [look.prediction for look in three]
    score_map = np.median([one.score_map for one in predictions], axis=0).astype(np.float32)
    asked = [_asked(one) for one in predictions]
    two = max(asked, key=asked.count)  # the first of them where all differ
    said = predictions[own] if asked.count(two) == 1 or asked[own] == two else predictions[asked.index(two)]
    return replace(three[own], prediction=replace(said, score_map=score_map))


def between_looks(looks: Iterable[Look], threshold: float) -> Iterator[tuple[Frame, np.ndarray, Moment]]:
    """Every frame with its score map, between those of the looks before and after it, and what is said of it."""
    before = None
    for look in looks:
        for frame, silent in zip(look.frames, look.silent, strict=True):
            here = look.prediction
            score_map = here.score_map
            if before is not None and before.shot == look.shot and frame is not look.frames[-1]:
                share = (frame.time - before.time) / (look.time - before.time)
                score_map = (1 - share) * before.prediction.score_map + share * score_map
                here = here if share >= 0.5 else before.prediction
            if silent:
                score_map, here = np.zeros_like(score_map), None
            yield frame, score_map, _moment(frame.time, score_map, here, threshold)
        before = look


def _moment(seconds: float, score_map: np.ndarray, prediction: Prediction | None, threshold: float) -> Moment:
    if prediction is None:
        return Moment(seconds, "nothing", "", 0.0, 0.0, "it is silent")
    mask = score_map > threshold
    sure = float(score_map[mask].mean() if mask.any() else score_map.max(initial=0))
    heard, why = (str(prediction.trail.get(key) or "") for key in ("heard", "reason"))
    return Moment(seconds, heard, _asked(prediction), sure, float(mask.mean()), why)


def _asked(prediction: Prediction) -> str:
    return str(prediction.trail.get("query") or "")


def _thumb(image: np.ndarray) -> np.ndarray:
    """What frames are compared by: (THUMB, THUMB, 3) float32, each place the mean of an area."""
    small = Image.fromarray(image).resize((THUMB, THUMB), Image.Resampling.BOX)
    return np.asarray(small, np.float32)
