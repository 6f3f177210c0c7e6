import numpy as np
import pytest
import torch

from models.audio_tagger.classifier import AudioClassifier
from models.roles import AudioTagger
from tests.checkpoints import LABELS, save_audio_classifier


@pytest.fixture(scope="module")
def tagger(loaded):
    return loaded["audio_tagger"]


def test_labels_come_best_first_with_probabilities(tagger, sounds):
    tags = tagger.tag(*sounds, top_k=3)
    assert isinstance(tagger, AudioTagger) and tagger.labels == LABELS
    assert [len(some) for some in tags] == [3] * 6
    for some in tags:
        probabilities = [probability for _, probability in some]
        assert (
            probabilities == sorted(probabilities, reverse=True) and 0 <= min(probabilities) <= max(probabilities) <= 1
        )
        assert {label for label, _ in some} <= set(LABELS) and all(type(p) is float for p in probabilities)
    assert tagger.tag([], []) == []
    assert len(tagger.tag(sounds[0][:1], sounds[1][:1], top_k=50)[0]) == len(LABELS)


def probabilities(tagger, waveforms, rates):
    return np.array([[dict(some)[label] for label in LABELS] for some in tagger.tag(waveforms, rates, top_k=5)])


def test_alone_or_in_a_batch_and_twice_it_is_the_same(tagger, sounds):
    together = probabilities(tagger, *sounds)
    alone = [probabilities(tagger, [waveform], [rate])[0] for waveform, rate in zip(*sounds, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(probabilities(tagger, *sounds), together)


def test_the_library_itself_gives_the_same(tagger, sounds):
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    network = ASTForAudioClassification.from_pretrained(tagger.provenance["id"], dtype=torch.float32).eval()
    extractor = ASTFeatureExtractor.from_pretrained(tagger.provenance["id"])
    with torch.no_grad():
        logits = network(**extractor(sounds[0][0], sampling_rate=16000, return_tensors="pt")).logits
    np.testing.assert_allclose(probabilities(tagger, sounds[0][:1], [16000]), logits.sigmoid(), atol=1e-5)


def test_a_long_sound_is_the_mean_of_its_windows(tagger, sounds):
    assert tagger.window_seconds == pytest.approx(1.015)  # 100 frames of 10 ms, the last one 25 ms long
    waveform, length = sounds[0][1][:40000], 16240
    windows = [waveform[:length], waveform[length : 2 * length], waveform[-length:]]
    mean = probabilities(tagger, windows, [16000] * 3).mean(axis=0)
    np.testing.assert_allclose(probabilities(tagger, [waveform], [16000])[0], mean, atol=1e-5)


@pytest.mark.parametrize(
    ("problem_type", "setting", "multi_label"),
    [
        (None, None, True),
        ("multi_label_classification", None, True),
        ("single_label_classification", None, False),
        ("single_label_classification", True, True),
        (None, False, False),
    ],
)
def test_softmax_or_sigmoid(tmp_path, sounds, problem_type, setting, multi_label):
    folder = save_audio_classifier(tmp_path, problem_type=problem_type)
    tagger = AudioClassifier.from_pretrained(str(folder), multi_label=setting)
    assert tagger.multi_label is multi_label
    total = probabilities(tagger, *sounds).sum(axis=1)
    assert np.allclose(total, 1, atol=1e-5) is not multi_label


def test_shorter_windows_can_be_set(folders, sounds):
    tagger = AudioClassifier.from_pretrained(str(folders["audio_tagger"]), window_seconds=0.5)
    waveform = sounds[0][1][:16000]
    halves = probabilities(tagger, [waveform[:8000], waveform[8000:]], [16000] * 2).mean(axis=0)
    np.testing.assert_allclose(probabilities(tagger, [waveform], [16000])[0], halves, atol=1e-5)
