import re
import shutil
import socket
import threading

import pytest

from models import convert, fetch
from models.audio_text.clap import ClapEncoder
from models.checkpoints import hub as hub_code
from models.checkpoints.hub import HubError, cached
from models.config import ROOT
from models.network import find
from tests.models.checkpoints import hub_server
from tests.models.checkpoints.hub_server import COMMIT, Repository, checkpoint, files_in
from utils.errors import UserError, run_script

ID = "owner/net"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_server.serving(monkeypatch, tmp_path) as hub:
        yield hub


def sharded():
    files = checkpoint()
    weights = files.pop("model.safetensors")
    index = b'{"weight_map": {"w": "%s", "v": "%s"}}' % tuple(name.encode() for name in SHARDS)
    return {
        **files,
        "model.safetensors.index.json": index,
        SHARDS[0]: weights,
        SHARDS[1]: checkpoint(1001)["model.safetensors"],
    }


def go_offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def refused(kind, sentence, weights=ID, revision=None):
    with pytest.raises(HubError, match=sentence) as caught:
        find(weights, revision)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value) and ". " not in str(caught.value)
    return str(caught.value)


def test_a_published_checkpoint_is_fetched_once_and_then_used_without_a_network(hub, folders, monkeypatch, capfd):
    others = {"README.md": b"x", "pytorch_model.bin": b"x" * 99, "tf_model.h5": b"x", "modeling.py": b"x"}
    hub.repositories["laion/clap"] = Repository({**files_in(folders["audio_text"]), **others})
    model = ClapEncoder.from_pretrained("laion/clap")
    assert model.provenance["revision"] == COMMIT and model.provenance["sha256"] is None
    assert (model.encode_text(["dog"]) == ClapEncoder.from_pretrained(folders["audio_text"]).encode_text(["dog"])).all()
    folder = find("laion/clap").path
    assert files_in(folder) == files_in(folders["audio_text"])
    assert folder.name == COMMIT and (folder.parents[1] / "refs" / "main").read_text() == COMMIT
    assert capfd.readouterr().err.startswith(f"fetching laion/clap: {len(files_in(folder))} files, ")

    hub.requests.clear()
    ClapEncoder.from_pretrained("laion/clap")
    go_offline(monkeypatch)
    ClapEncoder.from_pretrained("laion/clap")
    assert hub.requests == [] and capfd.readouterr().err == ""


def test_other_programs_find_what_was_fetched(hub, tmp_path):
    from huggingface_hub import scan_cache_dir, snapshot_download

    hub.repositories[ID] = Repository(checkpoint())
    folder = find(ID).path
    assert snapshot_download(ID, cache_dir=tmp_path / "cache", local_files_only=True) == str(folder)
    (found,) = scan_cache_dir(tmp_path / "cache").repos
    assert found.repo_id == ID and found.refs.keys() == {"main"}


def test_a_revision_is_a_commit_a_tag_or_a_branch(hub, monkeypatch):
    tagged = Repository(
        checkpoint(), revisions={"v1": ("b" * 40, checkpoint(7)), "refs/pr/3": ("c" * 40, checkpoint(8))}
    )
    hub.repositories[ID] = tagged
    assert find(ID, "v1").revision == find(ID, "b" * 40).revision == "b" * 40
    assert find(ID, "refs/pr/3").revision == "c" * 40
    assert find(ID).revision == COMMIT
    go_offline(monkeypatch)
    assert [find(ID, name).revision[0] for name in ("v1", "b" * 40, "refs/pr/3", None)] == ["b", "b", "c", "a"]
    refused("unreachable", "`python -m models.fetch owner/net --revision v2`", revision="v2")


def test_a_lost_shard_is_noticed_and_alone_fetched(hub, monkeypatch):
    hub.repositories[ID] = Repository(sharded())
    folder = find(ID).path
    shard = folder / SHARDS[1]
    shard.resolve().unlink()
    with monkeypatch.context() as patch:
        go_offline(patch)
        refused("unreachable", f"here only in part \\(.*{SHARDS[1]} is not there")
    hub.requests.clear()
    assert find(ID).path == folder and shard.is_file()
    assert not any("config.json" in path for path in hub.paths("GET"))


def test_preprocessing_that_another_program_did_not_need_is_fetched(hub):
    from huggingface_hub import hf_hub_download

    hub.repositories[ID] = Repository(checkpoint())
    for name in ("config.json", "model.safetensors"):
        hf_hub_download(ID, name)
    assert (find(ID).path / "preprocessor_config.json").is_file()


def test_a_download_that_breaks_off_is_tried_again_within_a_run(hub):
    files = checkpoint(1_000_000)
    hub.repositories[ID] = Repository(files)
    hub.cut_after["model.safetensors"] = [1_500_000, 1_000_000]
    assert (find(ID).path / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert sum("/storage" in path for path in hub.paths("GET")) == 3


def test_a_download_that_stops_is_said_and_the_next_run_fetches_what_lacks(hub):
    files = checkpoint(1_000_000)
    hub.repositories[ID] = Repository(files)
    hub.cut_after["model.safetensors"] = [0] * 20
    said = refused("unreachable", "it is here only in part .model.safetensors is not there in .*cannot be reached")
    assert "`python -m models.fetch owner/net` gets it" in said
    assert cached(ID).path.name == COMMIT
    hub.cut_after.clear()
    hub.requests.clear()
    assert (find(ID).path / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert not any("config.json" in path for path in hub.paths("GET"))


def test_a_gated_network_says_where_its_licence_is(hub, monkeypatch):
    hub.repositories["facebook/sam3"] = Repository(checkpoint(), gated=True)
    said = refused("gated", "facebook/sam3: it is gated; accept its licence at http", "facebook/sam3")
    assert f"{hub.endpoint}/facebook/sam3" in said and "hf auth login" in said and "grounded_sam" in said
    assert cached("facebook/sam3") is None
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert find("facebook/sam3").revision == COMMIT
    strangers = [headers for _, path, headers in hub.requests if path.startswith("/storage")]
    assert strangers and not any("Authorization" in headers for headers in strangers)  # the token stays with the hub


def test_names_that_do_not_exist(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = refused("absent", "no/where: the hub has no such model, or a private one", "no/where")
    assert str(tmp_path / "no" / "where") in said and str(ROOT / "no" / "where") in said
    refused("absent", "the hub has no such model", "what is this")
    hub.repositories[ID] = Repository(checkpoint())
    refused("absent", "it has no revision 'v9'; http.*/owner/net/commits/main lists them", revision="v9")
    hub.repositories[ID] = Repository({"README.md": b"x"})
    refused("absent", "it holds no weights")


def test_pickled_weights_are_refused_with_the_way_to_safetensors(hub):
    pickled = {"config.json": b"{}", "pytorch_model.bin": b"x"}
    hub.repositories[ID] = Repository(pickled)
    said = refused("pickled", r"only pickled weights \(pytorch_model.bin\).*`python -m models.convert owner/net`")
    assert "revision" not in said
    converted = {"refs/pr/4": ("d" * 40, checkpoint()), "refs/pr/2": ("e" * 40, pickled)}
    hub.repositories[ID] = Repository(pickled, revisions=converted, proposals=(4,))
    refused("pickled", "`revision: refs/pr/4` beside the weights")
    assert find(ID, "refs/pr/4").revision == "d" * 40
    hub.repositories[ID] = Repository(pickled, revisions=converted, proposals=(2,))
    assert "refs/pr" not in refused("pickled", "models.convert")
    assert not any("pytorch_model.bin" in path for path in hub.paths("GET"))


def test_other_kinds_of_checkpoints_name_their_files(hub):
    hub.repositories[ID] = Repository({"net.pth": b"123", "config.json": b"{}"})
    assert files_in(find(ID, files=["net.pth"]).path) == {"net.pth": b"123"}
    with pytest.raises(HubError, match="it has no other.pth"):
        find(ID, files=["other.pth"])


def test_python_files_come_only_when_they_may_run(hub):
    config = b'{"auto_map": {"AutoModel": "modeling.Net"}}'
    hub.repositories[ID] = Repository({**checkpoint(), "config.json": config, "modeling.py": b"x"})
    assert not (find(ID).path / "modeling.py").exists()
    assert (find(ID, trust_remote_code=True).path / "modeling.py").is_file()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"error": 503}, "answers with an error"), ({"login_page": True}, "does not answer as a model hub")],
)
def test_a_hub_out_of_order_is_asked_once(hub, fault, reason):
    hub.repositories[ID] = Repository(checkpoint())
    for name, value in fault.items():
        setattr(hub, name, value)
    refused("unreachable", f"is not on this machine .*{reason}.*`python -m models.fetch owner/net`")
    assert len(hub.requests) == 1 and hub.waits == []


def test_no_hub_at_all_is_tried_once(hub, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        refused("unreachable", "cannot be reached")
    assert hub.waits == []


def test_a_hub_that_never_answers_is_given_up_after_one_question(hub, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:  # the system takes the questions, and nobody answers
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(hub_code, "PATIENCE", 0.3)
        refused("unreachable", "cannot be reached")
        server.setblocking(False)
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):  # there was no second one
            server.accept()
    assert hub_code.patience() == 0.3


def test_looking_up_a_name_has_a_time_limit_too():
    with pytest.raises(TimeoutError, match=r"no answer within 0.05 s; HF_HUB_ETAG_TIMEOUT=30 waits longer"):
        hub_code.within(0.05, threading.Event().wait)


def test_offline_nothing_is_asked(hub, monkeypatch):
    go_offline(monkeypatch)
    refused("unreachable", "no config.json, no safetensors weights in .*HF_HUB_OFFLINE is set")
    assert hub.requests == []


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("weights", ["bad//id", "a b/c", "owner/name.", "a/b--c", "a" * 120, "a" * 300])
def test_an_impossible_hub_id_is_refused_without_a_question(hub, monkeypatch, capsys, weights, offline):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    refused("absent", f"^cannot load {weights}: the hub has no such model", weights)
    assert run_script(lambda: convert.main([weights])) == run_script(lambda: fetch.main([weights])) == 2
    said = capsys.readouterr().err
    assert f"error: {weights}: the hub has no such model" in said and "1 of 1 networks could not be had" in said
    assert hub.requests == []


def test_the_advice_for_damaged_weights_at_a_pinned_revision_helps(hub, folders):
    true = files_in(folders["audio_text"])
    hub.repositories[ID] = Repository(checkpoint(), revisions={"v1": ("b" * 40, true)})
    (find(ID, "v1").path / "model.safetensors").resolve().write_bytes(b"damaged")
    with pytest.raises(UserError, match="models.fetch owner/net --revision v1`") as caught:
        ClapEncoder.from_pretrained(ID, "v1")
    doomed, command = re.search("delete (.*) and run `python -m models.fetch (.*)`", str(caught.value)).groups()
    shutil.rmtree(doomed)
    fetch.main(command.split())
    assert files_in(find(ID, "v1").path) == true and ClapEncoder.from_pretrained(ID, "v1")


def test_no_room_on_the_disk(hub, monkeypatch):
    hub.repositories[ID] = Repository(checkpoint(1_000_000))
    monkeypatch.setattr(hub_code.shutil, "disk_usage", lambda _: hub_code.shutil._ntuple_diskusage(9, 8, 1_000_000))
    with pytest.raises(UserError, match=r"4.0 MB are to be fetched, .* has 1.0 MB free; .*HF_HOME"):
        find(ID)
    assert hub.paths("GET") == ["/api/models/owner/net"]


def test_a_cache_that_cannot_be_written_to(hub, tmp_path):
    hub.repositories[ID] = Repository(checkpoint())
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write to the hub's cache .*set HF_HOME"):
        find(ID)


def test_sizes_in_words():
    sizes = (0, 31_900, 2_839_000, 614_000_000, 3.14e9, 17e9)
    assert ", ".join(map(hub_code.megabytes, sizes)) == "0 kB, 32 kB, 2.8 MB, 614 MB, 3.1 GB, 17 GB"
