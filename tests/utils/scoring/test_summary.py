"""A run's summary: the right numbers in the right places, the same in any order, and hard masks told from soft maps."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from utils.errors import UserError
from utils.scoring.summary import HARD, summarise
from utils.types import Entry

SOFT_COLUMNS = {"paper": ["cIoU", "AUC", "mIoU", "Fscore"], "ssl": None}


def run(answers, entries, **options):
    ids = options.pop("ids", [f"s{i:02}" for i in range(len(entries))])
    options = {"group_unit": "image", "threshold": 0.5, "draws": 200, **options}
    return asdict(summarise(answers, ids, entries, **options))


def entry(index):
    kind = "cat" if index % 3 else "dog"
    return Entry(f"g{index // 2}", (kind,) if index % 5 else ("owl", "dog"), "single" if index < 12 else "multi")


@pytest.fixture
def answers(make_scores):
    """Two methods on twenty-four samples in pairs, one of them also under two other sounds."""
    rng = np.random.default_rng(0)

    def method(shift, confident=True):
        return [
            make_scores(
                min(value + shift, 1),
                foreground=0 if index % 6 == 0 else 1,
                confidence=float(value) if confident else None,
            )
            for index, value in enumerate(rng.random(24) * 0.8)
        ]

    return {
        "original": {"listens": method(0.2), "baseline": method(0, confident=False)},
        "silence": {"listens": method(-0.0)},
        "swap": {"listens": method(0.1)},
    }


@pytest.fixture
def entries():
    return [entry(index) for index in range(24)]


def test_everything_is_plain_json(answers, entries):
    found = run(answers, entries)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_each_number_is_the_mean_of_its_own_samples(answers, entries):
    found = run(answers, entries)
    ious = [one.iou_fixed for one in answers["original"]["listens"]]
    assert found["scores"]["listens"]["paper"]["J"]["value"] == pytest.approx(np.mean(ious))
    dogs = [one for one, known in zip(ious, entries, strict=True) if "dog" in known.categories]
    assert found["categories"]["dog"]["scores"]["listens"]["IoU"]["value"] == pytest.approx(np.mean(dogs))
    assert found["categories"]["dog"]["samples"] == len(dogs)
    assert list(found["categories"]) == ["cat", "dog", "owl"]
    assert {name: one["samples"] for name, one in found["scenarios"].items()} == {"single": 12, "multi": 12}
    assert found["scenarios"]["multi"]["scores"]["listens"]["IoU"]["value"] == pytest.approx(np.mean(ious[12:]))
    assert found["scenarios"]["multi"]["groups"] == 6
    assert found["intervals"]["units"] == 12


def test_differences_are_first_minus_second_on_the_same_draws(answers, entries):
    found = run(answers, entries)
    (row,) = found["differences"]
    means = {name: found["controls"]["original"][name]["IoU"]["value"] for name in ("listens", "baseline")}
    assert (row["first"], row["second"]) == ("listens", "baseline")
    assert row["value"] == pytest.approx(means["listens"] - means["baseline"])
    assert row["low"] < row["value"] < row["high"]
    change = found["controls"]["swap"]["listens"]["change"]
    swapped = np.mean([one.avsbench_iou for one in answers["swap"]["listens"]])
    assert change["value"] == pytest.approx(swapped - means["listens"])
    unchanged = found["controls"]["original"]["listens"]["change"]
    assert (unchanged["value"], unchanged["low"], unchanged["high"], unchanged["certain"]) == (0, 0, 0, False)
    assert list(found["controls"]["swap"]) == ["listens"]


def test_the_order_of_samples_changes_nothing(answers, entries):
    found = run(answers, entries)
    order = np.random.default_rng(5).permutation(24)
    shuffled = {
        control: {name: [of_method[i] for i in order] for name, of_method in of_control.items()}
        for control, of_control in answers.items()
    }
    again = run(shuffled, [entries[i] for i in order], ids=[f"s{i:02}" for i in order])
    again["scenarios"] = {name: again["scenarios"][name] for name in found["scenarios"]}
    assert flat(again).keys() == flat(found).keys()
    for key, value in flat(found).items():
        expected = pytest.approx(value, abs=1e-12) if isinstance(value, float) else value
        assert flat(again)[key] == expected, key


def flat(value, key=()):
    """Nested lists and dictionaries as one: path -> leaf."""
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for name, part in items for k, v in flat(part, (*key, name)).items()}
    return {key: value}


def test_the_curve_at_the_fixed_threshold_is_j(make_scores):
    scores = [make_scores(iou, iou_curve=np.linspace(iou, 0, 20, dtype=np.float32)) for iou in (0.2, 0.6)]
    curve = run({"original": {"m": scores}}, [Entry("a"), Entry("b")])["curves"]["m"]
    assert curve["thresholds"] == pytest.approx([0.05 * k for k in range(20)])
    assert curve["iou"] == pytest.approx(np.linspace(0.4, 0, 20), abs=1e-7)


def test_the_curve_counts_empty_ground_truth_as_zero_and_the_sweep_does_not(make_scores):
    found = run({"original": {"m": [make_scores(0.5), make_scores(0.9, foreground=0)]}}, [Entry("a"), Entry("b")])
    assert found["curves"]["m"]["iou"] == pytest.approx([0.25] * 20)
    assert found["scores"]["m"]["sweep"]["mIoU (best of 19)"]["value"] == pytest.approx(0.7)


def test_hard_masks_have_numbers_where_thresholds_are_the_same_for_all(make_scores):
    found = run({"original": {"hard": [make_scores(0.4, levels=2)] * 8}}, [Entry(f"g{i}") for i in range(8)])
    values = [one["value"] for one in found["scores"]["hard"]["sweep"].values()]
    assert values == pytest.approx([0.4, 0.4])


def test_best_and_worst_have_something_to_find(answers, entries):
    rows = run(answers, entries)["samples"]["listens"]
    assert [len(rows[kind]) for kind in ("best", "worst")] == [8, 8]
    assert [row["iou"] for row in rows["best"]] == sorted((row["iou"] for row in rows["best"]), reverse=True)
    assert [row["iou"] for row in rows["worst"]] == sorted(row["iou"] for row in rows["worst"])
    assert not {"s00", "s06", "s12", "s18"} & {row["id"] for kind in rows for row in rows[kind]}


def refused(scores):
    """Titles of the columns that are refused to one method."""
    entries = [Entry(f"g{i // 2}") for i in range(len(scores))]
    tables = run({"original": {"m": scores}}, entries)["scores"]["m"]
    return [title for table in tables.values() for title, one in table.items() if "refused" in one], tables


def test_hard_masks_are_refused_where_the_threshold_comes_from_the_map(make_scores):
    titles, tables = refused([make_scores(levels=2)] * 8)
    assert tables["paper"]["mIoU"] == {"refused": HARD}
    assert [title for title in tables["paper"] if title in titles] == ["cIoU", "AUC", "mIoU", "Fscore"]
    assert list(tables["ssl"]) == [title for title in tables["ssl"] if title in titles]
    assert [title for title in tables["pairs"] if title not in titles] == ["iIoU (fixed)", "iAUC (fixed)"]
    assert not set(titles) & {"J", "F", "IoU", "set IoU", "set F", "F max (whole set)"}


SOFT, HARD_MAP, ABSTAINED = {"levels": 3}, {"levels": 2}, {"levels": 1, "predicted": 0}


@pytest.mark.parametrize(
    ("maps", "hard"),
    [
        ([SOFT] * 8, False),
        ([SOFT] * 5 + [HARD_MAP] * 3, False),  # two values by chance
        ([SOFT] * 3 + [HARD_MAP] * 5, True),  # detections with scores of their own, mostly one an image
        ([SOFT] + [ABSTAINED] * 7, False),
        ([HARD_MAP] + [ABSTAINED] * 7, True),
        ([ABSTAINED] * 8, False),  # the baseline that finds nothing, or a soft method that never dared
        ([{"levels": 1, "predicted": 10}] * 8, True),  # the baseline that takes everything
    ],
)
def test_a_method_is_hard_when_most_of_the_maps_that_find_something_are(make_scores, maps, hard):
    titles, _ = refused([make_scores(**one) for one in maps])
    assert ("mIoU" in titles) == hard


def test_no_draws_and_few_groups_give_numbers_without_intervals(answers, entries):
    for found in (run(answers, entries, draws=0), run(answers, [replace(one, group="g") for one in entries])):
        number = found["scores"]["listens"]["paper"]["J"]
        assert (number["value"] > 0, number["low"], number["high"]) == (True, None, None)
        assert found["differences"][0]["certain"] is False


def test_protocols_are_chosen_described_and_refused(answers, entries):
    found = run(answers, entries, protocols=["paper", "pairs"], group_unit="clip")
    assert list(found["protocols"]) == [*found["scores"]["listens"], "pairs"] == ["paper", "pairs"]
    assert found["protocols"]["pairs"]["refused"].startswith("it needs images")
    assert found["protocols"]["pairs"]["columns"] == []
    assert [one["title"] for one in found["protocols"]["paper"]["columns"]][-1] == "F"
    with pytest.raises(UserError, match='no protocol "mine"'):
        run(answers, entries, protocols=["mine"])


def test_the_sizes_of_groups_are_named(answers, entries):
    alone = [replace(entries[0], group="alone"), *entries[1:]]
    titles = [list(run(answers, known)["scores"]["listens"]["avsbench"])[2] for known in (entries, alone)]
    assert titles == ["F max (per image of 2)", "F max (per image of 1 to 2)"]


def test_reliability_is_left_out_where_there_is_no_confidence(answers, entries):
    assert list(run(answers, entries)["reliability"]) == ["listens"]
