import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from models.audio_text.clap import ClapEncoder
from models.checkpoints.hub import PATIENCE, HubError
from models.config import ROOT, Source
from models.fetch import carry_out, look, main
from tests.models.checkpoints import hub_server
from tests.models.checkpoints.hub_server import COMMIT, Repository, checkpoint, files_in
from utils.cli import DEFAULT_CONFIG
from utils.errors import UserError

CONFIG = """
roles:
  audio_text: {family: clap, weights: owner/sound}
  segmenter: {family: clipseg, weights: owner/masks, revision: v2, license: MIT}
"""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_server.serving(monkeypatch, tmp_path) as hub:
        hub.repositories["owner/sound"] = Repository(checkpoint(1_000_000))
        hub.repositories["owner/masks"] = Repository(checkpoint(), revisions={"v2": ("b" * 40, checkpoint(2_000_000))})
        yield hub


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG)
    return str(path)


def test_a_config_is_fetched_once(hub, config, capsys):
    networks = main(["--config", config])
    assert [network.checkpoint.revision for network in networks] == [COMMIT, "b" * 40]
    assert all(network.ready for network in networks)
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out[1:3]] == [
        ["audio_text", "owner/sound", "missing", "4.0", "MB", "unknown"],
        ["segmenter", "owner/masks@v2", "missing", "8.0", "MB", "MIT"],
    ]
    assert out[-2].startswith("to fetch: 12 MB for 2 networks, to ") and out[-1] == "everything is here now"

    hub.requests.clear()
    main(["--config", config])
    out = capsys.readouterr().out
    assert out.count("present") == 2 and out.endswith("everything is here; nothing to fetch\n") and not hub.requests


def test_a_dry_run_fetches_nothing(hub, config, capsys, tmp_path):
    main(["--config", config, "--dry_run"])
    assert "to fetch: 12 MB" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_one_refusal_does_not_keep_the_others_from_coming(hub, config, capsys):
    hub.repositories["owner/sound"].gated = True
    with pytest.raises(UserError, match=r"^1 of 2 networks could not be had: owner/sound$"):
        main(["--config", config])
    captured = capsys.readouterr()
    assert "not fetched, owner/sound: it is gated; accept its licence" in captured.err
    assert captured.out.splitlines()[1].split()[2] == "gated"  # by the hub's word; the catalogue does not know it
    main(["--config", config, "--dry_run", "--set", "segmenter.revision=v9"])
    captured = capsys.readouterr()
    assert (
        "to fetch: 4.0 MB for 1 network, to" in captured.out and "not fetched, owner/masks: it has no" in captured.err
    )


def test_what_is_half_here_is_completed(hub, config, capsys):
    folder = main(["owner/sound"])[0].checkpoint.path
    (folder / "config.json").unlink()
    capsys.readouterr()
    assert main(["--config", config])[0].ready
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[2:5] == ["in", "part", "0"]


def test_no_hub_is_said_once_and_the_sizes_the_catalogue_knows(hub, config, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    overrides = ["--set", "audio_text.weights=laion/clap-htsat-unfused"]
    with pytest.raises(UserError, match="^2 of 2 networks are not on this machine, and HF_HUB_OFFLINE is set"):
        main(["--config", config, *overrides])
    assert "about 614 MB  Apache-2.0" in capsys.readouterr().out and not hub.requests


def test_pickled_weights_are_converted_when_asked_for(hub, config, folders, capsys):
    files = files_in(folders["audio_text"])
    import io

    import torch
    from safetensors.torch import load

    pickle = io.BytesIO()
    torch.save(load(files.pop("model.safetensors")), pickle)
    hub.repositories["owner/sound"] = Repository({**files, "pytorch_model.bin": pickle.getvalue()})
    with pytest.raises(UserError, match="1 of 2 networks could not be had: owner/sound"):
        main(["--config", config])
    assert "not fetched, owner/sound: it has only pickled weights" in capsys.readouterr().err
    assert all(network.ready for network in main(["--config", config, "--convert"]))


def test_a_network_in_two_roles_is_fetched_once(hub, tmp_path, capsys):
    path = tmp_path / "twice.yaml"
    path.write_text("roles: {audio_text: {family: clap, weights: owner/sound}, "
                    "segmenter: {family: clipseg, weights: owner/sound}}")  # fmt: skip
    main(["--config", str(path)])
    assert "to fetch: 4.0 MB for 1 network, to" in capsys.readouterr().out
    assert hub.paths("GET").count("/api/models/owner/sound") == 1


def test_revisions_to_pin(hub, config, capsys):
    main(["--config", config, "--print_revisions"])
    assert capsys.readouterr().out.endswith(f"  audio_text.revision={COMMIT}\n  segmenter.revision={'b' * 40}\n")


def test_a_folder_that_lacks_something_is_no_matter_for_the_hub(hub, config, tmp_path, capsys):
    (tmp_path / "own").mkdir()
    with pytest.raises(UserError, match="1 of 2 networks could not be had"):
        main(["--config", config, "--set", f"audio_text.weights={tmp_path / 'own'}"])
    assert "not fetched, cannot load the weights in" in capsys.readouterr().err
    assert not any("sound" in path for path in hub.paths("GET"))


def test_what_is_bundled_is_there(hub, capsys):
    networks = main(["--config", DEFAULT_CONFIG])
    assert all(network.ready and network.source.license for network in networks)
    out = capsys.readouterr().out
    assert out.count("present") == len(networks) >= 5 and out.endswith("everything is here; nothing to fetch\n")
    assert not hub.requests


def test_a_family_may_name_the_files_it_reads(hub, config, monkeypatch, tmp_path):
    monkeypatch.setattr(ClapEncoder, "hub_files", ("net.pth",), raising=False)
    hub.repositories["owner/sound"] = Repository({"net.pth": b"123", "config.json": b"{}"})
    network = main(["--config", config])[0]
    assert files_in(network.checkpoint.path) == {"net.pth": b"123"} and network.ready


def test_hub_ids_without_a_config(hub, capsys):
    (network,) = main(["owner/masks", "--revision", "v2"])
    assert capsys.readouterr().out.splitlines()[0].split() == ["network", "state", "size", "licence"]
    assert network.checkpoint.revision == "b" * 40
    with pytest.raises(UserError, match="expected hub ids with --revision"):
        main(["--revision", "v2"])


def run_alone(*arguments, env=None):
    """The program as a process of its own; and the seconds of processor time it took."""
    before, run = os.times(), [sys.executable, "-m", "models.fetch", *arguments]
    done = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True)
    return done, sum(os.times()[2:4]) - sum(before[2:4])


def test_as_a_program_of_its_own(hub, tmp_path):
    """Nothing patched: the addresses come from the environment, as users set them."""
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    done, _ = run_alone("owner/sound", "no/where", env=environment)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: 1 of 2 networks could not be had: no/where"
    assert (tmp_path / "home/hub/models--owner--sound/snapshots" / COMMIT / "model.safetensors").is_file()
    assert not any("xet" in path for _, path, _ in hub.requests)


def test_help_waits_for_no_network():
    """What takes seconds to import is not imported."""
    code = "import sys\nfrom models import fetch\ntry: fetch.main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    *told, imported = done.stdout.splitlines()
    assert {"--dry_run", "--convert"} <= {*" ".join(told).replace("[", " ").replace("]", " ").split()}
    assert not {"torch", "transformers", "librosa"} & {*imported.split()}


def test_pickled_weights_are_counted_and_take_their_room_twice(hub, monkeypatch):
    network = look(Source("audio_text", "clap", "", "laion/larger_clap_music_and_speech"))
    network = replace(network, refusal=HubError("pickled", "only pickled"))
    assert network.to_come == pytest.approx(775.6e6)
    monkeypatch.setattr("models.checkpoints.hub.free_disk", lambda: 2 * network.to_come - 1)
    with pytest.raises(UserError, match="1.6 GB are to be fetched, .* set HF_HOME"):
        carry_out([network])


def test_without_a_hub_an_answer_comes_within_five_seconds(tmp_path):
    """Neither where nobody answers, nor where no name is known; nothing patched.

    By no clock, which a busy machine slows: the processor's time, and the patience with the one question asked.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        for endpoint in (f"http://127.0.0.1:{silent.getsockname()[1]}", "http://no-such-host.invalid"):
            environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
            done, computing = run_alone("owner/sound", "owner/masks", env=environment)
            assert computing + PATIENCE < 5
            assert done.returncode == 2 and "2 of 2 networks are not on this machine, and" in done.stderr
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # no second question
            silent.accept()
