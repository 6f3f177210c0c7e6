import json
import shutil

import numpy as np
import pytest
import torch

from models.audio_tagger.audio_classification import AudioClassifier, label_names
from models.roles import AudioTagger
from tests.checkpoints.tiny_config import LABELS, save_network
from tests.models.long_sounds import mean_by_energy
from utils.errors import NotFinite, UserError
from utils.language import audioset
from utils.language.audioset import labels

AST = "MIT/ast-finetuned-audioset-10-10-0.4593"


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
    waveform, length = sounds[0][1][:40000], 16000  # 20 moments of 50 ms
    windows = [waveform[:length], waveform[length : 2 * length], 0.5 * waveform[2 * length :]]
    mean = mean_by_energy(probabilities(tagger, windows, [16000] * 3), windows)
    silence = np.zeros(5 * 16000, np.float32)
    late = np.concatenate([silence, *windows, silence])
    for sound in (np.concatenate(windows), late):
        np.testing.assert_allclose(probabilities(tagger, [sound], [16000])[0], mean, atol=1e-4)


@pytest.mark.parametrize(
    ("problem_type", "setting", "activation"),
    [
        (None, "auto", "sigmoid"),
        ("multi_label_classification", "auto", "sigmoid"),
        ("single_label_classification", "auto", "softmax"),
        ("single_label_classification", "sigmoid", "sigmoid"),
        (None, "softmax", "softmax"),
    ],
)
def test_softmax_or_sigmoid(tmp_path, sounds, problem_type, setting, activation):
    folder = save_network("audio_tagger", tmp_path, problem_type=problem_type)
    tagger = AudioClassifier.from_pretrained(str(folder), activation=setting)
    assert tagger.activation == activation
    total = probabilities(tagger, *sounds).sum(axis=1)
    assert np.allclose(total, 1, atol=1e-5) is (activation == "softmax")


def test_outputs_that_are_probabilities_are_left_alone(folders, tagger, sounds):
    bare = AudioClassifier.from_pretrained(str(folders["audio_tagger"]), activation="none")
    outputs = torch.from_numpy(probabilities(bare, sounds[0][:1], [16000]))
    np.testing.assert_allclose(probabilities(tagger, sounds[0][:1], [16000]), outputs.sigmoid(), atol=1e-5)
    bare.network.config.model_type = "ced"  # its network takes the sigmoid itself
    assert AudioClassifier(bare.network, bare.processor, {}).activation == "none"


def test_one_label_that_is_no_number_is_refused_though_it_would_come_last(folders, sounds):
    damaged = AudioClassifier.from_pretrained(str(folders["audio_tagger"]))
    damaged.network.classifier.dense.bias[0] = torch.nan
    with pytest.raises(NotFinite, match="audio_classification"):
        damaged.tag(*sounds, top_k=1)


def test_shorter_windows_can_be_set(folders, sounds):
    tagger = AudioClassifier.from_pretrained(str(folders["audio_tagger"]), window_seconds=0.5)
    waveform = sounds[0][1][:16000]
    halves = probabilities(tagger, [waveform[:8000], waveform[8000:]], [16000] * 2).mean(axis=0)
    np.testing.assert_allclose(probabilities(tagger, [waveform], [16000])[0], halves, atol=1e-5)


@pytest.fixture(scope="module")
def ast_folder(tiny):
    """An AST with AudioSet's labels."""
    return tiny(AST)


@pytest.mark.parametrize("form", ["{name}", "LABEL_{index}", "{mid}"])
def test_audiosets_labels_by_name_by_number_or_by_machine_id(ast_folder, tmp_path, sounds, form):
    import csv

    with audioset.TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    folder = shutil.copytree(ast_folder, tmp_path / "ast")
    config = json.loads((folder / "config.json").read_text())
    called = [form.format(name=row["label"], index=row["index"], mid=row["mid"]) for row in rows]
    config |= {"id2label": dict(enumerate(called)), "label2id": {name: i for i, name in enumerate(called)}}
    (folder / "config.json").write_text(json.dumps(config))
    found, expected = (AudioClassifier.from_pretrained(str(path)) for path in (folder, ast_folder))
    assert found.labels == list(audioset.labels())
    assert found.tag(*sounds) == expected.tag(*sounds)


def test_half_precision_stays_near(ast_folder, sounds):
    half, full = (AudioClassifier.from_pretrained(str(ast_folder), dtype=dtype) for dtype in ("bfloat16", "float32"))
    for some, others in zip(half.tag(*sounds, top_k=527), full.tag(*sounds, top_k=527), strict=True):
        assert max(abs(dict(some)[label] - probability) for label, probability in others) < 0.05


@pytest.fixture(scope="module")
def hubert(tmp_path_factory):
    """Another architecture, which hears the waveform itself."""
    from transformers import HubertConfig, HubertForSequenceClassification, Wav2Vec2FeatureExtractor

    config = HubertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=(16, 16, 16),
        conv_kernel=(10, 3, 3), conv_stride=(5, 4, 4), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
        classifier_proj_size=32, id2label=dict(enumerate(LABELS)), label2id={name: i for i, name in enumerate(LABELS)},
        initializer_range=0.2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("hubert")
    torch.manual_seed(0)
    HubertForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def test_any_architecture_of_the_library_works_by_its_files_alone(hubert, sounds):
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    tagger = AudioClassifier.from_pretrained(str(hubert))
    assert tagger.window_seconds == 10 and tagger.labels == LABELS
    together = probabilities(tagger, *sounds)
    alone = [probabilities(tagger, [waveform], [rate])[0] for waveform, rate in zip(*sounds, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 1e-3
    network = AutoModelForAudioClassification.from_pretrained(hubert).eval()
    inputs = AutoFeatureExtractor.from_pretrained(hubert)(sounds[0][0], sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        expected = network(**inputs).logits.sigmoid()
    np.testing.assert_allclose(together[:1], expected, atol=1e-5)


def test_code_that_comes_with_a_checkpoint_is_named_and_not_run(folders, tmp_path):
    folder = shutil.copytree(folders["audio_tagger"], tmp_path / "ced")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "ced_of_its_own", "auto_map": {"AutoConfig": "configuration_ced.CedConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_ced.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(UserError, match="`trust_remote_code: true`"):
        AudioClassifier.from_pretrained(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_missing_tensor_is_refused(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["audio_tagger"], tmp_path / "ast")
    tensors = load_file(folder / "model.safetensors")
    del tensors["classifier.dense.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 of its tensors.*classifier\.dense\.bias"):
        AudioClassifier.from_pretrained(str(folder))


@pytest.mark.parametrize("form", ["LABEL_{}", "{}"])
def test_527_numbers_are_audiosets_in_order(form):
    names = label_names([form.format(index) for index in range(527)])
    assert names == list(labels()) and names[0] == "Speech" and names[526] == "Field recording"


def test_machine_ids_are_looked_up_in_any_order_and_number():
    assert label_names(["/m/0bt9lr", "/m/09x0r", "/t/dd00001", "/m/nobody"]) == [
        "Dog",
        "Speech",
        "Baby laughter",
        "/m/nobody",
    ]


@pytest.mark.parametrize("given", [["LABEL_0", "LABEL_1"], ["dog", "/m/09x0r"], [], [f"dog {i}" for i in range(527)]])
def test_names_and_other_numbers_stay(given):
    assert label_names(given) == given
