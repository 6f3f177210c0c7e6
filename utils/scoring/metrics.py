"""How good a score map is, given the ground truth: the formulas behind every published number of the field.

Conventions:
    score_map: P, (H, W) float in [0, 1]. gt_mask: G, (H, W) bool. mask: M, (H, W) bool. All of one size; the published
        protocol is 224 x 224 (`utils.media.images` resizes).
    M_t = [P > t], strictly. Scores are fractions in [0, 1]; a set's score is the plain mean over its samples.
    "Fixed" is t = 0.5. "Adaptive" is an oracle: its t comes from the area of the ground truth. "Median" and "relative"
        take t from the map alone: they assume that something in view sounds. A constant map has no pixel above any of
        the three.
    Empty G: the paper's IoU and F are 0, whatever P says; AVSBench's IoU rewards an empty answer with 1.
    Undefined ratios (0 / 0) are 0.
    Pixels to be ignored (VPO's 255) leave P, M and G before anything is counted: `without_ignored`.

References:
    J. Lee, H. Seo: arXiv 2506.06537 (Interspeech 2025), table 1: cIoU, AUC, mIoU, Fscore, J, F.
    H. Chen et al.: Localizing Visual Sounds the Hard Way, CVPR 2021: median threshold, success at IoU 0.5, AUC.
    A. Senocak et al.: Sound Source Localization is All about Cross-Modal Alignment, ICCV 2023, and its successor with
        IS3: both objects of an image at once.
    J. Zhou et al.: Audio-Visual Segmentation, ECCV 2022 (AVSBench): IoU with empty ground truth, F over 255 thresholds.
    S. Park et al.: Can CLIP Help Sound Source Localization?, WACV 2024 (ACL-SSL): that IoU at 19 thresholds.
"""

from __future__ import annotations

import numpy as np

BETA_SQUARED = 0.3
AVSBENCH_THRESHOLDS = np.linspace(0, 1 - 1e-10, 255).astype(np.float32)  # float32 as published: the last one is 1


def iou(mask: np.ndarray, gt_mask: np.ndarray) -> float:
    """|M & G| / |M or G|, and 0 for 0 / 0."""
    _check_masks(mask, gt_mask)
    return _ratio(np.count_nonzero(mask & gt_mask), np.count_nonzero(mask | gt_mask))


def f_score(mask: np.ndarray, gt_mask: np.ndarray) -> float:
    """1.3 p r / (0.3 p + r) with p = |M & G| / |M| and r = |M & G| / |G| (beta squared = 0.3), 0 where undefined."""
    _check_masks(mask, gt_mask)
    hits = np.count_nonzero(mask & gt_mask)
    precision, recall = _ratio(hits, np.count_nonzero(mask)), _ratio(hits, np.count_nonzero(gt_mask))
    return _ratio((1 + BETA_SQUARED) * precision * recall, BETA_SQUARED * precision + recall)


def adaptive_threshold(score_map: np.ndarray, gt_mask: np.ndarray) -> float:
    """t* = ascending-sorted(P)[HW - n], n = |G| or HW // 2 for empty G: P > t* keeps at most n - 1 pixels."""
    _check_score_map(score_map, gt_mask)
    area = np.count_nonzero(gt_mask) or max(gt_mask.size // 2, 1)
    rank = gt_mask.size - area
    return float(np.partition(score_map, rank, axis=None)[rank])


def median_threshold(score_map: np.ndarray) -> float:
    """t = ascending-sorted(P)[HW // 2]: P > t keeps just under half of the image, and less where values tie at t."""
    _check_scores(score_map)
    rank = score_map.size // 2
    return float(np.partition(score_map, rank, axis=None)[rank])


def relative_threshold(score_map: np.ndarray, share: float = 0.5) -> float:
    """t = min(P) + share (max(P) - min(P)): the map stretched to [0, 1] and cut at `share`; empty where constant."""
    _check_scores(score_map)
    low, high = float(score_map.min()), float(score_map.max())
    return low + share * (high - low)


def intersection_and_union(mask: np.ndarray, gt_mask: np.ndarray) -> tuple[int, int]:
    """(|M & G|, |M or G|) in pixels: summed over a set before the division they give the set-level IoU."""
    _check_masks(mask, gt_mask)
    return int(np.count_nonzero(mask & gt_mask)), int(np.count_nonzero(mask | gt_mask))


def avsbench_iou(mask: np.ndarray, gt_mask: np.ndarray) -> float:
    """|M & G| / |M or G|; for empty G the share of pixels rightly left empty, 1 - |M| / HW."""
    _check_masks(mask, gt_mask)
    if not gt_mask.any():
        return 1 - np.count_nonzero(mask) / mask.size
    return iou(mask, gt_mask)


def avsbench_iou_curve(score_map: np.ndarray, gt_mask: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(T,) float64: AVSBench's IoU of [P > t], see `avsbench_iou`, for each of T ascending thresholds."""
    _check_score_map(score_map, gt_mask)
    thresholds = thresholds.astype(score_map.dtype)  # as `score_map > threshold` compares them
    passed = np.searchsorted(thresholds, score_map, side="left")  # thresholds < P, (H, W)
    kept, hits = (_count_from_top(values, len(thresholds)) for values in (passed.ravel(), passed[gt_mask]))
    area = np.count_nonzero(gt_mask)
    return hits / (area + kept - hits) if area else 1 - kept / gt_mask.size


def avsbench_f_curve(score_map: np.ndarray, gt_mask: np.ndarray) -> np.ndarray:
    """(255,) float64: F of [P >= t] for the thresholds t = linspace(0, 1 - 1e-10); zeros for empty G.

    P are probabilities: the published code is fed logits and applies the sigmoid itself.
    """
    _check_score_map(score_map, gt_mask)
    passed = np.searchsorted(AVSBENCH_THRESHOLDS, score_map.astype(np.float32), side="right")  # thresholds <= P, (H, W)
    kept, hits = (_count_from_top(values, len(AVSBENCH_THRESHOLDS)) for values in (passed.ravel(), passed[gt_mask]))
    area = np.count_nonzero(gt_mask)
    # 1.3 p r / (0.3 p + r) with p = hits / kept, r = hits / area
    return (1 + BETA_SQUARED) * hits / np.maximum(BETA_SQUARED * area + kept, 1)


def without_ignored(values: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """The pixels that count, as one row: no number of this module depends on where a pixel lies.

    Args:
        values: (H, W), a score map or a mask.
        ignore: (H, W) bool, the pixels that do not count.

    Returns:
        (1, N) of the same dtype, N the number of pixels that count.

    Raises:
        ValueError: shapes differ, or no pixel is left.
    """
    _check_mask(ignore, "ignore")
    if values.shape != ignore.shape:
        raise ValueError(f"expected ignore of shape {values.shape}, found {ignore.shape}; resize one")
    if ignore.all():
        raise ValueError("expected at least one pixel that counts, found every pixel ignored")
    return values[~ignore][None]


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def _count_from_top(passed: np.ndarray, count: int) -> np.ndarray:
    """passed: any number of ints 0..count -> (count,) how many exceed 0, 1, ..., count - 1."""
    histogram = np.bincount(passed, minlength=count + 1)
    return histogram[::-1].cumsum()[::-1][1:]


def _check_mask(mask: np.ndarray, name: str) -> None:
    if mask.dtype != bool or mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"expected {name} to be (H, W) bool, found {mask.dtype} of shape {mask.shape}")


def _check_masks(mask: np.ndarray, gt_mask: np.ndarray) -> None:
    _check_mask(mask, "mask")
    _check_mask(gt_mask, "gt_mask")
    if mask.shape != gt_mask.shape:
        raise ValueError(f"expected two masks of one shape, found {mask.shape} and {gt_mask.shape}; resize one")


def _check_score_map(score_map: np.ndarray, gt_mask: np.ndarray) -> None:
    _check_mask(gt_mask, "gt_mask")
    if score_map.shape != gt_mask.shape or score_map.dtype.kind != "f":
        found = f"{score_map.dtype} of shape {score_map.shape}"
        raise ValueError(f"expected score_map to be float of the mask's shape {gt_mask.shape}, found {found}")
    _check_scores(score_map)


def _check_scores(score_map: np.ndarray) -> None:
    if score_map.ndim != 2 or score_map.size == 0 or score_map.dtype.kind != "f":
        raise ValueError(f"expected score_map to be (H, W) float, found {score_map.dtype} of shape {score_map.shape}")
    low, high = score_map.min(), score_map.max()
    if not (low >= 0 and high <= 1):  # also refuses NaN
        raise ValueError(f"expected scores in [0, 1], found {low} to {high}; apply a sigmoid to logits")
