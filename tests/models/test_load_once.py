"""A network that plays several roles, or parts of them, is loaded once and remembers once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from models.audio_captioner.tags import TagsCaptioner
from models.audio_tagger.audio_classification import AnyTagger
from models.audio_tagger.soundnet import SoundNetTagger
from models.config import load_config
from models.loading import load_models
from models.network import load_once
from models.pocket.image_classifier import ImageClassifier
from models.remembering import Memory, Remembering
from models.stage_cache import StageCache
from tests.checkpoints.pocket import BUNDLED, save_class_map
from utils.errors import UserError
from utils.types import Query

SOUNDNET = {"weights": str(BUNDLED / "soundnet")}
EARS = ("audio_text", "audio_tagger", "audio_captioner")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_class_map(tmp_path_factory.mktemp("once") / "random")


@pytest.fixture(scope="module")
def config(folder, tmp_path_factory):
    """The families of the bundled config; what sees knows nothing, what hears is bundled."""
    eyes = {part: {"weights": str(folder / part)} for part in ("classifier", "outlines", "words")}
    roles = {
        "audio_text": {
            "family": "sound_names",
            "sounds": SOUNDNET,
            **{part: eyes[part] for part in ("words", "classifier")},
        },
        "audio_tagger": {"family": "soundnet", **SOUNDNET},
        "audio_captioner": {"family": "tags", "tagger": SOUNDNET},
        "image_captioner": {"family": "classifier", "classifier": eyes["classifier"], "scales": [64, 96]},
        "segmenter": {"family": "class_map", **eyes, "scales": [64, 96]},
    }
    path = tmp_path_factory.mktemp("once") / "shared.yaml"
    path.write_text(yaml.safe_dump({"summary": "for tests", "roles": roles, "methods": {}}))
    return load_config(path)


@pytest.fixture(scope="module")
def memory():
    return Memory()


@pytest.fixture(scope="module")
def models(config, memory):
    return load_models(config, config.roles, device="cpu", memory=memory)


@pytest.fixture
def passes(models, memory):
    """The names of the networks, once for each of their forward passes."""
    memory.forget()
    seen = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, module in (
            ("hears", models["audio_tagger"].network),
            ("sees", models["segmenter"].classifier.network.conv_stem),
        )
    ]
    yield seen
    for handle in handles:
        handle.remove()


def test_one_network_plays_every_role_that_names_it(models):
    assert models["audio_text"].sounds is models["audio_tagger"] is models["audio_captioner"].tagger
    assert models["image_captioner"].classifier is models["segmenter"].classifier
    assert models["audio_text"].words is models["segmenter"].words
    assert models["audio_text"].provenance["parts"]["sounds"] is models["audio_tagger"].provenance


def test_two_loads_share_nothing(config, models):
    again = load_models(config, ["audio_tagger"], device="cpu")
    assert again["audio_tagger"] is not models["audio_tagger"]


def test_it_is_remembered_once(models):
    for asked in (*models.values(), models["segmenter"].classifier, models["audio_captioner"].tagger):
        assert isinstance(asked, Remembering) and not isinstance(asked.model, Remembering)


def test_a_sound_is_heard_once_for_all_roles(models, memory, passes):
    waveform = np.random.default_rng(0).uniform(-1, 1, 9000).astype(np.float32)
    models["audio_tagger"].tag([waveform], [16000], top_k=3)
    models["audio_captioner"].caption([waveform], [16000])
    models["audio_text"].encode_audio([waveform], [16000])
    assert passes == ["hears"]
    memory.forget()
    models["audio_tagger"].tag([waveform], [16000], top_k=3)
    assert passes == ["hears", "hears"]


def test_an_image_is_looked_at_once_a_scale_for_all_roles(models, passes):
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    models["image_captioner"].caption([image])
    first = models["segmenter"].segment([image], [[Query("dog")]])[0]
    models["segmenter"].presence([image], ["dog", "cat"])
    again = models["segmenter"].segment([image], [[Query("dog"), Query("violin")]])[0]
    assert passes == ["sees", "sees"]
    assert (again >= first - 1e-6).all()


@pytest.mark.parametrize("roles", [EARS, EARS[::-1]])
def test_every_role_keeps_its_answers_for_later_runs_whichever_is_loaded_first(config, roles, tmp_path):
    memory = Memory(StageCache(tmp_path, 1))
    waveform = np.random.default_rng(1).uniform(-1, 1, 9000).astype(np.float32)

    def ask(models):
        models["audio_tagger"].tag([waveform], [16000])
        models["audio_captioner"].caption([waveform], [16000])
        models["audio_text"].encode_audio([waveform], [16000])

    ask(load_models(config, roles, device="cpu", memory=memory))
    memory.forget()
    later = load_models(config, roles, device="cpu", memory=memory)
    later["audio_tagger"].network.register_forward_hook(lambda *_: pytest.fail("heard again"))
    ask(later)


def test_the_entry_decides_what_is_the_same(folder):
    loaded = {}
    entry = {"weights": str(folder / "classifier"), "license": "MIT"}
    first = load_once(ImageClassifier, entry, loaded, device="cpu")
    assert load_once(ImageClassifier, dict(reversed(entry.items())), loaded, device="cpu") is first
    for other in ({**entry, "dtype": "bfloat16"}, {**entry, "license": "BSD"}, {"weights": entry["weights"]}):
        assert load_once(ImageClassifier, other, loaded, device="cpu") is not first
    assert len(loaded) == 4
    assert load_once(ImageClassifier, entry, {}, device="cpu") is not first


def test_what_an_entry_stands_for_is_shared_under_its_own_name():
    loaded = {}
    tagger = load_once(SoundNetTagger, SOUNDNET, loaded, device="cpu")
    assert load_once(AnyTagger, SOUNDNET, loaded, device="cpu") is tagger
    captioner = load_once(TagsCaptioner, {"tagger": SOUNDNET, "min_probability": 0.1}, loaded, device="cpu")
    assert captioner.tagger is tagger and captioner.min_probability == 0.1 and len(loaded) == 2
    assert TagsCaptioner.from_pretrained(tagger=SOUNDNET).tagger is not tagger


def test_the_bundled_config_names_each_network_once():
    """In the same words wherever it stands, or it would be loaded twice."""
    roles = load_config("pocket").roles
    parts = [entry if "weights" in entry else part for entry in roles.values() for part in parts_of(entry)]
    by_weights = {}
    for part in parts:
        said = {key: value for key, value in part.items() if key != "family"}
        by_weights.setdefault(part["weights"], set()).add(json.dumps(said, sort_keys=True))
    assert len(by_weights) == 4 and all(len(said) == 1 for said in by_weights.values())


def parts_of(entry):
    return [value for value in entry.values() if isinstance(value, dict)] or [entry]


@pytest.mark.parametrize("value", ["['96']", "96", "[96.5]", "[true]"])
def test_scales_are_a_list_of_whole_numbers(config, value):
    """A list in a config or on the command line stands for the tuple that is the default."""
    scales = load_config(config.path, ["segmenter.scales=[96, 128]"]).roles["segmenter"]["scales"]
    assert list(scales) == [96, 128]
    with pytest.raises(UserError, match="segmenter.scales must be a list, each a whole number from 64 up; found"):
        load_config(config.path, [f"segmenter.scales={value}"])
