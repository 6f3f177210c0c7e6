"""Each protocol's columns are those of its papers, say what they are, and are refused where they say nothing."""

import numpy as np
import pytest

from utils.errors import UserError
from utils.scoring.protocols import PROTOCOLS, Setting, applicable, explain
from utils.scoring.sample_scores import score_sample

CLIPS = Setting(group_unit="clip", largest_group=5, blank=3)
IMAGES = Setting(group_unit="image", largest_group=2, smallest_group=1, blank=3)


def number(name, title, groups, setting=CLIPS):
    (column,) = [one for one in PROTOCOLS[name].columns(setting) if one.title == title]
    return float(column.value(np.sum([column.totals(group) for group in groups], axis=0)))


def titles(name, setting):
    return [column.title for column in PROTOCOLS[name].columns(setting)]


@pytest.mark.parametrize(
    ("title", "key"),
    [("cIoU", "ciou"), ("AUC", "auc"), ("mIoU", "miou"), ("Fscore", "fscore"), ("J", "j"), ("F", "f")],
)
def test_the_paper_s_columns_are_reproduced(parity, title, key):
    scores, expected = parity
    assert number("paper", title, [[one] for one in scores]) == pytest.approx(expected[f"paper_{key}"], abs=1e-6)


def test_avsbench_s_columns_are_reproduced(parity):
    scores, expected = parity
    clips = [scores[start : start + 5] for start in range(0, 20, 5)]
    assert number("avsbench", "IoU", clips) == pytest.approx(expected["avsbench_miou_group_5"], abs=1e-6)
    per_clip = number("avsbench", "F max (per clip of 5)", clips)
    assert per_clip == pytest.approx(expected["avsbench_fscore_group_5"], abs=1e-6)
    whole = number("avsbench", "F max (whole set)", clips)
    assert whole == pytest.approx(expected["avsbench_fscore_group_all"], abs=1e-6)


def test_the_group_of_a_maximum_is_named_with_its_size():
    assert titles("avsbench", Setting()) == ["IoU", "F max (whole set)"]
    assert titles("avsbench", CLIPS)[2] == "F max (per clip of 5)"
    assert titles("avsbench", IMAGES)[2] == "F max (per image of 1 to 2)"
    assert Setting(largest_group=5, smallest_group=5).group_size == "5"


def sweep(pairs, size=1):
    """Both columns for (score map, ground truth) pairs in groups of `size`."""
    scores = [
        score_sample(np.asarray(score_map, np.float32), np.asarray(gt_mask, bool)) for score_map, gt_mask in pairs
    ]
    groups = [scores[start : start + size] for start in range(0, len(scores), size)]
    return [number("sweep", title, groups) for title in titles("sweep", CLIPS)]


@pytest.mark.parametrize("seed", range(3))
def test_the_sweep_is_what_loops_over_thresholds_and_samples_give(seed):
    rng = np.random.default_rng(seed)
    maps = rng.choice(np.arange(41, dtype=np.float32) / np.float32(40), (7, 1, 30))  # half of them tie with thresholds
    masks = rng.random((7, 1, 30)) < maps * 0.7
    masks[3] = False

    def iou_at(threshold, score_map, gt_mask):
        pairs = [(p > threshold, g) for p, g in zip(score_map.flat, gt_mask.flat, strict=True)]
        if not gt_mask.any():
            return sum(not found for found, _ in pairs) / len(pairs)
        return sum(found and g for found, g in pairs) / sum(found or g for found, g in pairs)

    def f_at(threshold, score_map, gt_mask):
        hits = sum(p >= threshold and g for p, g in zip(score_map.flat, gt_mask.flat, strict=True))
        precision, recall = hits / max((score_map >= threshold).sum(), 1), hits / gt_mask.sum()
        return 1.3 * precision * recall / (0.3 * precision + recall) if hits else 0

    thresholds = [np.float32(percent / 100) for percent in range(5, 100, 5)]
    pairs = list(zip(maps, masks, strict=True))
    best_iou = max(np.mean([iou_at(one, *pair) for pair in pairs]) for one in thresholds)
    thresholds = np.linspace(0, 1 - 1e-10, 255).astype(np.float32)
    best_f = max(np.mean([f_at(one, *pair) for pair in pairs if pair[1].any()]) for one in thresholds)
    for size in (1, 3):
        assert sweep(pairs, size) == pytest.approx([best_iou, best_f], abs=1e-6)


def test_the_sweep_has_one_threshold_for_the_whole_set():
    low = [[0.32, 0.12]], [[1, 0]]  # right from 0.15 to 0.3, half right below
    high = [[0.92, 0.72]], [[1, 0]]  # right from 0.75 to 0.9, half right below
    assert sweep([low]) == sweep([high]) == [1, 1]
    assert sweep([low, high])[0] == pytest.approx((1 + 1 / 2) / 2)  # 0.15 to 0.3; at 0.75 to 0.9 it is (0 + 1) / 2
    assert sweep([low, high], size=2) == sweep([low, high])


def test_the_sweep_s_thresholds_are_from_0_05_to_0_95_and_are_exceeded():
    truth = [[1, 0]]
    for score, found in ((0.04, 0), (0.05, 0), (0.06, 1), (0.95, 1), (1, 1)):
        assert sweep([([[score, 0]], truth)])[0] == found, score
    for score, found in ((0.94, 1), (0.95, 1), (0.96, 1 / 2)):
        assert sweep([([[1, score]], truth)])[0] == found, score
    assert sweep([([[0.6, 0, 0, 0]], [[0, 0, 0, 0]])])[0] == 1  # nothing to find, nothing found from 0.6 on
    assert sweep([([[1, 0, 0, 0]], [[0, 0, 0, 0]])])[0] == 3 / 4  # its share left empty


def test_localisation_takes_its_threshold_from_the_map(make_scores):
    scores = [make_scores(iou_median=0.61, iou_relative=0.41), make_scores(iou_median=0.31, iou_relative=0.5)]
    found = {title: number("ssl", title, [scores]) for title in titles("ssl", CLIPS)}
    assert found == {
        "cIoU@0.5 (median)": 0.5,
        "AUC (median)": pytest.approx((0.625 + 0.325) / 2),  # k = 0..12 and 0..6, half a step lost at k = 0
        "cIoU@0.5 (relative)": 0.5,
        "AUC (relative)": pytest.approx((0.425 + 0.525) / 2),
    }


def test_an_image_counts_when_every_thing_in_it_is_found(make_scores):
    both, one_missed = [make_scores(0.6), make_scores(0.5)], [make_scores(0.9), make_scores(0.22)]
    beside_silence = [make_scores(0.72), make_scores(0.8), make_scores(0, foreground=0)]
    groups = [both, one_missed, [make_scores(0)], beside_silence]
    for how in ("adaptive", "median", "fixed"):
        assert number("pairs", f"iIoU ({how})", groups, IMAGES) == pytest.approx(2 / 3)
        # the worst of each image: 0.5 -> k = 0..10, 0.22 -> k = 0..4, 0.72 -> k = 0..14; half a step is lost at k = 0
        assert number("pairs", f"iAUC ({how})", groups, IMAGES) == pytest.approx(0.05 * (10.5 + 4.5 + 14.5) / 3)


def test_false_alarms_and_abstentions(make_scores):
    blank = [make_scores(foreground=0, predicted=0), make_scores(foreground=0, predicted=4)]
    seen = [make_scores(predicted=0), make_scores(predicted=1), make_scores(predicted=9), make_scores(predicted=9)]
    found = {title: number("negatives", title, [blank, seen]) for title in titles("negatives", CLIPS)}
    assert found == {"false area": pytest.approx(0.2), "N-acc": 0.5, "missed": 0.25}
    assert [one.better for one in PROTOCOLS["negatives"].columns(CLIPS)] == ["lower", "higher", "lower"]
    assert np.isnan(number("negatives", "missed", [blank]))
    assert np.isnan(number("negatives", "false area", [seen]))


def test_oracles_are_the_columns_that_know_the_ground_truth():
    kinds = {(name, one.title): one.kind for name in PROTOCOLS for one in PROTOCOLS[name].columns(CLIPS)}
    assert {key for key, kind in kinds.items() if kind == "oracle"} == {
        *(("paper", title) for title in ("cIoU", "AUC", "mIoU", "Fscore")),
        *(("avsbench", title) for title in ("F max (whole set)", "F max (per clip of 5)")),
        *(("sweep", title) for title in ("mIoU (best of 19)", "F (best of 255)")),
        *(("pairs", title) for title in ("iIoU (adaptive)", "iAUC (adaptive)")),
    }


def test_soft_columns_are_those_whose_threshold_comes_from_the_map():
    for name, protocol in PROTOCOLS.items():
        for one in protocol.columns(CLIPS):
            from_the_map = any(word in one.definition for word in ("adaptive", "the map's"))
            assert one.soft == from_the_map, (name, one.title)


def test_the_fixed_threshold_is_named():
    for name, title in (("paper", "J"), ("avsbench", "IoU"), ("dataset", "set IoU"), ("negatives", "missed")):
        (column,) = [one for one in PROTOCOLS[name].columns(Setting(0.3, blank=1)) if one.title == title]
        assert "the fixed threshold 0.3" in column.definition


def test_protocols_that_say_nothing_are_refused_with_the_reason():
    columns, refused = applicable((), Setting())
    assert list(columns) == ["paper", "avsbench", "sweep", "ssl", "dataset"]
    assert refused == {
        "pairs": "it needs images that are heard with several sounds, and a manifest that says which belong together",
        "negatives": "no sample has an empty ground truth, and no sound was replaced by silence, noise or one from "
        "offscreen",
    }
    assert applicable((), CLIPS)[1].keys() == {"pairs"}  # a clip is no image
    assert applicable((), IMAGES)[1] == {}
    assert list(applicable(["ssl", "paper", "ssl"], IMAGES)[0]) == ["ssl", "paper"]


def test_an_unknown_protocol_is_answered_with_the_right_names():
    message = 'there is no protocol "mine"; choose from: paper, avsbench, sweep, ssl, pairs, dataset, negatives'
    for ask in (lambda: applicable(["paper", "mine"], Setting()), lambda: explain(["mine"])):
        with pytest.raises(UserError) as caught:
            ask()
        assert str(caught.value) == message


@pytest.mark.parametrize("names", [(), ("pairs",), ("paper", "paper")])
def test_every_column_is_explained_once(names):
    text = explain(names)
    for name in names or PROTOCOLS:
        for column in PROTOCOLS[name].columns(CLIPS):
            assert text.count(f"  {column.title}  [{column.kind}, {column.better} is better]") == 1
            assert column.definition.endswith(".")
            assert " ".join(column.definition.split()) in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
