import json

import pytest
import torch
from huggingface_hub import scan_cache_dir
from safetensors.torch import load_file

from models.audio_text.clap import ClapEncoder
from models.convert import convert, main
from models.network import find
from tests.models.checkpoints import hub_server
from tests.models.checkpoints.hub_server import COMMIT, Repository, files_in
from utils.errors import UserError

ID = "owner/net"


class Trap:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_server.serving(monkeypatch, tmp_path) as hub:
        yield hub


@pytest.fixture
def pickled(folders, tmp_path):
    """A CLAP checkpoint as it was saved before safetensors; and a folder of it with safetensors."""
    folder = tmp_path / "pickled"
    folder.mkdir()
    for name, content in files_in(folders["audio_text"]).items():
        (folder / name).write_bytes(content)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_folder_becomes_loadable_in_place(pickled, folders, capsys):
    with pytest.raises(UserError, match=f"model.safetensors is not there; `python -m models.convert {pickled}`"):
        ClapEncoder.from_pretrained(pickled)
    assert main([str(pickled)]) == pickled
    assert str(pickled) in capsys.readouterr().out
    expected = ClapEncoder.from_pretrained(folders["audio_text"]).encode_text(["a dog"])
    assert (ClapEncoder.from_pretrained(pickled).encode_text(["a dog"]) == expected).all()
    written, true = (load_file(folder / "model.safetensors") for folder in (pickled, folders["audio_text"]))
    assert written.keys() == true.keys() and len(true) > 100
    assert all(written[name].dtype == true[name].dtype and torch.equal(written[name], true[name]) for name in true)
    assert not [path for path in pickled.iterdir() if path.name.startswith(".")]


def test_a_hub_id_is_found_under_its_own_name_from_then_on(hub, pickled, folders, monkeypatch):
    hub.repositories[ID] = Repository({**files_in(pickled), "README.md": b"x", "training_args.bin": b"x"})
    with pytest.raises(UserError, match="only pickled weights"):
        find(ID)
    folder = convert(ID)
    assert files_in(folder).keys() - {"pytorch_model.bin"} == files_in(folders["audio_text"]).keys()
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = ClapEncoder.from_pretrained(ID)
    assert find(ID).path == find(ID, COMMIT).path == folder and model.provenance["revision"] == COMMIT
    assert hub.requests == []
    found = scan_cache_dir(folder.parents[2])
    assert [repository.repo_id for repository in found.repos] == [ID] and not found.warnings


def test_converting_twice_is_converting_once(hub, pickled):
    hub.repositories[ID] = Repository(files_in(pickled))
    written = (convert(ID) / "model.safetensors").stat().st_mtime_ns
    assert (convert(ID) / "model.safetensors").stat().st_mtime_ns == written


def test_tied_and_sliced_tensors_keep_their_names_and_values(tmp_path):
    table = torch.arange(12.0).reshape(4, 3)
    tensors = {"embedding": table, "head": table, "row": table[1], "turned": table.T}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "net.pth")
    convert(str(tmp_path))
    assert {name: tensor.tolist() for name, tensor in load_file(tmp_path / "model.safetensors").items()} == {
        name: tensor.tolist() for name, tensor in tensors.items()
    }


def shards_of(pickled):
    """The pickle as two shards with an index."""
    names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    tensors = torch.load(pickled / "pytorch_model.bin")
    (pickled / "pytorch_model.bin").unlink()
    places = {name: names[index % 2] for index, name in enumerate(tensors)}
    for shard in names:
        torch.save({name: tensor for name, tensor in tensors.items() if places[name] == shard}, pickled / shard)
    (pickled / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return [pickled / name for name in names]


def test_shards_are_joined(pickled, folders):
    shards_of(pickled)
    convert(str(pickled))
    written, true = (load_file(folder / "model.safetensors") for folder in (pickled, folders["audio_text"]))
    assert written.keys() == true.keys() and all(torch.equal(written[name], true[name]) for name in true)


@pytest.mark.parametrize("lost", ["a shard", "a tensor"])
def test_what_lacks_is_noticed(pickled, lost):
    if lost == "a shard":
        shards_of(pickled)[1].unlink()
    else:
        tensors = torch.load(pickled / "pytorch_model.bin")
        del tensors["text_projection.linear1.weight"]
        torch.save(tensors, pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match="is not converted: .*pytorch_model-00002|.*1 of its tensors are missing"):
        convert(str(pickled))
    assert not list(pickled.glob("*.safetensors"))


def test_shards_of_another_library_are_joined(tmp_path):
    for index in range(2):
        torch.save({f"w{index}": torch.full((2,), float(index))}, tmp_path / f"pytorch_model-0000{index + 1}-of-2.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text("{}")
    convert(str(tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"w0": [0, 0], "w1": [1, 1]}


def test_open_clip_finds_its_weights_under_its_own_name(tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    torch.save({"w": torch.ones(1)}, tmp_path / "open_clip_pytorch_model.bin")
    torch.save({"other": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    convert(str(tmp_path))
    assert load_file(tmp_path / "open_clip_model.safetensors").keys() == {"w"}


@pytest.mark.parametrize("content", [{"w": Trap()}, Trap(), [torch.ones(1)], {"epoch": 3}, {}])
def test_whatever_is_not_tensors_is_refused_unopened(tmp_path, content, capsys):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="is not converted: .*expected a PyTorch state dict"):
        convert(str(tmp_path))
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_model.bin"]


def test_neither_does_the_library_run_code(pickled, capsys):
    tensors = torch.load(pickled / "pytorch_model.bin")
    torch.save({**tensors, "logit_scale_a": Trap()}, pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match="is not converted: .*could be code") as caught:
        convert(str(pickled))
    assert "\n" not in str(caught.value) and "code ran" not in capsys.readouterr().out
    assert not list(pickled.glob("*.safetensors"))


def test_damaged_files_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04 not a zip file")
    with pytest.raises(UserError, match="it is damaged, or holds more than tensors"):
        convert(str(tmp_path))


def test_nothing_to_convert(folders, tmp_path, hub):
    with pytest.raises(UserError, match="has safetensors weights already"):
        convert(str(folders["audio_text"]))
    with pytest.raises(UserError, match="has no pickled weights"):
        convert(str(tmp_path))
    with pytest.raises(UserError, match="there is no folder"):
        convert("./nowhere")
    with pytest.raises(UserError, match="the hub has no such model"):
        convert(ID)
