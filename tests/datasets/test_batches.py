"""Batches keep groups whole and samples in order; several processes give what one gives, or end in one sentence."""

from __future__ import annotations

import os
import signal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.batches import cut_batches, parallel_map
from utils.errors import UserError


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


def test_a_killed_process_is_said():
    with pytest.raises(UserError, match="expected every process to finish, found one killed, .* take fewer"):
        list(parallel_map(kill_the_process, [1], 1))
