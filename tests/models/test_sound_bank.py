"""Banks of sounds: z-scores known by construction, files, and of which networks they are."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from models import bank as program
from models.config import ROOT, Config, load_config
from models.loading import load_models
from models.sound_bank import HEARING, SoundBank, bank_of
from utils.errors import UserError, run_script

NETWORKS = {role: {"family": "a", "id": f"somewhere/{role}", "sha256": role[-2:] * 4} for role in HEARING}


def config(**audio_text) -> Config:
    roles = {
        "audio_text": {"family": "a", "weights": "w", **audio_text},
        "audio_tagger": {"family": "a", "weights": "w"},
    }
    return Config("mine", Path("configs/mine.yaml"), "", roles)


def loaded(**changes) -> dict:
    return {role: SimpleNamespace(provenance={**NETWORKS[role], **changes.get(role, {})}) for role in HEARING}


def make(path: Path, settings: dict | None = None) -> SoundBank:
    networks = {role: {"settings": {}, "network": NETWORKS[role]} for role in HEARING}
    networks["audio_text"]["settings"] = settings or {}
    bank = SoundBank(np.eye(2, 3, dtype=np.float32), np.full((2, 1), 0.5, np.float32), ("dog",), {"networks": networks})
    bank.write(path)
    return bank


def test_z_scores_of_sentences():
    bank = SoundBank(np.eye(2, dtype=np.float32), np.zeros((2, 1)), ["dog"], {})
    texts = np.array([[1, 0], [0.6, 0.8]], np.float32)  # with unrelated sounds: 1 and 0, 0.6 and 0.8
    found = bank.text_z_scores(texts, np.array([1, 0], np.float32))
    assert found == pytest.approx([(1 - 0.5) / (0.5 + 0.005), (0.6 - 0.7) / (0.1 + 0.005)], rel=1e-5)
    longer = SoundBank(3 * bank.audio_embeds, bank.probabilities, ["dog"], {})  # products of any size
    assert longer.text_z_scores(2 * texts, np.array([3, 0], np.float32)) == pytest.approx(found, rel=1e-5)


def test_a_sentence_that_no_sound_is_near_to_has_no_z_score():
    bank = SoundBank(np.eye(2, 3, dtype=np.float32), np.zeros((2, 1)), ["dog"], {})
    assert bank.text_z_scores(np.array([[0, 0, 1.0], [0, 0, 0]]), np.array([1.0, 0, 0])) == pytest.approx([0, 0])


def test_z_scores_of_tags_add_labels_up():
    log = np.log
    bank = SoundBank(np.eye(2), np.array([[0.1, 0.1, 0.8], [0.4, 0.4, 0.2]]), ["Bark", "Howl", "Meow"], {})
    members = np.array([[True, True, False], [False, False, False]])
    unrelated = log([0.2001, 0.8001])
    expected = (log(0.5001) - unrelated.mean()) / (unrelated.std() + 0.5)
    assert bank.tag_z_scores(np.array([0.3, 0.2, 0.5]), members) == pytest.approx([expected, 0])


def test_a_file_is_read_as_it_was_written(tmp_path):
    written, path = make(tmp_path / "bank.safetensors", {"window": 3}), tmp_path / "bank.safetensors"
    found = SoundBank.read(path)
    assert np.array_equal(found.audio_embeds, written.audio_embeds)
    assert found.probabilities == pytest.approx(written.probabilities, rel=1e-3)
    assert found.labels == ("dog",) and found.origin == json.loads(json.dumps(written.origin))
    make(tmp_path / "again.safetensors", {"window": 3})
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_a_bank_is_of_the_networks_that_it_was_made_with(tmp_path):
    make(path := tmp_path / "bank.safetensors")
    assert bank_of(config(bank=str(path)), loaded()).labels == ("dog",)
    moved = loaded(audio_text={"id": "elsewhere"})  # with the same hash
    assert bank_of(config(bank=str(path)), moved).labels == ("dog",)
    for role in HEARING:
        with pytest.raises(
            UserError, match=f"made with the {role} of mine, found .*, made with another or .*--config mine"
        ):
            bank_of(config(bank=str(path)), loaded(**{role: {"sha256": "another"}}))
    with pytest.raises(UserError, match="with other settings"):
        bank_of(config(bank=str(path), window=3), loaded())
    make(path, {"window": 3})
    assert bank_of(config(bank=str(path), window=3), loaded()).labels == ("dog",)


def test_what_is_no_bank_is_one_sentence(tmp_path):
    command = "`python -m models.bank DIR --config mine --out FILE`"
    with pytest.raises(UserError, match=f"found none in configs/mine.yaml; make one with {command}"):
        bank_of(config(), loaded())
    path = tmp_path / "bank.safetensors"
    with pytest.raises(UserError, match="found nothing"):
        bank_of(config(bank=str(path)), loaded())
    path.write_bytes(b"no bank at all")
    with pytest.raises(UserError, match="expected a bank of sounds at .*, found .*; make one with .* and name it"):
        bank_of(config(bank=str(path)), loaded())


def test_the_bundled_bank_is_of_the_bundled_networks():
    config = load_config()
    bank = load_models(config, HEARING, "cpu")["audio_text"].bank()
    path = ROOT / config.roles["audio_text"]["bank"]
    assert bank.audio_embeds.shape == (80, 248) and len(bank.labels) == 137
    assert bank.origin["sounds"]["number"] == 80 and path.stat().st_size < 200_000


def test_other_weights_have_no_bank_and_other_roles_neither():
    other = "audio_text.weights=models/pocket/words"
    assert "bank" not in load_config("pocket", ["audio_text.family=clap", other]).roles["audio_text"]
    with pytest.raises(UserError, match="unknown setting 'bank' in role segmenter"):
        load_config("pocket", ["segmenter.bank=here"])
    with pytest.raises(UserError, match="audio_text.bank must be the path of a file; found 3"):
        load_config("pocket", ["audio_text.bank=3"])


@pytest.fixture
def folder(tmp_path, fakes, monkeypatch):
    """Sounds in two folders, one of them twice, one silent; and networks that are known."""
    models = fakes.make_models()
    for role in HEARING:
        models[role].provenance = NETWORKS[role]
    monkeypatch.setattr(program, "load_models", lambda *_: models)
    (tmp_path / "wav" / "more").mkdir(parents=True)
    for number in range(12):
        sample = fakes.make_sample(fakes.NAMES[number % 4], seconds=0.5 + number / 100)
        soundfile.write(
            tmp_path / "wav" / ("more" if number % 2 else ".") / f"{number}.wav", sample.waveform, fakes.RATE
        )
    soundfile.write(tmp_path / "wav" / "again.wav", sample.waveform, fakes.RATE)
    soundfile.write(tmp_path / "wav" / "silent.flac", 0 * sample.waveform, fakes.RATE)
    (tmp_path / "wav" / "readme.txt").write_text("no sound")
    return tmp_path


def run(folder, *options):
    where = ["--out", str(folder / "further" / "bank.safetensors"), "--config", "tests/fakes.yaml"]
    return program.main([str(folder), *where, *options])


def test_the_program_hears_each_sound_once(folder, capsys, fakes):
    bank = run(folder)
    assert len(bank.audio_embeds) == 12 and list(bank.labels) == sorted(fakes.NAMES)
    assert np.bincount(bank.probabilities.argmax(1)).tolist() == [3, 3, 3, 3]
    assert bank.probabilities.max(1) == pytest.approx([0.8] * 12)
    assert f"--set audio_text.bank={folder / 'further' / 'bank.safetensors'}" in capsys.readouterr().out
    kept = SoundBank.read(folder / "further" / "bank.safetensors")
    assert kept.origin == bank.origin and kept.origin["sounds"]["number"] == 12
    assert kept.origin["networks"]["audio_text"]["network"] == NETWORKS["audio_text"]


def test_fewer_can_be_asked_for_and_the_choice_is_the_same_every_time(folder):
    first, again = run(folder, "--sounds", "10"), run(folder / "wav", "--sounds", "10")
    assert len(first.audio_embeds) == 10 and first.origin == again.origin
    assert np.array_equal(first.audio_embeds, again.audio_embeds)


def test_too_few_sounds_are_one_sentence(folder, capsys):
    assert run_script(lambda: run(folder / "wav" / "more")) == 2
    assert "expected 10 different audible sounds or more in" in capsys.readouterr().err
