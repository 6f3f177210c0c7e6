"""Where IoU is lost: what one answer lacks, 1 - IoU, split into kinds of errors that add up to it exactly.

Conventions:
    mask, gt_mask: (H, W) bool, the answer M at the fixed threshold and the ground truth G. Nothing is lost where G is
        empty: there is nothing to find, and `utils.scoring.protocols` has other columns for that.
    Everything is counted in pixels. The wrong ones are |M or G| - |M & G|, so divided by |M or G| they are 1 - IoU.
    A part is a connected region, corners included; it is hit where at least LEAST of its pixels are in both masks.
    Near the border of G is what lies within BAND of the diagonal from it, on either side.

Of an answer that is empty, or has an IoU below LEAST, every wrong pixel is of one kind: "nothing", or "wrong_thing". Of
another answer, parts of M that are not hit are "other_thing", parts of G that are not hit "missed_part"; of the rest,
away from the border, missed pixels are "too_small" and extra ones "too_large". Near it, as many missed as extra ones
are "ragged": no change of size mends both. What is left of either is of size again.

References:
    Hoiem et al., "Diagnosing error in object detectors", ECCV 2012; Bolya et al., "TIDE: A general toolbox for
        identifying object detection errors", ECCV 2020: kinds of errors, and 0.1 as the IoU below which a detection has
        nothing to do with an object (section 2.2). They say how much a score rises once a kind is mended, here the
        pixels themselves are divided.
    Cheng et al., "Boundary IoU", CVPR 2021: 2 % of the diagonal as what is near a border.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

LEAST = 0.1
BAND = 0.02
KINDS: Mapping[str, str] = {  # in the order of a bar; the first four are about which thing, the others about its extent
    "nothing": "the answer is empty",
    "wrong_thing": "the answer lies elsewhere: its IoU is below 10",
    "other_thing": "parts of the answer that lie apart from what sounds",
    "missed_part": "parts of what sounds of which next to nothing is found, such as the second of two things",
    "too_small": "what sounds is found and not all of it is covered",
    "too_large": "what sounds is found and more than it is covered",
    "ragged": "near the border, as much is missing on one side as is too much on the other",
}


def lost_pixels(mask: np.ndarray, gt_mask: np.ndarray) -> dict[str, int]:
    """Divides the wrong pixels of an answer.

    Args:
        mask, gt_mask: (H, W) bool, without what is to be ignored.

    Returns:
        Kind -> pixels, all of KINDS, with the sum |M or G| - |M & G|; none at all for an empty ground truth.

    Raises:
        ValueError: the masks are not bool, or of different shapes.
    """
    if mask.dtype != bool or gt_mask.dtype != bool or mask.shape != gt_mask.shape or mask.ndim != 2:
        found = f"{mask.dtype} of shape {mask.shape} and {gt_mask.dtype} of shape {gt_mask.shape}"
        raise ValueError(f"expected two (H, W) bool masks of one shape, found {found}")
    if not gt_mask.any():
        return {}
    lost = dict.fromkeys(KINDS, 0)
    both, either = mask & gt_mask, mask | gt_mask
    if not mask.any() or both.sum() < LEAST * either.sum():
        lost["wrong_thing" if mask.any() else "nothing"] = int((either & ~both).sum())
        return lost
    of_mask, of_gt = (one & ~_hit_parts(one, both) for one in (mask, gt_mask))
    missed, extra = gt_mask & ~mask & ~of_gt, mask & ~gt_mask & ~of_mask
    near = _near_border(gt_mask)
    missed_near, extra_near = int((missed & near).sum()), int((extra & near).sum())
    wavering = min(missed_near, extra_near)
    # the few pixels of a part that is not hit, but lies in both masks, are right
    lost["other_thing"] = int((of_mask & ~gt_mask).sum())
    lost["missed_part"] = int((of_gt & ~mask).sum())
    lost["too_small"] = int(missed.sum()) - wavering
    lost["too_large"] = int(extra.sum()) - wavering
    lost["ragged"] = 2 * wavering
    return lost


def mean_lost(answers: Iterable[tuple[Mapping[str, int], int]]) -> dict[str, Any]:
    """The mean over samples with something to find, as a bar has it.

    Args:
        answers: what each lost by kind, and |M or G|.

    Returns:
        "samples", their number; "found", their mean IoU; "lost", kind -> mean share of the union. These add up to 1;
        with no samples "found" is None and nothing is lost.
    """
    shares = [[lost[kind] / union for kind in KINDS] for lost, union in answers if lost]
    if not shares:
        return {"samples": 0, "found": None, "lost": dict.fromkeys(KINDS, 0.0)}
    means = dict(zip(KINDS, np.mean(shares, axis=0).tolist(), strict=True))
    return {"samples": len(shares), "found": max(0.0, 1 - math.fsum(means.values())), "lost": means}


def _hit_parts(mask: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The parts of a mask, together, of which at least LEAST lies in both masks."""
    from scipy.ndimage import label

    labels, count = label(mask, np.ones((3, 3)))
    sizes, hits = (np.bincount(labels[some], minlength=count + 1) for some in (mask, both))
    return (hits >= LEAST * np.maximum(sizes, 1))[labels] & mask


def _near_border(gt_mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    if gt_mask.all():
        return np.zeros_like(gt_mask)
    width = max(1.0, BAND * math.hypot(*gt_mask.shape))
    return np.where(gt_mask, distance_transform_edt(gt_mask), distance_transform_edt(~gt_mask)) <= width
