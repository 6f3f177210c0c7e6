"""Memory that does not suffice: half the samples at a time, said once, and nothing lost or out of order."""

from __future__ import annotations

import pytest
import torch

from utils.errors import UserError
from utils.runs.halving import Halving

MESSAGES = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB",
    "MPS backend out of memory (MPS allocated: 8 GB)",
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried",
]


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """A full collection takes long among the objects of many tests, and nothing here waits for one."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


class Device:
    """Holds so many samples; answers each with its name under two controls and methods."""

    def __init__(self, room, message=MESSAGES[0]):
        self.room, self.message, self.asked, self.released = room, message, [], 0

    def predict(self, samples):
        self.asked.append(len(samples))
        if len(samples) > self.room:
            raise torch.OutOfMemoryError(self.message) if "CUDA" in self.message else RuntimeError(self.message)
        return {"original": {"a": [f"a{one}" for one in samples], "b": list(samples)}, "swap": {"a": list(samples)}}

    def release(self):
        self.released += 1


@pytest.mark.parametrize("message", MESSAGES)
def test_it_goes_on_with_half_and_stays_there(message, capsys):
    device = Device(room=3, message=message)
    ask = Halving(device.predict, device.release)
    samples = list("abcdefg")
    for _ in range(2):
        answers = ask(samples)
        assert answers["original"]["b"] == samples == answers["swap"]["a"]
        assert answers["original"]["a"] == [f"a{one}" for one in samples]
    assert device.asked == [7, 4, 2, 2, 2, 1, 2, 2, 2, 1]
    assert device.released == 2 + 3 + 3  # after what did not fit, and before each further part of a batch
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "7 samples at a time do not fit into the device's memory; going on with 4",
        "4 samples at a time do not fit into the device's memory; going on with 2",
    ]


def test_what_is_kept_of_a_part_does_not_take_the_room_of_the_next():
    """Room for five samples, of which each that was asked stays until it is released."""
    kept = []

    def predict(samples):
        kept.extend(samples)
        if len(kept) > 5:
            raise torch.OutOfMemoryError(MESSAGES[0])
        return {"original": {"a": list(samples)}}

    ask = Halving(predict, kept.clear)
    assert ask(list(range(16))) == {"original": {"a": list(range(16))}}
    assert ask.limit == 4


def test_all_that_fit_are_asked_at_once(capsys):
    device = Device(room=8)
    Halving(device.predict, device.release)(list("abcdefg"))
    assert device.asked == [7] and not device.released and not capsys.readouterr().err


def test_one_sample_that_does_not_fit_is_a_sentence():
    device = Device(room=0)
    with pytest.raises(UserError, match=r"one sample alone does not fit .*\(CUDA out of memory\); keep the weights in"):
        Halving(device.predict, device.release)(list("abc"))
    assert device.asked == [3, 2, 1]


def test_other_errors_stay_what_they_are():
    def fail(samples):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Halving(fail, lambda: None)(list("abc"))


def test_the_failed_attempt_is_let_go_before_the_next():
    """The error's traceback holds the tensors of the attempt; with it kept, half would not fit either."""
    import gc
    import weakref

    attempts = []

    def predict(samples):
        tensor = torch.zeros(len(samples))
        assert all(attempt() is None for attempt in attempts)
        if len(samples) > 1:
            attempts.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError(MESSAGES[0])
        return {"original": {"a": list(samples)}}

    gc.disable()  # so that only what is let go is gone
    try:
        Halving(predict, lambda: None)(list("abc"))
    finally:
        gc.enable()
    assert len(attempts) == 2
