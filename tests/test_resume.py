"""An evaluation may be killed, resumed, sharded or spread over processes: it ends as if nothing had happened."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from accelerate import PartialState
from PIL import Image
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import eval as script
import models.loading
from utils.errors import UserError, run_script

ROOT = Path(script.__file__).resolve().parent
SCENES = [("dog", ("dog", "violin")), ("violin", ("dog", "violin")), ("drum", ("drum",)), (None, ("dog",))] * 2


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


def play(fakes, monkeypatch):
    played = fakes.make_models()
    monkeypatch.setattr(
        models.loading,
        "load_models",
        lambda config, roles, *_, **__: {role: played[role] for role in sorted(set(roles))},
    )


@pytest.fixture(autouse=True)
def fake_models(monkeypatch, fakes):
    play(fakes, monkeypatch)


def command(data, output, *further):
    options = ["--methods", "cross_modal", "classify", "--audio_control", "silence", "--batch_size", "2"]
    options += ["--config", "tests/fakes.yaml", "--device", "cpu", "--draws", "20"]
    return [*options, "--test_data_path", str(data), "--output_dir", str(output), *further]


def evaluating(fakes, segmentations, stopped, *words):
    """Runs eval.py with the fake networks; the process, the second of several, calls `stopped` after so many."""

    def evaluate():
        torch.set_num_threads(1)
        PartialState._reset_state()  # whatever was imported before the fork
        played, left = fakes.make_models(), [segmentations if os.environ.get("RANK", "1") == "1" else 10**6]
        segment = played["segmenter"].segment

        def mortal(images, queries):
            left[0] -= 1
            return stopped() if left[0] < 0 else segment(images, queries)

        played["segmenter"].segment = mortal
        models.loading.load_models = lambda config, roles, *_, **__: {role: played[role] for role in sorted(set(roles))}
        sys.exit(run_script(lambda: script.main(list(words))))

    return evaluate


def in_a_fork(function):
    """A process that need not import anything anew."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    return process


def exit_code_of(function):
    """The exit code of a process in which a function runs."""
    process = in_a_fork(function)
    process.join(240)
    return process.exitcode


def in_processes(count, function):
    """Runs a function in several processes, started and told of each other as torchrun does."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id="forks",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="fork",
    )
    return lambda: elastic_launch(config, function)()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def run_in_one_go(data, tmp_path_factory, fakes):
    """The folder of a run that nothing disturbs."""
    output = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        play(fakes, patch)
        script.main(command(data, output))
    return output


@pytest.fixture
def undisturbed(run_in_one_go):
    """Its records."""
    return (run_in_one_go / "per_sample.csv").read_bytes()


def measured(output):
    """The samples of the batches that an unfinished run has measured."""
    records = [json.loads(path.read_text())["content"] for path in (output / "unfinished").glob("batch_*.json")]
    return sorted(one for record in records for one in record["ids"])


def pictures_of(output):
    return {path.name: path.read_bytes() for path in (output / "gallery").iterdir()}


def records_of(output):
    assert not (output / "unfinished").exists()
    return (output / "per_sample.csv").read_bytes()


def test_a_killed_run_goes_on_to_the_same_records(data, tmp_path, fakes, undisturbed, capsys):
    output = tmp_path / "out"
    # a batch takes 5 segmentations: 2 methods and image_only with the sound, 2 methods without it
    assert exit_code_of(evaluating(fakes, 7, die, *command(data, output))) == -signal.SIGKILL
    assert not (output / "per_sample.csv").exists()
    assert measured(output) == ["0", "1"]
    script.main(command(data, output))
    assert "going on: 1 of 4 batches were measured before" in capsys.readouterr().out
    assert records_of(output) == undisturbed


def test_shards_are_collected_to_the_same_records(data, tmp_path, run_in_one_go, undisturbed, capsys):
    output = tmp_path / "out"
    for shard in ("3/3", "1/3"):
        assert script.main(command(data, output, "--shard", shard)) is None
        assert f"part {shard[0]} of 3 is measured" in capsys.readouterr().out
        assert not (output / "per_sample.csv").exists()
    script.main(command(data, output))  # the second shard was never run: its batch is found missing, and measured
    assert "going on: 3 of 4 batches were measured before" in capsys.readouterr().out
    assert records_of(output) == undisturbed
    assert pictures_of(output) == pictures_of(run_in_one_go)


def test_three_processes_give_the_same_records(data, tmp_path, fakes, undisturbed):
    output = tmp_path / "out"
    assert exit_code_of(in_processes(3, evaluating(fakes, 10**6, die, *command(data, output)))) == 0
    assert records_of(output) == undisturbed


def test_one_of_two_processes_that_is_killed_loses_nothing(data, tmp_path, fakes, undisturbed):
    output = tmp_path / "out"
    assert exit_code_of(in_processes(2, evaluating(fakes, 6, die, *command(data, output)))) == 1
    assert not (output / "per_sample.csv").exists()
    assert {"2", "3"} <= set(measured(output))  # the second process's first batch
    assert not {"6", "7"} & set(measured(output))  # the one it died in
    script.main(command(data, output))
    assert records_of(output) == undisturbed


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
    assert measured(output) == ["3", "4", "5"]
    script.main(command(data, tmp_path / "undisturbed", *grouped))
    script.main(command(data, output, *grouped))
    assert records_of(output) == records_of(tmp_path / "undisturbed")


@pytest.fixture
def own(data, tmp_path):
    """A copy of the data set, free to be broken and mended."""
    return Path(shutil.copytree(data, tmp_path / "data"))


def spoil(root, stem):
    """Makes a sound whose header is fine and which holds what is no number; returns what it held."""
    path = root / "wav" / f"{stem}.wav"
    before = path.read_bytes()
    waveform, rate = soundfile.read(path, dtype="float32")
    waveform[5] = np.nan
    soundfile.write(path, waveform, rate, subtype="FLOAT")
    return before


def test_a_file_mended_in_the_middle_costs_its_own_batch(own, tmp_path, undisturbed, capsys):
    output, held = tmp_path / "out", spoil(own, "5")
    sentence = "the sound .*5.wav.* not finite .*; python -m .* then the same command goes on, or --skip_faults leaves"
    for _ in range(2):
        with pytest.raises(UserError, match=sentence):
            script.main(command(own, output))
        assert "batches are measured, and kept in" in capsys.readouterr().err
        assert measured(output) == ["0", "1", "2", "3"]
    (own / "wav" / "5.wav").write_bytes(held)
    script.main(command(own, output))
    assert "going on: 2 of 4 batches were measured before" in capsys.readouterr().out
    assert records_of(output) == undisturbed


def test_a_disk_that_is_full_while_pictures_are_drawn_costs_no_picture(data, tmp_path, undisturbed, monkeypatch):
    output, draw, left = tmp_path / "out", script.save_overlays, [1]

    def draw_one_batch(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        draw(*arguments)

    monkeypatch.setattr(script, "save_overlays", draw_one_batch)
    with pytest.raises(OSError, match="No space left"):
        script.main(command(data, output, "--save_visualizations"))
    assert measured(output) == ["0", "1"]
    monkeypatch.setattr(script, "save_overlays", draw)
    script.main(command(data, output, "--save_visualizations"))
    assert len(list((output / "visualizations" / "classify").iterdir())) == len(SCENES)
    assert records_of(output) == undisturbed


def test_a_copy_of_the_data_set_is_the_same_data_set(data, own, tmp_path, undisturbed, capsys):
    output = tmp_path / "out"
    script.main(command(data, output, "--shard", "1/2"))
    for path in own.rglob("*.*"):
        os.utime(path, (0, 0))
    script.main(command(own, output))
    assert "going on: 2 of 4 batches were measured before" in capsys.readouterr().out
    assert records_of(output) == undisturbed


def test_samples_that_come_and_go_leave_the_other_batches_alone(own, tmp_path, capsys):
    output = tmp_path / "out"
    script.main(command(own, output, "--shard", "1/2"))  # 0 and 1, 4 and 5
    for old, new in (("4", "11"), ("6", "6a")):  # new ones that come before others by name
        for path in own.glob(f"*/{old}.*"):
            shutil.copy(path, path.with_stem(new))
    for path in own.glob("*/1.*"):
        path.unlink()
    script.main(command(own, output, "--shard", "2/2"))
    script.main(command(own, output))
    printed = capsys.readouterr().out
    assert "going on: 1 of 2 batches" not in printed and "going on: 3 of 5 batches were measured before" in printed
    script.main(command(own, tmp_path / "fresh"))  # other batches, the same samples in the same order
    assert records_of(output) == records_of(tmp_path / "fresh")
    results = [json.loads((folder / "results.json").read_text()) for folder in (output, tmp_path / "fresh")]
    for part in ("scores", "data", "identity", "samples", "controls", "intervals"):
        assert results[0][part] == results[1][part], part


def test_a_sample_with_faults_is_left_out_and_named_where_that_is_asked_for(own, tmp_path, capsys):
    output = tmp_path / "out"
    spoil(own, "5")
    (own / "gt_seg" / "2.png").write_bytes(b"no picture")  # a fault of its header
    with pytest.raises(UserError, match="found 1 fault: 1 mask that cannot be read"):
        script.main(command(own, output))
    results = script.main(command(own, output, "--skip_faults"))
    said = capsys.readouterr()
    assert "data: 1 sample left out (2)" in said.out and "left out: 2 samples with faults (2, 5)" in said.out
    assert re.search("left out: 5: .*5.wav", said.err)
    assert results.data["samples"] == 6 and list(results.data["skipped"]) == ["2", "5"]
    assert "unreadable masks (gt_seg/2.png: it is no image" in results.data["skipped"]["2"]
    assert "not finite" in results.data["skipped"]["5"]
    for name in ("report.html", "report.md"):
        assert "2 left out with faults" in (output / name).read_text(encoding="utf-8")
    rows = records_of(output).decode().splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == set("013467")
    for path in (*own.glob("*/2.*"), *own.glob("*/5.*")):
        path.unlink()
    script.main(command(own, tmp_path / "without"))
    assert records_of(tmp_path / "without").decode().splitlines()[1:] == rows


def test_a_run_that_skipped_a_sample_takes_it_in_when_it_is_mended(own, tmp_path, undisturbed, capsys):
    output, held = tmp_path / "out", spoil(own, "5")
    script.main(command(own, output, "--skip_faults", "--shard", "1/2"))  # 0 and 1, 4 and 5
    assert measured(output) == ["0", "1", "4"]
    with pytest.raises(UserError, match="5.wav.* not finite"):  # it is not passed over unasked
        script.main(command(own, output))
    (own / "wav" / "5.wav").write_bytes(held)
    script.main(command(own, output))
    assert records_of(output) == undisturbed


def test_a_folder_without_a_sample_that_can_be_read_is_refused(own, tmp_path):
    for stem in range(8):
        spoil(own, str(stem))
    with pytest.raises(UserError, match="expected samples that can be read in .*, found none"):
        script.main(command(own, tmp_path / "out", "--skip_faults"))


def test_a_record_that_was_changed_is_measured_again(data, tmp_path, undisturbed, capsys):
    output = tmp_path / "out"
    script.main(command(data, output, "--shard", "1/2"))
    changed, cut = sorted((output / "unfinished").glob("batch_*.json"))
    changed.write_text(changed.read_text().replace('"method": "classify"', '"method": "caption"'))
    cut.write_bytes(cut.read_bytes()[:-9])
    script.main(command(data, output))
    said = capsys.readouterr()
    assert "going on" not in said.out and said.err.count("is not as a run wrote it: what it held (") == 2
    assert records_of(output) == undisturbed


def test_a_run_in_its_own_clone_goes_on_and_collects_its_shards(data, tmp_path, undisturbed, monkeypatch):
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "eval.py").write_text("")
    git = ["git", "-C", str(clone), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(script, "ROOT", clone)
    output = clone / "results"
    for further in (["--shard", "2/2"], ["--shard", "1/2"], []):
        results = script.main(command(data, output, *further))
    assert records_of(output) == undisturbed
    assert (len(results.commit), results.uncommitted_changes) == (40, False)
    script.main(command(data, output, "--shard", "1/2"))
    (clone / "methods").mkdir()
    (clone / "methods" / "new.py").write_text("")
    with pytest.raises(UserError, match=r"found another one \(code .* there, .* here\)"):
        script.main(command(data, output, "--overwrite"))


def test_two_runs_at_once_do_not_meet(data, tmp_path, fakes, undisturbed):
    output, at_work = tmp_path / "out", multiprocessing.get_context("fork").Event()
    first = in_a_fork(evaluating(fakes, 0, lambda: at_work.set() or time.sleep(240), *command(data, output)))
    assert at_work.wait(240)
    for further in ([], ["--shard", "1/2"]):
        with pytest.raises(UserError, match="expected no other process at work on this in .*out, found one; wait"):
            script.main(command(data, output, *further))
    first.kill()
    first.join()
    script.main(command(data, output))
    assert records_of(output) == undisturbed


def test_a_process_that_was_launched_by_halves_ends_in_one_sentence(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run_script(lambda: script.main(command(data, tmp_path / "out"))) == 2
    said = capsys.readouterr().err
    assert "error: expected WORLD_SIZE and RANK as torchrun" in said and said.count("\n") == 1
