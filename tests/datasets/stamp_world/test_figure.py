"""The picture of the card has a row per scenario, each with what is heard and where it is."""

from __future__ import annotations

import numpy as np
import pytest

from datasets import stamps
from datasets.folder import FolderDataset
from datasets.stamp_world import figure as stamp_figure
from utils.errors import UserError
from utils.media.drawing import TINT


def test_the_picture_shows_five_scenarios_twice_and_tints_the_answers(stamps_set, monkeypatch):
    titles = []

    def side_by_side(pictures, columns, draw=stamp_figure.side_by_side):
        titles.extend(title for title, _ in pictures)
        answers = [np.asarray(picture, float) for _, picture in pictures[1::2]]
        seen = [np.asarray(picture, float) for _, picture in pictures[::2]]
        changed = [np.abs(one - other).max() > 0 for one, other in zip(answers, seen, strict=True)]
        assert changed == [True] * 6 + [False] * 4
        assert columns == 4
        return draw(pictures, columns)

    monkeypatch.setattr(stamp_figure, "side_by_side", side_by_side)
    picture = stamp_figure.draw(FolderDataset(stamps_set))
    assert picture.width == 960
    assert len(titles) == 20
    assert titles[16:] == [
        "silent, heard: digital silence", "answer: nothing", "silent, heard: faint noise", "answer: nothing"
    ]  # fmt: skip
    near_tint = np.abs(np.asarray(picture, float) - TINT).sum(-1) < 200
    assert near_tint.mean() > 0.005


def test_a_set_without_a_scenario_is_refused(stamps_root, tmp_path):
    stamps.build(tmp_path / "set", [stamps_root], "test", 2, 0, ["single"])
    with pytest.raises(UserError, match="expected 2 pair samples in .*, found 0"):
        stamp_figure.draw(FolderDataset(tmp_path / "set"))
