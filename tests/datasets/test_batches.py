"""Batches keep groups whole and samples in order; several processes give what one gives, or end in one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import datasets.batches as script
from datasets.batches import cut_batches, iterate_batches, parallel_map
from utils.errors import UserError

ROOT = Path(script.__file__).resolve().parents[1]
MOST = 20  # seconds until processes have ended


@pytest.mark.parametrize(
    ("groups", "batch_size", "sizes"),
    [
        ("aaaaabbbbbccccc", 8, [5, 5, 5]),
        ("aaaaabbbbbccccc", 16, [15]),
        ("abcdefghij", 4, [4, 4, 2]),
        ("aabbcc", 4, [4, 2]),
        ("aaabb", 5, [5]),
        ("abbb", 3, [1, 3]),
        ("abab", 3, [3, 1]),  # neighbours alone can stay together
        ("aaaaaaaaabbc", 4, [4, 4, 4]),
        ("", 3, []),
    ],
)
def test_groups_are_kept_whole_where_they_fit(groups, batch_size, sizes):
    assert [len(batch) for batch in cut_batches(list(groups), batch_size)] == sizes


@given(st.lists(st.integers(1, 7), max_size=20), st.integers(1, 9))
def test_every_sample_is_in_one_batch_in_order(lengths, batch_size):
    groups = [str(number) for number, length in enumerate(lengths) for _ in range(length)]
    batches = cut_batches(groups, batch_size)
    assert [position for batch in batches for position in batch] == list(range(len(groups)))
    assert all(0 < len(batch) <= batch_size for batch in batches)
    for number, length in enumerate(lengths):
        if length <= batch_size:
            assert sum(str(number) in groups[batch.start : batch.stop] for batch in batches) == 1
    for batch, after in pairwise(batches):  # and no batch is shorter than it has to be
        next_group = groups[after.start : after.stop].count(groups[after.start])
        assert len(batch) + next_group > batch_size or groups[after.start] == groups[batch.stop - 1]


def square(number):
    return number * number


def kill_the_process(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("num_workers", [0, 2, 1000])
def test_results_come_in_the_order_of_the_jobs(num_workers):
    assert list(parallel_map(square, range(9), num_workers)) == [square(number) for number in range(9)]


def test_no_jobs_are_no_results():
    assert list(parallel_map(square, [], 2)) == []


class Killing(list):
    """A dataset, one of whose samples kills the process that reads it."""

    def __getitem__(self, index):
        return kill_the_process(index) if index == 4 else super().__getitem__(index)


def test_a_killed_process_is_said_in_one_sentence_after_what_came_before():
    sentence = "^expected every process to finish, found one killed, .* fewer with --num_workers and .* same command"
    with pytest.raises(UserError, match=sentence):
        list(parallel_map(kill_the_process, [1], 1))
    batches = iterate_batches(Killing(range(6)), [range(2), range(2, 4), range(4, 6)], 1)
    assert next(batches) == [0, 1]
    with pytest.raises(UserError, match=sentence):
        list(batches)


WAITING = """
import time
import numpy as np
from datasets.batches import iterate_batches, parallel_map
results = {}
next(results)
print("begun", flush=True)
{}
"""
LARGE = "iterate_batches(np.zeros((9, 3_000_000), np.uint8), [range(i, i + 1) for i in range(9)], 2)"  # fills a pipe


@pytest.mark.parametrize(
    ("results", "then", "end"),
    [
        ("parallel_map(time.sleep, [0] * 4 + [600] * 9, 2)", "list(results)", signal.SIGTERM),  # at work
        ("parallel_map(abs, range(9), 2)", "time.sleep(600)", signal.SIGKILL),  # waiting for work
        (LARGE, "time.sleep(600)", signal.SIGKILL),  # waiting for its result to be taken
    ],
)
def test_processes_end_with_the_one_that_began_them(results, then, end):
    command = [sys.executable, "-c", WAITING.format(results, then)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        begun = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(end)
    try:
        assert begun
        deadline = time.monotonic() + MOST
        while alive := [one for one in begun if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]:
            assert time.monotonic() < deadline, alive
            time.sleep(0.05)
    finally:
        for one in begun:
            if one.is_running():
                one.kill()


def mark(path):
    path.touch()
    return path


def test_processes_are_not_ahead_without_bounds(tmp_path):
    jobs = [tmp_path / str(number) for number in range(20)]
    results = parallel_map(mark, jobs, 1, at_a_time=1, ahead=3)
    assert next(results) == jobs[0]
    results.close()
    assert 1 <= len(list(tmp_path.iterdir())) <= 3
