import os
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

import methods
from models import doctor
from models.checkpoints import catalogue
from models.config import ROLES, ROOT, config_names, load_config
from models.fetch import take_stock
from models.network import find
from tests.models.checkpoints import hub_server
from tests.models.checkpoints.hub_server import Repository, checkpoint
from utils.errors import UserError

LAPTOP = doctor.Device("cpu", "a processor", 16_000_000_000, 8_000_000_000, True)


def examined(name, device=LAPTOP):
    config = load_config(name)
    return doctor.Readiness(config, take_stock(config), device)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_server.serving(monkeypatch, tmp_path) as hub:
        yield hub


@pytest.fixture
def config(tmp_path):
    """A config of one's own: two roles, one network gated, one unknown to the catalogue."""
    roles = {
        "audio_text": {"family": "clap", "weights": "laion/larger_clap_music_and_speech", "license": "Apache-2.0"},
        "segmenter": {"family": "clipseg", "weights": "facebook/sam3"},
        "image_captioner": {"family": "blip", "weights": "owner/words", "revision": "c" * 40},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"summary": "a test", "roles": roles}))
    return str(path)


@pytest.fixture
def default(random_config, monkeypatch, tmp_path):
    """The path of a default config, seen from the current folder, whose networks are all there."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "small").symlink_to(random_config.parent)
    content = yaml.safe_load(random_config.read_text())
    for role, entry in content["roles"].items():
        entry["weights"] = f"models/small/{role}"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "small.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.setattr(doctor, "DEFAULT_CONFIG", "small")
    monkeypatch.chdir(tmp_path)
    return "configs/small.yaml"


def test_a_machine_in_order_is_told_to_go_ahead(hub, default, capsys):
    found = doctor.main(["--config", default])
    assert found["small"].ready and not hub.requests
    out = capsys.readouterr().out
    assert "verdict    READY\n             1. python inference_demo.py\n" in out
    assert "audio_text       models/small/audio_text       present  473 kB  none: random numbers\n" in out
    assert out.count("present") == 5 and "about 1.0 GB with every role loaded" in out
    assert "packages   all " in out and max(map(len, out.splitlines())) <= doctor.WIDTH


def test_what_lacks_is_named_with_the_commands_in_order(hub, config, capsys):
    found = doctor.main(["--config", config])["mine"]
    assert not found.ready and not hub.requests
    assert doctor.verdict(found) == "NOT READY: 3 of 3 networks are not on this machine"
    assert doctor.steps(found) == [
        f"accept the licence at {hub.endpoint}/facebook/sam3 (or take the family grounded_sam, as configs/base.yaml "
        "has it)",
        "hf auth login",
        f"python -m models.fetch --config {config} --convert    (more than 4.2 GB)",
        f"python inference_demo.py --config {config} --methods cross_modal text_inversion",
    ]
    rows = {row.split()[0]: row.split()[1:] for row in capsys.readouterr().out.splitlines() if row.startswith("  ")}
    assert rows["audio_text"] == ["laion/larger_clap_music_and_speech", "pickled", "about", "776", "MB", "Apache-2.0"]
    assert rows["segmenter"] == ["facebook/sam3", "gated", "about", "3.4", "GB", "SAM", "License"]
    assert rows["image_captioner"] == ["owner/words@ccccccc", "missing", "?", "unknown"]
    assert rows["gated:"][:3] == ["its", "licence", "has"]


def test_asked_to_the_doctor_asks_the_hub(hub, config, capsys):
    hub.repositories["laion/larger_clap_music_and_speech"] = Repository(checkpoint(1_000_000))
    doctor.main(["--config", config, "--online"])
    out = capsys.readouterr().out
    assert "missing        4.0 MB  Apache-2.0" in out
    assert "hub        facebook/sam3: the hub has no such model" in out
    hub.error = 503
    hub.requests.clear()
    doctor.main(["--config", config, "--online"])
    assert capsys.readouterr().out.count("answers with an error") == len(hub.requests) == 1


def test_a_config_too_large_for_the_machine(hub, default):
    found = examined(default, replace(LAPTOP, memory=500_000_000))
    assert doctor.verdict(found) == "NOT READY: too large for its memory (about 1.0 GB needed, 500 MB there)"
    assert doctor.steps(found) == [
        "take a smaller config or a larger machine, or try half the memory: --set ROLE.dtype=bfloat16"
    ]
    assert not found.ready


def test_a_config_that_fits_role_by_role_says_so(hub, default, monkeypatch):
    monkeypatch.setattr(doctor, "LIBRARIES", 0)
    largest = doctor.memory_of([examined(default).largest])
    found = examined(default, replace(LAPTOP, memory=int(largest) + 1))
    assert found.ready and doctor.verdict(found) == "READY, but not with every role at once: run one method at a time"
    assert doctor.steps(found) == ["python inference_demo.py"]


def test_memory_is_that_of_the_networks_in_their_precision_each_once(config):
    networks = take_stock(load_config(config))
    words = doctor.memory_in_words(examined(config))
    assert words == (
        "about 7.2 GB with every role loaded; the largest network alone (segmenter) needs 6.2 GB; without "
        "image_captioner, whose size is not known yet"
    )
    assert doctor.memory_of(networks) == pytest.approx(1e9 + 4 * (193.9e6 + 859.9e6) + 2e9)
    assert doctor.memory_of([*networks, networks[0]]) == doctor.memory_of(networks)
    halved = load_config(config, ["segmenter.dtype=bfloat16", "audio_text.dtype=float16"])
    assert doctor.memory_of(take_stock(halved)) == pytest.approx(1e9 + 1.5 * 2 * 1053.8e6)


def test_a_half_download_and_a_broken_folder(hub, tmp_path, capsys):
    hub.repositories["owner/words"] = Repository(checkpoint())
    (find("owner/words").path / "model.safetensors").unlink()
    (tmp_path / "own").mkdir()
    roles = {
        "audio_text": {"family": "clap", "weights": "owner/words"},
        "segmenter": {"family": "clipseg", "weights": str(tmp_path / "own")},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"roles": roles}))
    found = doctor.main(["--config", str(tmp_path / "mine.yaml")])["mine"]
    assert [network.state for network in found.networks] == ["in part", "broken"]
    assert doctor.steps(found)[1] == (
        f"put in order {tmp_path / 'own'}: config.json is not there; model.safetensors is not there"
    )


def test_weights_that_are_one_file(random_config, tmp_path):
    (tmp_path / "net.pth.tar").write_bytes(b"12345")
    overrides = ["segmenter.family=clipseg", f"segmenter.weights={tmp_path / 'net.pth.tar'}"]
    (*_, there) = take_stock(load_config(random_config, overrides))
    assert there.ready and there.bytes == 5 and there.parameters is None
    overrides[1] = "segmenter.weights=owner/net.pth"
    (*_, lacking) = take_stock(load_config(random_config, overrides))
    assert lacking.local and not lacking.ready and lacking.state == "missing"


def test_every_bundled_config_is_reported(hub, capsys):
    doctor.main([])
    out = capsys.readouterr().out
    assert all(f"\n{name}: " in out for name in config_names()) and not hub.requests
    first, *others = sorted(config_names(), key=lambda name: (name != doctor.DEFAULT_CONFIG, name))
    assert out.index(f"\n{first}: ") < min(out.index(f"\n{name}: ") for name in others)


def test_a_config_that_does_not_exist_is_refused(hub):
    with pytest.raises(UserError, match="there is no config 'bsae'"):
        doctor.main(["--config", "bsae"])


def test_packages_are_held_against_the_requirements(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# a comment\nnumpy>=2.0\ntorch<1.0\nno-such-package>=3\n")
    total, wrong = doctor.wrong_packages(requirements)
    assert total == 3 and wrong[1] == "no-such-package is not installed"
    assert wrong[0].startswith("torch ") and wrong[0].endswith(" is installed, <1.0 is asked for")


def test_memory_is_no_more_than_a_container_may_use(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "CGROUP", tmp_path)
    total, free = doctor.system_memory()
    assert 0 < free <= total
    (tmp_path / "memory.max").write_text("2000\n")
    (tmp_path / "memory.current").write_text("500\n")
    assert doctor.system_memory() == (2_000, 1_500)
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor.system_memory()[0] == total


def test_the_precision_is_said_for_each_kind_of_device():
    assert doctor.precision(LAPTOP).startswith("float32")
    assert doctor.precision(replace(LAPTOP, kind="cuda")).startswith("bfloat16 (autocast)")
    older = doctor.precision(replace(LAPTOP, kind="cuda", bfloat16=False))
    assert older.startswith("float16 (autocast)") and "emulated" in older


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (["audio_text", "segmenter"], "python inference_demo.py --config {} --methods text_inversion"),
        (ROLES[1:3] + ROLES[4:], "python inference_demo.py --config {} --methods caption classify"),
        (["segmenter"], "add a role to {}: with those it has, segmenter, no method runs"),
    ],
)  # fmt: skip
def test_the_last_step_names_methods_that_the_config_can_play(random_config, tmp_path, roles, expected):
    content = yaml.safe_load(random_config.read_text())
    content["roles"] = {role: content["roles"][role] for role in roles}
    path = tmp_path / "some.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    assert doctor.steps(examined(path)) == [expected.format(path)]


def test_what_methods_need_is_read_as_they_say_it():
    """The programs of models import no method."""
    listening, config = [name for name in methods.available() if methods.listens(name)], load_config()
    for roles in (ROLES, *((role, "segmenter") for role in ROLES), ("audio_text",)):
        known = doctor.playable({role: config.roles[role] for role in roles})
        assert known == [name for name in listening if {*methods.requires(name)} <= {*roles}]
    published = doctor.playable(load_config("base").roles)
    assert published == [name for name in listening if name != "regions"]  # no family of it proposes regions


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a/b: {licence: MIT}", "unexpected keyword argument 'licence'"),
        ("a/b: MIT", "must be a mapping"),
        ("[1]", "has no attribute 'items'"),
        ("a/b: {parameters: 3, dtype: int7}", "'int7'"),
        ("a/b: {parameters: many}", "multiply"),
        ("a: b: c", "mapping values are not allowed here"),
    ],
)
def test_a_damaged_catalogue_is_one_sentence(monkeypatch, tmp_path, text, found):
    monkeypatch.setattr("models.checkpoints.CATALOGUE", tmp_path / "published.yaml")
    (tmp_path / "published.yaml").write_text(text)
    with pytest.raises(UserError, match=f"published.yaml to give hub ids some of license, .*{found}.*; restore it"):
        catalogue.__wrapped__()


def test_the_catalogue_knows_every_network_of_the_bundled_configs():
    for name in config_names():
        for network in take_stock(load_config(name)):
            if not network.local:
                known = catalogue()[network.source.weights]
                assert known.bytes and known.license == network.source.license, network.source


def test_the_catalogue_knows_every_architecture_that_can_be_built_here():
    from tests.checkpoints.published import available

    assert set(catalogue()) >= set(available())


def test_the_exit_code_says_whether_all_is_ready(random_config, config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["doctor", "--config", str(random_config)])
    assert doctor._script() == 0 and not capsys.readouterr().err
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home")}
    run = [sys.executable, "-m", "models.doctor", "--config", config]
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert not (tmp_path / "home").exists()  # it changes nothing
