import hashlib
import importlib.util
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.audio_tagger.audio_classification import AudioClassifier
from models.audio_text.clap import ClapEncoder
from models.config import ROLES, ROOT, Config, family_class, load_config, sources
from models.loading import load_models, resolve_device
from models.remembering import Memory
from models.roles import AudioCaptioner, AudioTagger, AudioTextEncoder, ImageCaptioner, Segmenter
from models.segmenter.clipseg import ClipSegmenter
from models.weights import Checkpoint, local_path
from utils.errors import UserError, run_script

CONTRACTS = dict(zip(ROLES, (AudioTextEncoder, AudioTagger, AudioCaptioner, ImageCaptioner, Segmenter), strict=True))


@pytest.fixture
def config(random_config):
    return load_config(random_config)


@pytest.mark.parametrize("role", ROLES)
def test_every_model_class_loads_beside_our_own_datasets_package(config, role):
    """The local `datasets/` hides Hugging Face's package of that name from transformers."""
    assert importlib.util.find_spec("datasets").origin == str(ROOT / "datasets" / "__init__.py")
    model = load_models(config, [role], device="cpu")[role].model
    assert isinstance(model, CONTRACTS[role]) and isinstance(model, family_class(role, config.roles[role]["family"]))
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float32}  # saved as float16
    assert not model.network.training and not any(parameter.requires_grad for parameter in model.network.parameters())


@pytest.mark.parametrize("role", ROLES)
def test_the_bundled_weights_load(role):
    assert isinstance(load_models(load_config(), [role], device="cpu")[role].model, CONTRACTS[role])


def test_only_what_is_asked_for_is_loaded_and_each_once(config, monkeypatch):
    loaded = []
    load = ClipSegmenter.from_pretrained
    monkeypatch.setattr(ClipSegmenter, "from_pretrained", lambda *args, **kw: loaded.append(kw) or load(*args, **kw))
    assert list(load_models(config, ["segmenter", "segmenter"])) == ["segmenter"]
    assert len(loaded) == 1 and loaded[0]["device"] == resolve_device("auto")


@pytest.mark.parametrize(
    ("role", "ask", "able"),
    [
        ("audio_text", lambda model: model.match_regions([], [], [], []), "pe_av_pictures, sound_names"),
        ("segmenter", lambda model: model.propose_regions([]), "sam_clip, class_map"),
    ],
)
def test_what_a_family_lacks_is_said_with_those_that_have_it(config, role, ask, able):
    family = config.roles[role]["family"]
    said = (
        f"{role} that can .*, found the family {family} in .*; of these families one can: {able} \\(--set {role}.family"
    )
    with pytest.raises(UserError, match=said):
        ask(load_models(config, [role], device="cpu")[role])


def test_models_remember(config):
    model = load_models(config, ["audio_text"], device="cpu", memory=Memory())["audio_text"]
    calls = []
    embed = model.network.text_model.forward
    model.network.text_model.forward = lambda *args, **kw: calls.append(1) or embed(*args, **kw)
    first = model.encode_text(["dog", "cat"])
    assert (model.encode_text(["cat", "dog", "cat"]) == first[[1, 0, 1]]).all()
    assert len(calls) == 1


def test_damaged_weights_end_the_demo_in_one_sentence_with_or_without_a_memory(config, folders, tmp_path, capsys):
    import inference_demo

    folder = shutil.copytree(folders["audio_text"], tmp_path / "clap")
    damage(folder, lambda tensors: tensors["text_projection.linear1.weight"].fill_(float("nan")))
    roles = {**config.roles, "audio_text": {"family": "clap", "weights": str(folder)}}
    model = load_models(Config("x", config.path, "", roles), ["audio_text"], device="cpu")["audio_text"]
    said = rf"expected finite numbers from encode_text of clap {folder} \(float32 on cpu\), found some"
    for _ in range(2):
        with pytest.raises(UserError, match=said):
            model.encode_text(["dog"])
    argv = ["--config", str(config.path), "--set", f"audio_text.weights={folder}", "--output", str(tmp_path / "out")]
    for method in ("cross_modal", "text_inversion"):
        assert run_script(partial(inference_demo.main, [*argv, "--device", "cpu", "--methods", method])) == 2
        err = capsys.readouterr().err
        assert f"of clap {folder} (float32 on cpu), found some that are infinite or not-a-number" in err
    assert not list((tmp_path / "out").glob("*.png"))


def test_settings_and_provenance_reach_the_model(config, folders):
    entry = {**config.roles["image_captioner"], "license": "GPL-2.0", "max_new_tokens": 4, "revision": "ignored"}
    model = load_models(Config("x", config.path, "", {"image_captioner": entry}), ["image_captioner"])[
        "image_captioner"
    ]
    assert model.generation["max_new_tokens"] == 4 and model.generation["repetition_penalty"] == 2.5
    sha256 = hashlib.sha256((folders["image_captioner"] / "model.safetensors").read_bytes()).hexdigest()
    assert model.provenance == {
        "family": "blip",
        "id": str(folders["image_captioner"]),
        "revision": None,
        "sha256": sha256,
        "config_sha256": Checkpoint("", folders["image_captioner"]).hashes()[1],
        "license": "GPL-2.0",
        "dtype": "float32",
        "trust_remote_code": False,
    }


def test_a_role_the_config_lacks(config):
    lacking = Config("half", config.path, "", {"segmenter": config.roles["segmenter"]})
    with pytest.raises(UserError, match="half .* names no network for the role audio_text; it has: segmenter"):
        load_models(lacking, ["segmenter", "audio_text"])


@pytest.mark.parametrize(
    ("weights", "folder"),
    [
        ("tests/models/segmenter", ROOT / "tests/models/segmenter"),
        ("models/nowhere", ROOT / "models/nowhere"),
        ("./mine", ROOT / "mine"),
        ("here/mine", None),
        ("laion/clap-htsat-unfused", None),
        ("bert-base-uncased", None),
    ],
)
def test_folders_are_told_from_hub_ids_wherever_one_stands(weights, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_path(weights) == folder


def test_a_folder_is_looked_for_where_one_stands_and_then_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_path("tests/models/segmenter") == ROOT / "tests/models/segmenter"
    (tmp_path / "tests/models/segmenter").mkdir(parents=True)
    assert local_path("tests/models/segmenter") == tmp_path / "tests/models/segmenter"
    with pytest.raises(
        UserError, match=f"there is no folder {tmp_path / 'no/such/one'} or {ROOT / 'no/such/one'}; name"
    ):
        ClapEncoder.from_pretrained("no/such/one")


def test_an_absolute_folder(tmp_path):
    assert local_path(str(tmp_path)) == tmp_path
    assert local_path(str(tmp_path / "missing")) == tmp_path / "missing"


@pytest.fixture
def copy(folders, tmp_path):
    """A CLAP checkpoint to damage."""
    return shutil.copytree(folders["audio_text"], tmp_path / "clap")


def test_a_missing_folder_and_missing_files(copy):
    bundled = Path(sources(load_config())[0].weights).parent
    with pytest.raises(
        UserError, match=f"there is no folder .*/nowhere; restore it .*python -m models.{bundled.name}.train`, or name"
    ):
        ClapEncoder.from_pretrained(str(bundled / "nowhere"))
    (copy / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"clap: model.safetensors is not there; copy the file again from .*, or name another folder"
    ):
        ClapEncoder.from_pretrained(str(copy))
    (copy / "config.json").unlink()
    with pytest.raises(UserError, match="config.json is not there"):
        ClapEncoder.from_pretrained(str(copy))


def test_pickled_weights_are_no_weights(copy):
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match="model.safetensors is not there"):
        ClapEncoder.from_pretrained(str(copy))


def damage(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_missing_tensor_is_never_random(copy):
    damage(copy, lambda tensors: tensors.pop("text_projection.linear1.weight"))
    with pytest.raises(UserError, match="1 of its tensors are missing.*text_projection.linear1.weight"):
        ClapEncoder.from_pretrained(str(copy))


def test_a_tensor_of_another_shape_is_refused(copy):
    damage(copy, lambda tensors: tensors.update({"text_projection.linear1.weight": torch.zeros(3, 3)}))
    with pytest.raises(UserError, match="cannot load .* as clap"):
        ClapEncoder.from_pretrained(str(copy))


def test_index_tables_older_checkpoints_lack_are_computed(copy, folders):
    damage(copy, lambda tensors: tensors.pop("text_model.embeddings.position_ids"))
    texts = ["a sound of a dog"]
    expected = ClapEncoder.from_pretrained(str(folders["audio_text"])).encode_text(texts)
    np.testing.assert_allclose(ClapEncoder.from_pretrained(str(copy)).encode_text(texts), expected, atol=1e-6)


def test_a_base_network_without_its_head_is_refused(folders, tmp_path):
    from transformers import ASTModel

    folder = shutil.copytree(folders["audio_tagger"], tmp_path / "ast")
    ASTModel.from_pretrained(folder).save_pretrained(folder)
    with pytest.raises(UserError, match="tensors are missing .*classifier"):
        AudioClassifier.from_pretrained(str(folder))


def test_truncated_weights(copy):
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        UserError,
        match=r"cannot load the weights in .*: model.safetensors is cut short or no safetensors file \([\d,]+ bytes; ",
    ):
        ClapEncoder.from_pretrained(str(copy))


def test_another_architecture_is_named(folders):
    with pytest.raises(UserError, match="as clap: expected a clap checkpoint, found a clipseg one; name the family"):
        ClapEncoder.from_pretrained(str(folders["segmenter"]))


def test_a_missing_tokenizer(copy):
    for name in ("tokenizer.json", "processor_config.json"):
        (copy / name).unlink()
        with pytest.raises(
            UserError, match=r"clap: .*tokenizer.json is not there; copy the file again from .*, or name"
        ):
            ClapEncoder.from_pretrained(str(copy))


def test_a_licence_comes_from_the_config_the_checkpoint_or_the_catalogue(folders, monkeypatch):
    folder = str(folders["audio_text"])
    assert ClapEncoder.from_pretrained(folder, license="MIT").provenance["license"] == "MIT"
    assert ClapEncoder.from_pretrained(folder).provenance["license"] is None
    found = Checkpoint("owner/net", folders["audio_text"], "a" * 40, "licence of owner/net")
    monkeypatch.setattr("models.network.find", lambda *_, **__: found)
    assert ClapEncoder.from_pretrained("owner/net").provenance["license"] == "licence of owner/net"


def test_code_in_a_checkpoint_is_not_run(copy):
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UserError, match="cannot load .* as clap"):
        ClapEncoder.from_pretrained(str(copy))


def test_a_hub_id_that_was_never_fetched():
    with pytest.raises(
        UserError, match="cannot load nobody/nothing: .*config.json.*`python -m models.fetch nobody/nothing`"
    ):
        ClapEncoder.from_pretrained("nobody/nothing")


def test_loading_is_silent(folders, capfd):
    ClapEncoder.from_pretrained(str(folders["audio_text"]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda:x", "", "cpu:0"])
def test_unknown_devices_are_refused(device):
    with pytest.raises(UserError, match=f"no device '{device}' on this machine; available: auto, .*cpu"):
        resolve_device(device)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_fastest(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == resolve_device(expected) == expected
    assert resolve_device("cpu") == "cpu"


def test_what_was_never_fetched_is_said_before_anything_loads(config, monkeypatch):
    monkeypatch.setattr(ClapEncoder, "from_pretrained", lambda *_, **__: pytest.fail("a network was loaded"))
    roles = {**config.roles, "segmenter": {"family": "clipseg", "weights": "nobody/nothing"}}
    with pytest.raises(UserError, match="cannot load nobody/nothing"):
        load_models(Config("x", config.path, "", roles), ["audio_text", "segmenter"], device="cpu")


def test_a_config_of_the_wrong_types_is_one_sentence(copy):
    content = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(content | {"projection_dim": "abc"}))
    with pytest.raises(UserError, match="cannot load .*clap as clap: "):
        ClapEncoder.from_pretrained(str(copy))
