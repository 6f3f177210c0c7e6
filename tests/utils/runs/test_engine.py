"""Predictions are made without the ground truth, measured, and collected the same whatever the batch or the memory."""

import gc
import weakref

import numpy as np
import pytest
import torch

from utils.errors import NotFinite, UserError
from utils.runs.engine import Evaluation, predict_blind
from utils.runs.journal import Batch
from utils.scoring.sample_scores import EVAL_SIZE, describe_measurement, measure
from utils.types import Prediction, Query, Sample

MESSAGES = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB",
    "MPS backend out of memory (MPS allocated: 8 GB)",
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried",
]


def sample_of(name, gt_mask):
    return Sample(name, np.zeros((*gt_mask.shape, 3), np.uint8), np.zeros(4, np.float32), 4, gt_mask)


def half(size=(8, 12)):
    mask = np.zeros(size, bool)
    mask[: size[0] // 2] = True
    return mask


class Fixed:
    """Answers with given score maps."""

    def __init__(self, *maps):
        self.maps = maps

    def predict(self, samples):
        return [Prediction(score_map) for score_map in self.maps]


def test_methods_are_asked_without_the_ground_truth_and_must_answer_in_the_image_s_size():
    sample = sample_of("a", half())
    with pytest.raises(ValueError, match="expected 1 predictions of .*, found 2"):
        predict_blind(Fixed(np.zeros((8, 12), np.float32), np.zeros((8, 12), np.float32)), [sample])
    with pytest.raises(ValueError, match=r"score map of \(8, 12\) for sample a, found \(12, 8\)"):
        predict_blind(Fixed(np.zeros((12, 8), np.float32)), [sample])


def test_resolution_decides_which_pixels_are_compared():
    sample = sample_of("a", half())
    prediction = Prediction(half().astype(np.float32))
    native, published = (measure(sample, prediction, 0.5, name) for name in ("native", "224"))
    assert (native.pixels, published.pixels) == (96, EVAL_SIZE[0] * EVAL_SIZE[1])
    assert (native.iou_fixed, published.iou_fixed) == (1, 1)
    assert describe_measurement(0.3, "native")["resolution"] == "native"
    assert describe_measurement(0.3, "224")["resolution"] == [224, 224]
    assert describe_measurement(0.3, "224")["threshold"] == 0.3


@pytest.mark.parametrize("resolution", ["224", "native"])
def test_a_hard_mask_stays_hard_although_resizing_softens_its_edges(resolution):
    sample = sample_of("a", half())
    assert measure(sample, Prediction(half().astype(np.float32)), 0.5, resolution).levels == 2
    assert measure(sample, Prediction(np.ones((8, 12), np.float32)), 0.5, resolution).levels == 1
    soft = np.linspace(0, 1, 96, dtype=np.float32).reshape(8, 12)
    assert measure(sample, Prediction(soft), 0.5, resolution).levels == 3


def test_confidence_is_the_best_query_s_score():
    sample, empty = sample_of("a", half()), np.zeros((8, 12), np.float32)
    queries = (Query("dog", 0.2), Query("cat", np.float32(0.75)))
    assert measure(sample, Prediction(empty, queries), 0.5).confidence == 0.75
    assert measure(sample, Prediction(empty), 0.5).confidence is None


def book_of(samples, predictions, size):
    book, records, groups = Batch(), [], {"a": "g", "b": "g", "c": "h"}
    evaluation = Evaluation({}, {}, lambda: None, groups, 0.5, "native")
    for start in range(0, len(samples), size):
        part = slice(start, start + size)
        batch = evaluation.measure(
            samples[part],
            {
                control: {name: of_method[part] for name, of_method in of_control.items()}
                for control, of_control in predictions.items()
            },
        )
        book.add(batch)
        records += batch.records
    return book, records


def test_the_book_is_the_same_for_any_batch_size():
    samples = [sample_of("a", half()), sample_of("b", ~half()), sample_of("c", np.zeros((8, 12), bool))]
    right = [
        Prediction(one.gt_mask.astype(np.float32), (Query("dog"), Query("cat")), {"seconds": {"segment": 0.5}})
        for one in samples
    ]
    nothing = [Prediction(np.zeros((8, 12), np.float32), trail={"reason": "silent"})] * 3
    predictions = {"original": {"right": right, "nothing": nothing}, "silence": {"right": nothing}}
    book, records = book_of(samples, predictions, 3)
    assert [(one.id, one.group, one.control, one.method) for one in records[:4]] == [
        ("a", "g", "original", "right"),
        ("a", "g", "original", "nothing"),
        ("a", "g", "silence", "right"),
        ("b", "g", "original", "right"),
    ]
    assert [one.avsbench_iou for one in records] == [1, 0, 0] * 2 + [1, 1, 1]
    assert (records[0].query, records[0].reason, records[1].reason) == ("dog; cat", "", "silent")
    assert book.counts == {"samples": 3, "gt_empty": 1, "gt_ignore": 0}
    assert book.seconds["right"] == {"segment": 1.5}
    assert [one.iou_fixed for one in book.answers["original"]["right"]] == [1, 1, 0]
    curves = {control: of["right"][0].f_curve.shape for control, of in book.answers.items()}
    assert curves == {"original": (255,), "silence": (0,)}
    for size in (1, 2):
        other, again = book_of(samples, predictions, size)
        assert (again, other.ids, other.counts, other.seconds) == (records, book.ids, book.counts, book.seconds)


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


def asking(predict, forget):
    """An evaluation whose methods are one function."""
    evaluation = Evaluation({}, {}, forget, {}, 0.5, "224")
    evaluation.predict = predict
    return evaluation


@pytest.mark.parametrize("message", MESSAGES)
def test_it_goes_on_with_half_and_stays_there(message, capsys):
    device = Device(room=3, message=message)
    ask = asking(device.predict, device.release).ask
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

    evaluation = asking(predict, kept.clear)
    assert evaluation.ask(list(range(16))) == {"original": {"a": list(range(16))}}
    assert evaluation.limit == 4


def test_all_that_fit_are_asked_at_once(capsys):
    device = Device(room=8)
    asking(device.predict, device.release).ask(list("abcdefg"))
    assert device.asked == [7] and not device.released and not capsys.readouterr().err


def test_one_sample_that_does_not_fit_is_a_sentence():
    device = Device(room=0)
    with pytest.raises(UserError, match=r"one sample alone does not fit .*\(CUDA out of memory\); keep the weights in"):
        asking(device.predict, device.release).ask(list("abc"))
    assert device.asked == [3, 2, 1]


def test_of_numbers_that_are_not_finite_the_sample_is_named():
    """The samples of a batch are asked one by one for it."""
    asked = []

    def predict(samples, bad):
        asked.append([one.id for one in samples])
        if bad(samples):
            raise NotFinite("clap x")

    samples = [sample_of(name, half()) for name in "abc"]
    with pytest.raises(NotFinite, match=r"^sample b: expected finite numbers from clap x, found"):
        asking(lambda some: predict(some, lambda these: "b" in asked[-1]), lambda: None).ask(samples)
    assert asked == [["a", "b", "c"], ["a"], ["b"]]
    with pytest.raises(NotFinite, match=r"^samples a to c, in one batch: expected finite numbers from clap x"):
        asking(lambda some: predict(some, lambda these: len(these) > 1), lambda: None).ask(samples)


def test_other_errors_stay_what_they_are():
    def fail(samples):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        asking(fail, lambda: None).ask(list("abc"))


def test_the_failed_attempt_is_let_go_before_the_next():
    """The error's traceback holds the tensors of the attempt; with it kept, half would not fit either."""
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
        asking(predict, lambda: None).ask(list("abc"))
    finally:
        gc.enable()
    assert len(attempts) == 2


def test_samples_that_cannot_be_read_or_heard_end_the_run_or_are_left_out(capsys):
    samples = [sample_of(name, half()) for name in "abc"]
    found = [samples[0], UserError("cannot read b; export it again"), samples[2]]

    def swap(sample):
        if sample.id == "c":
            raise UserError("cannot read the sound d")
        return sample

    evaluation = Evaluation({}, {"original": lambda one: one, "swap": swap}, lambda: None, {}, 0.5, "224")
    advice = "^cannot read b; export it again; python -m .* all .*, or --skip_faults leaves it out$"
    with pytest.raises(UserError, match=advice):
        evaluation.sort_out(tuple("abc"), found)
    with pytest.raises(UserError, match="^cannot read the sound d; python -m datasets.check DIR names all such files"):
        evaluation.predict([samples[2]])
    evaluation.skip_faults = True
    kept, faults = evaluation.sort_out(tuple("abc"), found)
    assert [one.id for one in kept] == ["a"]
    assert faults == {"b": "cannot read b; export it again", "c": "cannot read the sound d"}
    assert capsys.readouterr().err.splitlines() == [f"left out: {name}: {why}" for name, why in faults.items()]
