"""The baselines answer as their names say, and image_only names everything the caption does."""

from __future__ import annotations

import numpy as np
import pytest

import methods
from utils.errors import UserError


@pytest.fixture
def sample(fakes):
    return fakes.make_sample("dog", ("dog", "violin"), size=(40, 60))


@pytest.mark.parametrize(("name", "value"), [("nothing", 0.0), ("everything", 1.0)])
def test_nothing_and_everything_are_constant(name, value, sample):
    (answer,) = methods.create(name, {}).predict([sample])
    assert (answer.score_map.shape, set(answer.score_map.ravel())) == ((40, 60), {value})


def test_the_centre_is_a_blob_of_known_width(sample):
    (answer,) = methods.create("centre", {}).predict([sample])
    mask = answer.score_map > 0.5
    # exp(-x^2 / 2 w^2) > 0.5 up to x = w sqrt(2 ln 2) = 0.294 of a side: an ellipse of pi x^2 of the image
    assert mask.any(0).sum() / 60 == pytest.approx(0.589, abs=0.04)
    assert mask.mean() == pytest.approx(np.pi * 0.2944**2, abs=0.02)
    assert mask[20, 30]
    assert not mask[0, 0]
    wider = methods.create("centre", {}, {"width": 0.5}).predict([sample])[0]
    assert (wider.score_map > 0.5).mean() > 2 * mask.mean()
    with pytest.raises(UserError, match="centre.width must be a number above 0; found 0"):
        methods.create("centre", {}, {"width": 0.0})


def test_image_only_asks_for_everything_the_caption_names(fakes, sample):
    models = {role: model for role, model in fakes.make_models().items() if role in methods.requires("image_only")}
    assert sorted(models) == ["image_captioner", "segmenter"]
    (answer,) = methods.create("image_only", models).predict([sample])
    assert sorted(query.text for query in answer.queries) == ["A photo of dog", "A photo of violin"]
    assert answer.trail["heard"] == "(does not listen)"


def test_baselines_need_no_network_that_they_do_not_use():
    assert [methods.requires(name) for name in ("nothing", "everything", "centre")] == [(), (), ()]
    assert [name for name in methods.available() if not methods.listens(name)] == [
        "centre",
        "everything",
        "image_only",
        "nothing",
    ]
