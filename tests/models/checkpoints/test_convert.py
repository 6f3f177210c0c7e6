import json
import shlex

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


def test_shards_of_another_library_are_joined_and_a_lost_one_is_noticed(tmp_path):
    places = {f"w{index}": f"pytorch_model-0000{index + 1}-of-00002.bin" for index in range(2)}
    for index, (name, shard) in enumerate(places.items()):
        torch.save({name: torch.full((2,), float(index))}, tmp_path / shard)
    with pytest.raises(UserError, match="pytorch_model-00001-of-00002.bin, .* without .*index.json; fetch it again"):
        convert(str(tmp_path))
    index, lost = tmp_path / "pytorch_model.bin.index.json", tmp_path / places["w1"]
    index.write_text("{bad")
    with pytest.raises(UserError, match="is not converted: .*no weight_map in pytorch_model.bin.index.json"):
        convert(str(tmp_path))
    index.write_text(json.dumps({"weight_map": places}))
    lost.rename(tmp_path / "aside")
    with pytest.raises(UserError, match=f"{tmp_path} lacks 1 tensors that its index names; fetch it again"):
        convert(str(tmp_path))
    assert not list(tmp_path.glob("*.safetensors"))
    (tmp_path / "aside").rename(lost)
    convert(str(tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"w0": [0, 0], "w1": [1, 1]}


def test_the_advice_for_a_pinned_revision_helps_there(hub, pickled, capsys):
    hub.repositories[ID] = Repository(hub_server.checkpoint(), revisions={"v1": ("b" * 40, files_in(pickled))})
    with pytest.raises(UserError, match="`python -m models.convert owner/net --revision v1`") as caught:
        find(ID, "v1")
    main(shlex.split(str(caught.value).split("`")[1])[3:])
    assert capsys.readouterr().out.endswith("now usable as the weights owner/net at the revision v1\n")
    assert find(ID, "v1").revision == "b" * 40 and ClapEncoder.from_pretrained(ID, "v1")


@pytest.mark.parametrize("config", ["{bad", "[1]", '{"architectures": null}', '{"architectures": [1]}'])
def test_a_config_without_an_architecture_keeps_nothing_from_converting(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    torch.save({"w": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    assert (convert(str(tmp_path)) / "model.safetensors").is_file()


def test_what_is_written_is_whole_and_follows_no_link(hub, pickled, tmp_path, monkeypatch):
    hub.repositories[ID] = Repository(files_in(pickled))
    other, written = tmp_path / "other", convert(ID) / "model.safetensors"
    other.write_bytes(b"of someone else")
    for target in (other, tmp_path / "nowhere"):
        written.unlink()
        written.symlink_to(target)
        assert convert(ID) == written.parent and not written.is_symlink() and len(load_file(written)) > 100
    assert other.read_bytes() == b"of someone else" and not (tmp_path / "nowhere").exists()

    def breaks(_, path, **__):
        path.write_bytes(b"half")
        raise OSError("cut")

    monkeypatch.setattr("safetensors.torch.save_file", breaks)
    (pickled / "config.json").write_text("{}")
    before = files_in(pickled)
    with pytest.raises(UserError, match="is not converted: .*cut"):
        convert(str(pickled))
    assert files_in(pickled) == before and not [path for path in pickled.iterdir() if path.is_dir()]


def test_the_whole_file_is_taken_where_shards_lie_beside_it(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    torch.save({"part": torch.ones(1)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {}}')
    assert load_file(convert(str(tmp_path)) / "model.safetensors").keys() == {"w"}


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
