"""An evaluation may be killed, resumed, sharded or spread over processes: it ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from PIL import Image

import eval as script
import models.loading
from utils.errors import UserError
from utils.runs.journal import Shard

ROOT = Path(script.__file__).resolve().parent
SCENES = [("dog", ("dog", "violin")), ("violin", ("dog", "violin")), ("drum", ("drum",)), (None, ("dog",))] * 2

RUN = """
import os, signal, sys

sys.path.insert(0, {tests!r})
import fakes
import models.loading

played = fakes.make_models()
segment, left = played["segmenter"].segment, [{segmentations} if os.environ.get("RANK", "1") == "1" else 10**6]


def mortal(images, queries):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return segment(images, queries)


played["segmenter"].segment = mortal
models.loading.load_models = lambda config, roles, *_, **__: {{role: played[role] for role in sorted(set(roles))}}
import eval
from utils.errors import run_script
sys.exit(run_script(eval.main))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory, fakes):
    root = tmp_path_factory.mktemp("data")
    for folder in ("image", "wav", "gt_seg"):
        (root / folder).mkdir()
    for number, (sounding, visible) in enumerate(SCENES):
        sample = fakes.make_sample(sounding, visible, (40 + number, 60))
        Image.fromarray(sample.image).save(root / "image" / f"{number}.png")
        soundfile.write(root / "wav" / f"{number}.wav", sample.waveform, sample.sampling_rate)
        Image.fromarray(sample.gt_mask).save(root / "gt_seg" / f"{number}.png")
    return root


@pytest.fixture(autouse=True)
def fake_models(monkeypatch, fakes):
    played = fakes.make_models()
    monkeypatch.setattr(
        models.loading,
        "load_models",
        lambda config, roles, *_, **__: {role: played[role] for role in sorted(set(roles))},
    )


def command(data, output, *further):
    options = ["--methods", "cross_modal", "classify", "--audio_control", "silence", "--batch_size", "2"]
    options += ["--config", "tests/fakes.yaml", "--device", "cpu"]
    return [*options, "--test_data_path", str(data), "--output_dir", str(output), *further]


def evaluate_in_processes(data, output, segmentations=10**6, processes=1):
    """Runs eval.py with the fake networks; its process, the second of several, dies after so many segmentations."""
    driver = output.with_name(f"{output.name}_{segmentations}.py")
    driver.write_text(RUN.format(tests=str(ROOT / "tests"), segmentations=segmentations))
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}")
    return subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else ()), str(driver), *command(data, output)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def undisturbed(data, tmp_path):
    """The records of a run in one go."""
    script.main(command(data, tmp_path / "undisturbed"))
    return (tmp_path / "undisturbed" / "per_sample.csv").read_bytes()


def pictures_of(output):
    return {path.name: path.read_bytes() for path in (output / "gallery").iterdir()}


def records_of(output):
    assert not (output / "unfinished").exists()
    return (output / "per_sample.csv").read_bytes()


def test_a_killed_run_goes_on_to_the_same_records(data, tmp_path, undisturbed, capsys):
    output = tmp_path / "out"
    # a batch takes 5 segmentations: 2 methods and image_only with the sound, 2 methods without it
    assert evaluate_in_processes(data, output, 7).returncode == -signal.SIGKILL
    assert not (output / "per_sample.csv").exists()
    assert sorted(os.listdir(output / "unfinished")) == ["00000000.json", "run.json"]
    script.main(command(data, output))
    assert "going on: 1 of 4 batches were measured before" in capsys.readouterr().out
    assert records_of(output) == undisturbed


def test_shards_are_collected_to_the_same_records(data, tmp_path, undisturbed, capsys):
    output = tmp_path / "out"
    for shard in ("3/3", "1/3"):
        assert script.main(command(data, output, "--shard", shard)) is None
        assert f"part {shard[0]} of 3 is measured" in capsys.readouterr().out
        assert not (output / "per_sample.csv").exists()
    script.main(command(data, output))  # the second shard was never run: its batch is found missing, and measured
    assert "going on: 3 of 4 batches were measured before" in capsys.readouterr().out
    assert records_of(output) == undisturbed
    assert pictures_of(output) == pictures_of(tmp_path / "undisturbed")


def test_three_processes_give_the_same_records(data, tmp_path, undisturbed):
    output = tmp_path / "out"
    done = evaluate_in_processes(data, output, processes=3)
    assert done.returncode == 0, done.stderr
    assert records_of(output) == undisturbed


def test_one_of_two_processes_that_is_killed_loses_nothing(data, tmp_path, undisturbed):
    output = tmp_path / "out"
    assert evaluate_in_processes(data, output, 6, processes=2).returncode != 0
    assert not (output / "per_sample.csv").exists()
    assert (output / "unfinished" / "00000002.json").exists()  # the second process's first batch
    assert not (output / "unfinished" / "00000006.json").exists()  # the one it died in
    script.main(command(data, output))
    assert records_of(output) == undisturbed


def test_cores_are_shared_among_the_processes_of_a_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5, 7, 8}, raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [shard.cores for shard in (Shard(), Shard(0, 2), Shard(1, 2, together=True))] == [5, 5, 2]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert Shard(1, 8, together=True).cores == 1


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b"])
def test_wrong_shards_are_refused(shard, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(["--test_data_path", "x", "--shard", shard])
    assert f"expected a shard such as 2/8, the second of eight, found '{shard}'" in capsys.readouterr().err


def test_an_unfinished_run_is_not_mixed_with_another(data, tmp_path):
    output = tmp_path / "out"
    script.main(command(data, output, "--shard", "1/2"))
    with pytest.raises(UserError, match=r"another one \(methods.cross_modal.min_similarity 0.5 there, 0.3 here\)"):
        script.main(command(data, output, "--set", "cross_modal.min_similarity=0.3"))
    mask = data / "gt_seg" / "0.png"
    changed = mask.stat().st_mtime + 10
    os.utime(mask, (changed, changed))
    with pytest.raises(UserError, match="another one .latest_change"):
        script.main(command(data, output))


def imprecise(played, memory):
    """The fake networks with a memory, and with what real ones have: digits that depend on who else was asked."""
    audio_text = played["audio_text"]
    encode_text, encode_audio = audio_text.encode_text, audio_text.encode_audio
    audio_text.encode_text = lambda texts: encode_text(texts) * (1 + 1e-3 * len(texts))
    audio_text.encode_audio = lambda waveforms, rates: encode_audio(waveforms, rates) * (1 + 1e-3 * len(waveforms))
    return {role: memory.wrap(model, {}) for role, model in played.items()}


def test_what_is_said_of_a_batch_follows_from_that_batch_alone(data, tmp_path, fakes, monkeypatch):
    """Networks that remembered earlier batches would be asked for fewer things at once than when resumed there."""

    def evaluate(output, *further):
        def load_models(config, roles, device, memory):
            played = imprecise(fakes.make_models(), memory)
            return {role: played[role] for role in sorted(set(roles))}

        monkeypatch.setattr(models.loading, "load_models", load_models)
        inverting = ("--methods", "text_inversion", "cross_modal", "--set", "cross_modal.audio_prompt=a sound of {}")
        script.main(command(data, output, *inverting, "--batch_size", "3", *further))

    evaluate(tmp_path / "undisturbed")
    for shard in ("3/3", "2/3"):
        evaluate(tmp_path / "out", "--shard", shard)
    evaluate(tmp_path / "out")
    assert records_of(tmp_path / "out") == (tmp_path / "undisturbed" / "per_sample.csv").read_bytes()


def test_a_batch_holds_whole_groups(data, tmp_path):
    """Groups of three, four samples at a time at most."""
    output = tmp_path / "out"
    grouped = ("--batch_size", "4", "--group_size", "3")
    script.main(command(data, output, *grouped, "--shard", "2/3"))
    assert sorted(os.listdir(output / "unfinished")) == ["00000003.json", "run.json"]
    script.main(command(data, tmp_path / "undisturbed", *grouped))
    script.main(command(data, output, *grouped))
    assert records_of(output) == records_of(tmp_path / "undisturbed")
