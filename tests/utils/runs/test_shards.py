"""A process's part of a run: as it was launched, or as it is told."""

from __future__ import annotations

import os

import pytest
from accelerate import PartialState

from utils.errors import UserError
from utils.runs.shards import Shard, launched_shard


def test_cores_are_shared_among_the_processes_of_a_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5, 7, 8}, raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [shard.cores for shard in (Shard(), Shard(0, 2), Shard(1, 2, together=True))] == [5, 5, 2]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert Shard(1, 8, together=True).cores == 1


@pytest.mark.parametrize(
    "given",
    [
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "2"},
        {"WORLD_SIZE": "2", "RANK": "-1"},
        {"WORLD_SIZE": "2", "RANK": "first"},
        {"WORLD_SIZE": "two", "RANK": "0"},
        {"WORLD_SIZE": "0", "RANK": "0"},
        {"WORLD_SIZE": "-3", "RANK": "0"},
        {"WORLD_SIZE": "", "RANK": "0"},
        {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_WORLD_SIZE": "0"},
        {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "gpu"},
    ],
)
def test_processes_that_were_not_launched_as_they_say_are_refused(monkeypatch, given):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert launched_shard() == Shard()
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(
        UserError, match="expected WORLD_SIZE and RANK as torchrun .* set them, found .*; start eval.py"
    ):
        launched_shard()
    for name, text in (("WORLD_SIZE", "3"), ("RANK", "2"), ("LOCAL_WORLD_SIZE", "3"), ("LOCAL_RANK", "2")):
        monkeypatch.setenv(name, text)
    assert launched_shard() == Shard(2, 3, together=True)


def test_processes_that_do_not_find_each_other_end_in_one_sentence(monkeypatch):
    for name, text in (("WORLD_SIZE", "2"), ("RANK", "0")):
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match="expected 2 processes that find each other, found: .*MASTER_ADDR.*; start"):
        launched_shard().join("cpu")
    PartialState._reset_state()
