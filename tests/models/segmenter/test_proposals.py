"""Maps and their parts, where every area is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.segmenter.proposals import distinct, parts_of


def score_map(*squares: tuple[int, int, int], value: float = 0.9) -> np.ndarray:
    """(40, 60) float32: `value` in squares (row, column, side), 0.3 elsewhere."""
    found = np.full((40, 60), 0.3, np.float32)
    for row, column, side in squares:
        found[row : row + side, column : column + side] = value
    return found


def test_a_map_and_each_of_its_parts():
    whole = score_map((0, 0, 10), (20, 30, 5))
    found = parts_of(whole)
    assert [int((one > 0.5).sum()) for one in found] == [125, 100, 25] and found[0] is whole
    assert found[1][22, 32] == pytest.approx(0.49 * 0.9) and found[1][15, 15] == np.float32(0.3)


@pytest.mark.parametrize(
    ("squares", "areas"),
    [
        ([], []),
        ([(0, 0, 10)], [100]),  # itself alone
        ([(0, 0, 10), (20, 30, 3)], [109]),  # the small part is below 0.15 of the large one
        ([(0, 0, 3), (20, 30, 2)], [13]),  # and 4 pixels below 0.003 of 2400
    ],
)
def test_small_parts_are_none(squares, areas):
    assert [int((one > 0.5).sum()) for one in parts_of(score_map(*squares))] == areas


def test_of_two_that_cover_much_the_same_the_first_stays():
    first, same, other = score_map((0, 0, 10)), score_map((0, 0, 9)), score_map((0, 0, 8))  # IoU 0.81, 0.64
    found = distinct([first, same, other])
    assert len(found) == 2 and found[0] is first and found[1] is other
