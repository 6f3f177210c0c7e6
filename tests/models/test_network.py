"""Whatever reads words is refused without its vocabulary, and what it cannot answer in numbers is no answer."""

import json
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.config import family_class
from models.network import Pretrained, check_words
from models.remembering import said_of
from utils.errors import NotFinite, UserError

ALIKE = r"expected a tokenizer that tells dog from violin, found one that reads both alike; copy tokenizer.json again"
READERS = [  # role, family, part, hub id, what is said of a folder whose only vocabulary is another library's
    ("audio_text", "clap", "", "laion/clap-htsat-unfused", ALIKE),
    ("audio_text", "auto", "", "laion/clap-htsat-unfused", ALIKE),
    ("audio_text", "pe_av", "", "facebook/pe-av-small", "Couldn't instantiate the backend tokenizer"),
    ("audio_captioner", "whisper", "", "MU-NLPC/whisper-tiny-audio-captioning", ALIKE),
    ("audio_captioner", "audio_chat", "", "Qwen/Qwen2-Audio-7B-Instruct", ALIKE),
    ("audio_captioner", "audio_chat", "", "nvidia/audio-flamingo-3-hf", ALIKE),
    ("image_captioner", "blip", "", "Salesforce/blip-image-captioning-base", ALIKE),
    ("image_captioner", "florence2", "", "florence-community/Florence-2-base", ALIKE),
    ("image_captioner", "image_to_text", "", "Salesforce/blip2-opt-2.7b", ALIKE),
    ("image_captioner", "vision_chat", "", "Qwen/Qwen3-VL-4B-Instruct", ALIKE),
    ("segmenter", "clipseg", "", "CIDAS/clipseg-rd64-refined", ALIKE),
    ("segmenter", "grounded_sam", "detector", "iSEE-Laboratory/llmdet_base", ALIKE),
    ("segmenter", "grounded_sam", "detector", "IDEA-Research/grounding-dino-tiny", ALIKE),
    ("segmenter", "grounded_sam", "detector", "google/owlv2-base-patch16-ensemble", ALIKE),
    ("segmenter", "sam3", "", "facebook/sam3", ALIKE),
    ("segmenter", "sam3", "", "vil-uob/sam3-litetext-s0", ALIKE),
    ("segmenter", "sam_clip", "scorer", "timm/ViT-B-16-SigLIP", "name the family"),
]


@pytest.fixture
def damaged(tiny, tmp_path):
    """Loads a family from a tiny network of a hub id, without some files and with others that say nothing."""

    def load(role, family, part, hub_id, without=(), stray=()):
        folder = shutil.copytree(tiny(hub_id), tmp_path / "net")
        for name in without:
            (folder / name).unlink(missing_ok=True)
        for name in stray:
            (folder / name).write_text("{}")
        chosen = family_class(role, family)
        return (chosen.parts[part] if part else chosen).from_pretrained(str(folder))

    return load


@pytest.mark.parametrize(("role", "family", "part", "hub_id", "said"), READERS)
def test_a_folder_without_a_tokenizer_is_refused(damaged, role, family, part, hub_id, said):
    with pytest.raises(
        UserError, match=r"tokenizer.json is not there; copy the file again|its tokenizer is not in the"
    ):
        damaged(role, family, part, hub_id, without=["tokenizer.json"])


@pytest.mark.parametrize(("role", "family", "part", "hub_id", "said"), READERS)
def test_a_tokenizer_that_the_library_makes_of_nothing_is_refused(damaged, role, family, part, hub_id, said):
    with pytest.raises(UserError, match=f"cannot load .* as .*: .*{said}"):
        damaged(role, family, part, hub_id, without=["tokenizer.json"], stray=["spiece.model"])


@pytest.mark.parametrize(
    ("role", "family", "part", "hub_id"),
    [
        *(row[:4] for row in READERS[:-1]),
        ("audio_tagger", "audio_classification", "", "MIT/ast-finetuned-audioset-10-10-0.4593"),
        ("segmenter", "grounded_sam", "masks", "facebook/sam2.1-hiera-tiny"),
        ("segmenter", "sam_clip", "masks", "facebook/sam-vit-base"),
    ],
)
def test_a_folder_without_preprocessing_is_refused(damaged, role, family, part, hub_id):
    with pytest.raises(UserError, match="preprocessor_config.json is not there; copy the file again"):
        damaged(role, family, part, hub_id, without=["preprocessor_config.json", "processor_config.json"])


@pytest.mark.parametrize("reader", [READERS[7], READERS[-1]])
def test_settings_of_a_tokenizer_that_lack_are_named_where_they_are_needed(damaged, reader):
    """Florence-2 has tokens of its own there, SigLIP what it pads with."""
    with pytest.raises(UserError, match=r"\(tokenizer_config.json is not there\); "):
        damaged(*reader[:4], without=["tokenizer_config.json"])


@pytest.mark.parametrize("reader", [READERS[0], READERS[10]])
def test_a_vocabulary_in_the_older_files_is_read_and_is_no_vocabulary_without_its_merges(damaged, reader, tmp_path):
    whole = damaged(*reader[:4])
    folder, tokens = tmp_path / "net", json.loads((tmp_path / "net" / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(tokens["vocab"]))
    (folder / "merges.txt").write_text("".join(f"{' '.join(pair)}\n" for pair in tokens["merges"]) or "#version: 0.2\n")
    older = type(whole).from_pretrained(str(folder))
    for words in ("a photo of a dog", "violin"):
        assert older.processor.tokenizer(words)["input_ids"] == whole.processor.tokenizer(words)["input_ids"]
    (folder / "merges.txt").unlink()
    with pytest.raises(UserError, match="merges.txt is not there; copy"):
        type(whole).from_pretrained(str(folder))


class Tokenizer:
    """Gives words their ids, as a list, an array or a tensor of one row."""

    def __init__(self, dog, violin, wrap=lambda ids: {"input_ids": [ids]}):
        self.ids, self.wrap = {"dog": dog, "violin": violin}, wrap

    def __call__(self, words):
        return self.wrap(self.ids[words[0]])

    def __len__(self):
        return 0


@pytest.mark.parametrize("wrap", [lambda ids: {"input_ids": [ids]}, lambda ids: torch.tensor([ids])])
@pytest.mark.parametrize(
    ("dog", "violin", "fits"),
    [
        ([0, 3, 1], [0, 4, 1], True),
        ([0, 3, 1], [0, 4, 5, 1], True),
        ([0, 3, 1], [0, 3, 1], False),
        ([0, 1], [0, 1], False),
        ([], [], False),
        ([0, 7, 7, 7, 1], [0, 7, 7, 7, 7, 7, 7, 1], False),
        ([0, 7, 1], [0, 4, 1], True),  # a vocabulary of its own need not know both
        ([0, 3, 1], [0, 3, 3, 1], False),
    ],
)
def test_words_are_told_apart_by_what_is_known_of_them(dog, violin, fits, wrap):
    tokenizer = Tokenizer(dog, violin, wrap)
    by_its_processor = SimpleNamespace(
        processor=SimpleNamespace(tokenizer=tokenizer), provenance={"id": "x"}, family="y"
    )
    by_itself = SimpleNamespace(
        processor=None, tokenizer=tokenizer, tokenize=tokenizer, provenance={"id": "x"}, family="y"
    )
    for model in (by_its_processor, by_itself):
        with nullcontext() if fits else pytest.raises(UserError, match=f"cannot load x as y: {ALIKE}"):
            check_words(model)


def test_a_network_that_reads_nothing_has_no_tokenizer_to_check():
    check_words(SimpleNamespace(processor=None))


def network(**provenance):
    return Pretrained(torch.nn.Linear(1, 1), None, {"family": "clap", "id": "a/b", "dtype": "float32", **provenance})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_a_threshold_would_hide_is_refused(value):
    good, bad = torch.zeros(3, 2), torch.tensor([[0.5, value]])
    network().finite(good, good[:0])
    with pytest.raises(NotFinite, match=r"from clap a/b \(float32 on cpu\), found some that are .*bfloat16 or float32"):
        network().finite(good, bad)


def test_a_word_that_may_not_be_said_is_no_fault_but_one_that_is_sure_beyond_measure_is():
    scores = torch.tensor([[-np.inf, 2.0]])
    assert network().finite_scores(None, scores) is scores
    for value in (np.nan, np.inf):
        with pytest.raises(NotFinite):
            network().finite_scores(None, torch.tensor([[0.0, value]]))


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_float32_weights_compute_in_bfloat16_where_the_card_has_it(folders, monkeypatch, has_bfloat16):
    """There is no card here: the network stays where it is, and what autocast is asked for is looked at."""
    asked, clap, name = [], family_class("audio_text", "clap"), "bfloat16" if has_bfloat16 else "float16"
    emulated = lambda including_emulation=True: has_bfloat16 or including_emulation  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", emulated)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_: self)
    monkeypatch.setattr(torch, "autocast", lambda *how, **_: asked.append(how) or nullcontext())
    for dtype, computed in (("float32", [("cuda", getattr(torch, name))]), ("bfloat16", []), ("float16", [])):
        model = clap.from_pretrained(str(folders["audio_text"]), device="cuda:0", dtype=dtype)
        assert model.provenance["dtype"] == dtype and ("autocast" in model.provenance) == bool(computed)
        asked.clear()
        with model.inference():
            assert asked == computed
        if computed:
            assert model.provenance["autocast"] == name and f"({name} on cuda" in said_of(model.provenance, "cuda")
