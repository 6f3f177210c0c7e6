import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from models.audio_text.clap import ClapEncoder
from models.checkpoints.hub import find
from models.convert import convert, main
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
    assert (
        load_file(pickled / "model.safetensors").keys() == load_file(folders["audio_text"] / "model.safetensors").keys()
    )


def test_a_hub_id_is_found_under_its_own_name_from_then_on(hub, pickled, folders, monkeypatch):
    hub.repositories[ID] = Repository({**files_in(pickled), "README.md": b"x", "training_args.bin": b"x"})
    with pytest.raises(UserError, match="only pickled weights"):
        find(ID)
    folder = convert(ID)
    assert files_in(folder).keys() == files_in(folders["audio_text"]).keys()
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "converted_from": f"{ID}@{COMMIT}"}
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = ClapEncoder.from_pretrained(ID)
    assert find(ID).folder == find(ID, COMMIT).folder == folder and model.provenance["revision"] == COMMIT
    assert hub.requests == []


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


def test_shards_are_joined_and_a_lost_one_is_noticed(tmp_path):
    names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    for index, name in enumerate(names):
        torch.save({f"w{index}": torch.full((2,), float(index))}, tmp_path / name)
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {"w0": "x", "w1": "x", "w2": "x"}}')
    with pytest.raises(UserError, match="lacks 1 tensors that its index names"):
        convert(str(tmp_path))
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {"w0": "x", "w1": "x"}}')
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
    with pytest.raises(UserError, match="expected a (PyTorch state dict|mapping of names)"):
        convert(str(tmp_path))
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_model.bin"]


def test_damaged_files_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04 not a zip file")
    with pytest.raises(UserError, match="is damaged, or holds more than tensors"):
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
