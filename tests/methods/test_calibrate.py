"""Where methods had better ask for nothing: rules on scores with known answers, and the program in a known world."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image

import methods
from datasets.manifest import Manifest, write_manifest
from methods import calibrate
from methods._thresholds import rules
from methods.classify import Classify
from utils.errors import run_script
from utils.types import Entry

VERIFIED = ((), ("--set", "cross_modal.verify=2"))
NAN = float("nan")
FAKES = ("--config", "tests/fakes.yaml", "--device", "cpu")
SCENES = {  # stem: (what sounds, what is in view)
    "a": ("dog", ("dog", "violin")),
    "b": ("violin", ("violin",)),
    "c": ("drum", ("drum", "sea lion")),
    "d": ("drum", ("dog", "violin")),
    "e": (None, ("dog",)),
}


def found(scores, never=-1.0, now=0.0, loses=0.2):
    return rules({kind: np.array(of_kind) for kind, of_kind in scores.items()}, never, now, loses)


def numbers(rule) -> tuple:
    return rule.threshold, pytest.approx(rule.refused), {k: pytest.approx(v) for k, v in rule.answered.items()}


def test_rules_on_scores_that_overlap():
    scores = {"matching": [0.9, 0.5, 0.6, 0.7, 0.8], "offscreen": [0.1, 0.6, 0.2, 0.4, 0.3, 0.5]}
    assert {name: numbers(rule) for name, rule in found(scores, now=0.55).items()} == {
        "never": (-1.0, 0, {"offscreen": 1}),
        "now": (0.55, 0.2, {"offscreen": 1 / 6}),
        "loses": (0.6, 0.2, {"offscreen": 1 / 6}),
        "balanced": (0.45, 0, {"offscreen": 1 / 3}),
        "refuses": (0.55, 0.2, {"offscreen": 1 / 6}),
        "acl_san": (0.475, 0, {"offscreen": 1 / 3}),
    }
    assert found(scores, loses=0.0)["loses"].threshold == 0.5
    assert found(scores, loses=0.39)["loses"].threshold == 0.6


def test_what_can_be_told_apart_is():
    own = found({"matching": [0.6, 0.8], "silence": [-0.2], "noise": [0.1, 0.2], "offscreen": [0.3, 0.2]})
    assert numbers(own["balanced"]) == (0.45, 0, {"silence": 0, "noise": 0, "offscreen": 0})
    assert own["acl_san"].threshold == 0.275  # of offscreen, the largest


def test_scores_that_are_all_equal_cannot_be_told_apart():
    own = found({"matching": [0.4, 0.4], "noise": [0.4], "offscreen": [0.4, 0.4]})
    assert own["balanced"].threshold == -1
    assert own["loses"].threshold == own["acl_san"].threshold == 0.4
    assert numbers(own.pop("refuses")) == (0.4001, 1, {"noise": 0, "offscreen": 0})  # with all the others
    assert all(numbers(rule)[1:] == (0, {"noise": 1, "offscreen": 1}) for rule in own.values())


def test_where_nothing_is_asked_anyway_no_threshold_decides():
    own = found({"matching": [NAN, 0.5, 0.7, NAN], "silence": [NAN, NAN], "noise": [0.3, NAN, NAN, NAN]}, loses=0.5)
    assert numbers(own["never"]) == (-1.0, 0.5, {"silence": 0, "noise": 0.25})
    assert numbers(own["loses"]) == (0.7, 0.75, {"silence": 0, "noise": 0})  # one of two scores
    assert numbers(own["balanced"]) == (0.4, 0.5, {"silence": 0, "noise": 0})
    assert own["acl_san"].threshold == 0.3


@pytest.mark.parametrize("others", [{}, {"silence": [NAN]}])
def test_with_nothing_to_refuse_nothing_is(others):
    own = found({"matching": [0.5], **others})
    assert own["balanced"].threshold == own["acl_san"].threshold == -1


def test_with_nothing_scored_that_matches_nothing_is_lost():
    own = found({"matching": [NAN], "noise": [0.2]})
    assert numbers(own["loses"]) == (-1.0, 1, {"noise": 1})


def test_never_refuses_products_of_any_size():
    own = found({"matching": [-3.0, 2.0], "noise": [-5.0]})
    assert numbers(own["never"]) == (-1.0, 0, {"noise": 1})
    assert all(rule.threshold >= -1 for rule in own.values())


def test_rates_are_those_of_the_number_that_is_printed():
    assert numbers(found({"matching": [0.123456, 0.2]}, loses=0.0)["loses"]) == (0.1234, 0, {})
    rng = np.random.default_rng(0)
    scores = {kind: rng.normal(mean, 0.1, 60) for kind, mean in (("matching", 0.3), ("noise", 0), ("offscreen", 0.15))}
    values = np.sort(np.concatenate(list(scores.values())))

    def errors(threshold):
        answered = [np.mean([score >= threshold for score in scores[kind]]) for kind in ("noise", "offscreen")]
        return np.mean([score < threshold for score in scores["matching"]]) + np.mean(answered)

    own = rules(scores, -1.0, 0.0, 0.1)
    for rule in own.values():
        assert rule.threshold == round(rule.threshold, 4)
        assert rule.refused + np.mean(list(rule.answered.values())) == pytest.approx(errors(rule.threshold))
    assert own["loses"].refused == pytest.approx(0.1)
    least = min(errors(threshold) for threshold in (values[1:] + values[:-1]) / 2)
    assert errors(own["balanced"].threshold) == pytest.approx(least, abs=1 / 60)


def save(root, fakes, manifest=True, scenarios=()):
    for folder in ("image", "wav", "gt_seg"):
        (root / folder).mkdir(parents=True)
    entries = {}
    for stem, (sounding, visible) in SCENES.items():
        sample = fakes.make_sample(sounding, visible)
        Image.fromarray(sample.image).save(root / "image" / f"{stem}.png")
        soundfile.write(root / "wav" / f"{stem}.wav", sample.waveform, sample.sampling_rate)
        Image.fromarray(sample.gt_mask).save(root / "gt_seg" / f"{stem}.png")
        blank, details = sounding not in visible, {"objects": [{"noun": noun} for noun in visible]}
        entries[stem] = Entry(stem, () if blank else (sounding,), dict(scenarios).get(stem, ""), blank, details)
    if manifest:
        write_manifest(Manifest("toy", {}, {}, entries), root)
    return root


@pytest.fixture
def folder(tmp_path, fakes, monkeypatch):
    """Five scenes; the networks are the fakes."""

    def load(config, roles, device, memory):
        loaded.update(roles)
        return {role: memory.wrap(model, {}) for role, model in fakes.make_models().items() if role in roles}

    loaded = set()
    monkeypatch.setattr(calibrate, "load_models", load)
    yield save(tmp_path / "toy", fakes)
    assert "segmenter" not in loaded


def test_scores_by_kind_of_sound(folder):
    own = calibrate.main([str(folder), *FAKES])
    for name, setting, matching, offscreen in (
        ("classify", "min_probability", 0.8, 0.8),  # it does not look
        ("cross_modal", "min_similarity", 0.9, 0),
        ("text_inversion", "min_similarity", 0.9, 0.9),
    ):
        assert own[name].setting == f"{name}.{setting}"
        scores = own[name].scores
        assert list(scores) == ["matching", "silence", "noise", "offscreen"]
        assert scores["matching"] == pytest.approx([matching] * 3)
        assert len(scores["silence"]) == 4 and np.isnan(scores["silence"]).all()  # and that of "e" itself
        assert len(scores["noise"]) == 3
        assert scores["offscreen"] == pytest.approx([offscreen] * 4, abs=1e-6)  # and that of "d" itself
    rule = own["cross_modal"].rules["balanced"]
    assert 0 < rule.threshold < 0.9 and (rule.refused, rule.answered["offscreen"]) == (0, 0)
    assert own["cross_modal"].rules["now"].threshold == 0.5  # of the config


def test_where_masks_are_verified_the_same_is_measured(folder):
    plain, verified = (calibrate.main([str(folder), *FAKES, "--methods", "cross_modal", *own]) for own in VERIFIED)
    assert verified["cross_modal"].rules == plain["cross_modal"].rules


def test_a_sample_of_nothing_in_view_is_of_the_kind_its_folder_says(folder, fakes):
    """As an import of IS3+ has them: noise is no sound of something off screen."""
    own = calibrate.main([str(save(folder.parent / "plus", fakes, scenarios=[("d", "noise")])), *FAKES])
    assert {kind: len(of) for kind, of in own["classify"].scores.items()} == {
        "matching": 3, "silence": 4, "noise": 4, "offscreen": 3
    }  # fmt: skip


def test_the_same_seed_measures_the_same(folder):
    first, again = (calibrate.main([str(folder), *FAKES, "--seed", "3"]) for _ in range(2))
    for name, calibration in first.items():
        for kind, scores in calibration.scores.items():
            np.testing.assert_array_equal(scores, again[name].scores[kind])


def test_what_is_printed(folder, capsys):
    own = calibrate.main([str(folder), *FAKES, "--methods", "cross_modal", "--rule", "balanced", "--loses", "0"])
    printed = capsys.readouterr().out
    assert "matching           3       3     0.900   0.900 to 0.900\nsilence            4       0\n" in printed
    assert "loses at most 0 % of the matching" in printed
    assert f"{folder} is no longer a test set: report scores on other samples." in printed
    written = yaml.safe_load(printed[printed.index("methods:") :])["methods"]
    assert written == {"cross_modal": {"min_similarity": own["cross_modal"].rules["balanced"].threshold}}
    methods.check("cross_modal", written["cross_modal"])
    assert "    # refuses 0 % of them, answers 0 % of silence, 0 % of noise, 0 % of offscreen\n" in printed


def test_without_knowledge_of_what_sounds_there_is_no_offscreen_control(folder, fakes, capsys):
    own = calibrate.main([str(save(folder.parent / "bare", fakes, manifest=False)), *FAKES, "--methods", "cross_modal"])
    assert len(own["cross_modal"].scores["offscreen"]) == 1  # of "d", whose mask is blank
    assert "without sounds of other samples: the audio control offscreen needs to know" in capsys.readouterr().out


def test_no_method_sees_the_ground_truth_nor_names(folder, monkeypatch):
    def propose(method, samples):
        seen.extend((sample.id, sample.gt_mask, sample.gt_ignore) for sample in samples)
        return proposing(method, samples)

    seen, proposing = [], Classify.propose
    monkeypatch.setattr(Classify, "propose", propose)
    calibrate.main([str(folder), *FAKES, "--methods", "classify"])
    assert seen and all(name.isdigit() and truth == [None, None] for name, *truth in seen)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere"),
        (["DIR", "--methods", "clasify"], 'there is no method "clasify"; choose from: '),
        (
            ["DIR", "--methods", "cross_modal", "image_only"],
            "expected methods that refuse by a score, found image_only; choose from: classify, consensus, cross_mo",
        ),
        (["DIR", "--set", "cross_modal.min_similarity=-2"], "cross_modal.min_similarity must be a number from -1 up"),
        (["DIR", "--limit", "1"], "whose sound is of something in view, found only blank masks"),
    ],
)
def test_mistakes_end_in_one_sentence_before_networks_are_loaded(folder, capsys, monkeypatch, words, sentence):
    monkeypatch.setattr(calibrate, "load_models", lambda *given: pytest.fail("networks are loaded"))
    if "--limit" in words:  # nothing of what sounds is in view
        for path in (folder / "gt_seg" / "a.png", folder / "manifest.json"):
            Image.new("L", (80, 48)).save(path) if path.suffix == ".png" else path.unlink()
    words = [str(folder) if word == "DIR" else word for word in words]
    assert run_script(partial(calibrate.main, [*words, *FAKES])) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and sentence in said


def test_the_bundled_networks_on_the_examples():
    own = calibrate.main(["datasets/examples", "--methods", "cross_modal", "--limit", "3", "--device", "cpu"])
    scores = own["cross_modal"].scores
    assert {kind: len(of_kind) for kind, of_kind in scores.items()} == dict.fromkeys(scores, 3)
    assert np.isnan(scores["silence"]).all()
    assert np.nanmedian(scores["matching"]) > np.nanmedian(scores["noise"])
