"""A method that is right by construction on videos made in the test: what is looked at, calmed, said and written."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile
from PIL import Image

from utils.demo.captions import canvas_size, fitted, subtitled, thing_of, words_of
from utils.demo.looks import Look, Moment, Pace, answered, between_looks, calmed, looks
from utils.demo.video import annotate, stills
from utils.media.soundtracks import SoundTrack
from utils.media.videos import Frame, open_video, writing
from utils.trails import abstain, ask_for
from utils.types import Prediction, Query

RATE = 8000
LEFT, RIGHT = 400, 800  # Hz; what sounds so is in that half of the picture


def view(seed: int, size=(48, 80)) -> np.ndarray:
    """A picture of its own."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 10, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST))


def frames_of(views, fps=4.0) -> list[Frame]:
    return [Frame(number / fps, image) for number, image in enumerate(views)]


def tone(hertz: int, seconds: float) -> np.ndarray:
    times = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def predict(samples) -> list[Prediction]:
    """The half of the picture that the louder of the two pitches stands for."""
    found = []
    for sample in samples:
        spectrum = np.abs(np.fft.rfft(sample.waveform, sample.sampling_rate))
        score_map = np.zeros(sample.image.shape[:2], np.float32)
        if not spectrum.any():
            found.append(Prediction(score_map, (), abstain("the sound is silent", "nothing").trail))
            continue
        side = "left" if spectrum[LEFT - 5 : LEFT + 5].sum() > spectrum[RIGHT - 5 : RIGHT + 5].sum() else "right"
        half = score_map.shape[1] // 2
        score_map[:, slice(half) if side == "left" else slice(half, None)] = 0.9
        query = Query(f"A photo of {side}")
        found.append(Prediction(score_map, (query,), ask_for([query], f"a sound most like {side}").trail))
    return found


@pytest.fixture
def clip(tmp_path):
    """Three seconds with the left pitch, one silent, two with the right one; a cut at 4 s. AVSBench-like: 48 x 80."""
    sound = np.concatenate([tone(LEFT, 3), np.zeros(RATE, np.float32), tone(RIGHT, 2)])
    soundfile.write(tmp_path / "sound.wav", sound, RATE)
    path = tmp_path / "clip.mp4"
    with writing(path, (48, 80), 8, SoundTrack(tmp_path / "sound.wav", 1)) as write:
        for number in range(48):
            write(view(1) if number < 32 else view(2))
    return path


def test_the_mask_follows_the_sound_and_silence_shows_none(clip, tmp_path):
    answer = annotate(open_video(clip), clip, predict, Pace(), tmp_path / "out", masks=True)
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        "out.mp4",
        "out_masks",
        "out_strip.png",
        "out_timeline.csv",
    ]
    moments = answer.moments
    assert [one.seconds for one in moments] == [i / 4 for i in range(24)]
    assert {one.looked_for for one in moments[:11]} == {"A photo of left"}
    assert all(one.share == 0.5 and one.sure == pytest.approx(0.9) for one in moments[:11])
    assert [(one.heard, one.share) for one in moments[14:15]] == [("nothing", 0.0)]  # 3.5 s
    assert {one.looked_for for one in moments[17:]} == {"A photo of right"}
    for number, one in enumerate(moments, 1):
        mask = np.asarray(Image.open(tmp_path / f"out_masks/clip_{number}.png"))
        assert mask.shape == (48, 80) and mask.mean() / 255 == one.share
    assert not (tmp_path / "out_masks/clip_25.png").exists()
    rows = list(csv.DictReader((tmp_path / "out_timeline.csv").read_text().splitlines()))
    assert len(rows) == 24
    assert rows[1] == {
        "seconds": "0.250",
        "heard": "a sound most like left",
        "looked_for": "A photo of left",
        "sure": "0.900",
        "share_of_picture": "0.5000",
    }
    written = open_video(tmp_path / "out.mp4")
    shown = [frame.image for frame in written.frames(4)]
    assert (len(shown), written.size[1], written.sound_starts_at is not None) == (24, 600, True)
    before, after = shown[4], shown[20]  # tinted magenta where it sounds
    tint = [image[:300, half, 0].mean() - image[:300, half, 1].mean() for image in (before, after) for half in HALVES]
    assert tint[0] > tint[1] + 30 and tint[3] > tint[2] + 30
    assert Image.open(tmp_path / "out_strip.png").width > 420


HALVES = (slice(20, 280), slice(320, 580))


def test_fewer_masks_than_before_leave_none_of_those(clip, tmp_path):
    annotate(open_video(clip), clip, predict, Pace(), tmp_path / "out", masks=True)
    (tmp_path / "out_masks/own.png").touch()
    annotate(open_video(clip), clip, predict, Pace(fps=1), tmp_path / "out", masks=True)
    names = {path.name for path in (tmp_path / "out_masks").iterdir()}
    assert names == {"own.png", *(f"clip_{number}.png" for number in range(1, 7))}


def test_work_that_is_interrupted_leaves_no_half_file(clip, tmp_path):
    def interrupted(samples):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate(open_video(clip), clip, interrupted, Pace(), tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_looks_are_at_the_ends_of_shots_and_some_seconds_apart():
    found = list(looks(iter(frames_of([view(1)] * 9 + [view(2)] * 2)), Pace(look=0.75)))
    assert [(look.shot, look.time, len(look.frames)) for look in found] == [
        (0, 0.0, 1),
        (0, 0.75, 3),
        (0, 1.5, 3),
        (0, 2.0, 2),
        (1, 2.25, 1),
        (1, 2.5, 1),
    ]
    assert [(look.start, look.stop) for look in found] == [
        (0, 1),
        (0, 1.75),
        (0.5, 2.25),  # no sound from behind the cut
        (1, 2.25),
        (2.25, 3.25),
        (2.25, 3.5),
    ]
    assert found[3].picture is found[0].picture is not found[4].picture  # known to a memory
    every = list(looks(iter(frames_of([view(1)] * 5)), Pace(look=0)))
    assert [len(look.frames) for look in every] == [1] * 5


def test_a_slow_change_is_seen(tmp_path):
    views = [np.full((48, 80, 3), 100 + 2 * number, np.uint8) for number in range(12)]
    pictures = [look.picture for look in looks(iter(frames_of(views)), Pace(look=0))]
    assert {id(picture) for picture in pictures} == {id(views[number]) for number in (0, 4, 8)}


def seen(scores, shots=None, words=None, apart=0.5) -> list[Look]:
    """Looks half a second apart, each with a frame a quarter of a second before it."""
    found = []
    for number, score in enumerate(scores):
        shot = (shots or [0] * len(scores))[number]
        asked = Query(f"A photo of {(words or ['dog'] * len(scores))[number]}")
        prediction = Prediction(np.full((2, 3), score, np.float32), (asked,), ask_for([asked], "a sound").trail)
        first = number == 0 or found[-1].shot != shot
        times = [number * apart] if first else [(number - 0.5) * apart, number * apart]
        frames = [Frame(time, np.zeros((2, 3, 3), np.uint8)) for time in times]
        found.append(Look(shot, frames, frames[0].image, 0, 1, [False] * len(frames), prediction))
    return found


def test_a_flicker_is_outvoted_and_a_change_is_not():
    scores = [0.9, 0.1, 0.9, 0.9, 0.2, 0.2, 0.2]
    found = [look.prediction.score_map[0, 0] for look in calmed(seen(scores))]
    np.testing.assert_allclose(found, [0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.2], atol=1e-6)
    for scores in ([0.1, 0.9, 0.9], [0.9, 0.9, 0.1]):  # at the ends of a shot too
        assert [round(float(look.prediction.score_map[0, 0]), 6) for look in calmed(seen(scores))] == [0.9] * 3
    words = [look.prediction.trail["query"] for look in calmed(seen([1] * 4, words=["dog", "cat", "dog", "cat"]))]
    assert [word[-3:] for word in words] == ["dog", "dog", "cat", "cat"]


def test_frames_a_second_apart_may_differ():
    found = [look.prediction.score_map[0, 0] for look in calmed(seen([0.9, 0.1, 0.9], apart=1))]
    np.testing.assert_allclose(found, [0.9, 0.1, 0.9], atol=1e-6)


def test_nothing_reaches_over_a_cut():
    found = list(calmed(seen([0.9, 0.1, 0.9], shots=[0, 1, 2])))
    np.testing.assert_allclose([look.prediction.score_map[0, 0] for look in found], [0.9, 0.1, 0.9], atol=1e-6)


def test_frames_between_looks_have_a_map_between():
    found = list(between_looks(seen([0.0, 1.0, 0.5]), 0.5))
    assert [frame.time for frame, *_ in found] == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose([score_map[0, 0] for _, score_map, _ in found], [0, 0.5, 1, 0.75, 0.5])
    assert [moment.share for *_, moment in found] == [0, 0, 1, 1, 0]
    assert [moment.sure for *_, moment in found] == pytest.approx([0, 0.5, 1, 0.75, 0.5])


def test_a_result_depends_on_no_batch(clip):
    batches = []

    def counted(samples):
        batches.append(len(samples))
        return predict(samples)

    video = open_video(clip)
    found = list(answered(looks(video.frames(4), Pace(look=0)), SoundTrack(clip, 4), counted, "clip"))
    alone = [predict([_sample(look, clip)])[0].score_map for look in found]
    assert batches == [8, 8, 8]
    for look, score_map in zip(found, alone, strict=True):
        np.testing.assert_array_equal(look.prediction.score_map, score_map)


def _sample(look, clip):
    from utils.types import Sample

    return Sample("x", look.picture, SoundTrack(clip, 9).between(look.start, look.stop), 48000)


@pytest.mark.parametrize(
    ("moment", "lines", "thing"),
    [
        (
            Moment(1, "a sound most like dog", "A photo of dog", 0.874, 0.241),
            ("Heard: a sound most like dog", "Shown: dog, 87% sure, 24% of the picture"),
            "dog",
        ),
        (
            Moment(1, "a sound", "A photo of a dog; a photo of an owl", 0.4, 0),
            ("Heard: a sound", "Looked for: dog, owl, not found"),
            "nothing",
        ),
        (
            Moment(1, "nothing", "", 0, 0, "it is silent"),
            ("Heard: nothing", "Shown: nothing, it is silent"),
            "nothing",
        ),
        (
            Moment(1, "", "", 0.9, 0.5),
            ("Heard: something", "Shown: what sounds, 90% sure, 50% of the picture"),
            "what sounds",
        ),
    ],
)
def test_words(moment, lines, thing):
    assert (words_of(moment), thing_of(moment)) == (lines, thing)


def test_pictures_are_large_enough_for_words_and_even():
    assert canvas_size((224, 224)) == (360, 360)
    assert canvas_size((719, 1279)) == (720, 1280)
    assert canvas_size((101, 1279)) == (102, 1280)
    image = subtitled(np.zeros((360, 360, 3), np.uint8), ("Heard: a dog", "Shown: " + "word " * 40))
    assert image.shape[1] == 360 and image.shape[0] % 2 == 0
    assert image[360:].max() == 255 and image[360:, -6:].max() == 0


def test_a_line_is_cut_at_a_word():
    from PIL import ImageFont

    font = ImageFont.load_default(16)
    assert fitted("Shown: a dog", font, 400) == "Shown: a dog"
    cut = fitted("Shown: nothing, the nearest has less than", font, 180)
    assert cut.endswith(" ...") and font.getlength(cut) <= 180


def test_stills_are_of_each_stretch():
    moments = [Moment(i, "", thing, 1, 1) for i, thing in enumerate("aaabbbbbccdd")]
    assert stills(moments) == [1, 5, 9, 11]
    assert stills(moments[:3]) == [0, 1, 2]
    assert stills([Moment(i, "", "a", 1, 1) for i in range(80)]) == [5, 15, 25, 35, 45, 55, 65, 75]
