import hashlib
import importlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from models.config import ROOT
from models.weights import Checkpoint, count_parameters, faults, needed, pickled_among, sha256, weights_among

OPEN_CLIP = "open_clip_model.safetensors"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["model.safetensors", "pytorch_model.bin", "model.fp16.safetensors"], ["model.safetensors"]),
        (["model.safetensors", "model.safetensors.index.json", *SHARDS], ["model.safetensors"]),
        (["model.safetensors.index.json", "consolidated.safetensors", *SHARDS], SHARDS),
        (["open_clip_config.json", OPEN_CLIP, "model.safetensors"], [OPEN_CLIP]),
        (["config.json", OPEN_CLIP, "model.safetensors"], ["model.safetensors"]),
        (["net.safetensors", "net.fp16.safetensors"], ["net.safetensors"]),
        (["pytorch_model.bin", "flax_model.msgpack"], []),
        (SHARDS[:1], SHARDS[:1]),
    ],
)  # fmt: skip
def test_only_the_main_weights_are_taken(names, expected):
    assert weights_among(names) == expected


def test_a_loader_needs_texts_and_the_main_weights_and_nothing_else():
    names = [
        "README.md", ".gitattributes", "config.json", "tokenizer.model", "merges.txt", "chat_template.jinja",
        "additional_chat_templates/tool.jinja", "original/params.json", "onnx/model.onnx", "modeling_x.py",
        "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.safetensors.index.json",
        "model.fp16.safetensors", *SHARDS,
    ]  # fmt: skip
    expected = ["chat_template.jinja", "config.json", "merges.txt", "tokenizer.model"]
    expected += ["additional_chat_templates/tool.jinja", "model.safetensors.index.json", *SHARDS]
    assert needed(names) == expected
    assert set(needed(names, trust_remote_code=True)) - set(expected) == {"modeling_x.py"}


def test_pickles_that_are_no_weights_are_not_taken_for_any():
    found = pickled_among(["training_args.bin", "optimizer.pt", "x.pth", "pytorch_model.bin", "old/y.bin"])
    assert found == ["pytorch_model.bin", "x.pth"]


@pytest.fixture
def folder(tmp_path):
    """Two shards, an index, a config with words and preprocessing."""
    for index, name in enumerate(SHARDS):
        save_file({f"w{index}": torch.zeros(100)}, tmp_path / name)
    index = {"weight_map": {"w0": SHARDS[0], "w1": SHARDS[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "x", "sub": {"vocab_size": 3}}))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    (tmp_path / "vocab.txt").write_text("a")
    return tmp_path


def test_a_whole_folder_has_no_faults(folder):
    assert faults(folder) == []
    assert count_parameters(folder) == 200


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("config.json", "config.json is not there"),
        (SHARDS[1], f"{SHARDS[1]} is not there"),
        ("model.safetensors.index.json", "model.safetensors.index.json is not there"),
        ("preprocessor_config.json", "preprocessor_config.json is not there"),
        ("vocab.txt", "tokenizer.json is not there"),
    ],
)
def test_each_file_that_lacks_is_named(folder, lost, said):
    (folder / lost).unlink()
    assert faults(folder) == [said]


@pytest.mark.parametrize(
    "config", [{"model_type": "x"}, {"model_type": "x", "vocab_size": 3, "architectures": ["XForAudioClassification"]}]
)
def test_a_network_that_reads_no_words_needs_no_tokenizer(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").unlink()
    assert faults(folder) == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["vocab.json", "merges.txt"], []),
        (["vocab.json"], ["merges.txt is not there"]),
        (["merges.txt"], ["vocab.json is not there"]),
        (["spiece.model"], []),
        (["tokenizer.json"], []),
        (["tokenizer_config.json"], ["tokenizer.json is not there"]),
    ],
)
def test_a_tokenizer_is_one_file_or_two(folder, names, said):
    (folder / "vocab.txt").unlink()
    for name in names:
        (folder / name).write_text("{}")
    assert faults(folder) == said


def test_preprocessing_may_lie_in_the_processors_file(folder):
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text('{"image_processor": {"size": 3}}')
    assert faults(folder) == []
    (folder / "processor_config.json").write_text('{"processor_class": "XProcessor"}')
    assert faults(folder) == ["preprocessor_config.json is not there"]


def test_of_networks_that_are_not_of_transformers_weights_and_config_are_all(folder):
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet18", "vocab_size": 3}))
    for name in ("preprocessor_config.json", "vocab.txt"):
        (folder / name).unlink()
    assert faults(folder) == []


def test_weights_cut_short_or_never_fetched_by_git_are_told_apart(folder):
    content = (folder / SHARDS[0]).read_bytes()
    (folder / SHARDS[0]).write_bytes(content[:-1])
    (folder / SHARDS[1]).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 464\n")
    cut, pointer = faults(folder)
    assert cut.startswith(f"{SHARDS[0]} is cut short or no safetensors file ({len(content) - 1:,} bytes; ")
    assert pointer == f"{SHARDS[1]} is only a pointer of Git LFS (`git lfs pull` gets the file)"
    (folder / SHARDS[0]).write_bytes(content[:20])
    (folder / SHARDS[1]).write_bytes(b"")
    broken = faults(folder)
    assert [fault.split()[0] for fault in broken] == SHARDS and all("no safetensors file" in fault for fault in broken)


def test_python_files_are_expected_where_they_may_run(folder):
    auto_map = {"AutoConfig": "configuration_x.XConfig", "AutoModel": "other/repository--modeling_y.Y"}
    (folder / "config.json").write_text(json.dumps({"auto_map": auto_map}))
    assert faults(folder, code=True) == ["configuration_x.py is not there"]
    assert faults(folder) == []


@pytest.mark.parametrize(
    "content", ["{bad", "[1]", '{"weight_map": [1], "auto_map": null}', '{"weight_map": {"w": [1]}}']
)
def test_json_that_holds_something_else_is_a_fault_and_no_traceback(folder, content):
    for name in ("config.json", "model.safetensors.index.json"):
        (folder / name).write_text(content)
    assert all(fault.endswith(" is not there") for fault in faults(folder, code=True))


def test_no_folder_and_other_files(folder):
    assert faults(folder / "nowhere") == ["the folder itself is not there"]
    assert faults(folder, files=["config.json", "net.pth"]) == ["net.pth is not there"]


def test_one_file_is_whole_where_it_is(folder):
    assert faults(folder / "config.json") == []


def test_hashes_tell_local_checkpoints_apart(folder):
    weights, others = Checkpoint("x", folder).hashes()
    content = b"".join((folder / name).read_bytes() for name in SHARDS)
    assert weights == hashlib.sha256(content).hexdigest()
    assert Checkpoint("x", folder).hashes(["vocab.txt"]) == (sha256([folder / "vocab.txt"]), others)
    assert Checkpoint("x", folder / "vocab.txt").hashes() == (sha256([folder / "vocab.txt"]), None)
    (folder / "vocab.txt").rename(folder / "words.txt")
    assert Checkpoint("x", folder).hashes() != (weights, others)
    assert Checkpoint("x", folder, "a" * 40).hashes() == (None, None)


def test_naming_weights_imports_nothing_heavy():
    modules = "models.convert, models.fetch, models.doctor"
    code = f"import sys, {modules}; sys.exit(str({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == "set()"


@pytest.fixture
def models_anew():
    """The modules of models/ are imported again, from the first."""
    imported = {name: sys.modules.pop(name) for name in [*sys.modules] if name.split(".")[0] == "models"}
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "models"]:
        del sys.modules[name]
    sys.modules.update(imported)


def test_a_bundled_folder_never_enters_the_hubs_code(models_anew):
    config = importlib.import_module("models.config").load_config()
    importlib.import_module("models.loading").load_models(config, ["audio_text"], "cpu")
    assert "models.loading" in sys.modules
    assert not [name for name in sys.modules if name.startswith("models.checkpoints")]
