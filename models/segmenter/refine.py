"""A second look at the maps of any segmenter: `segmenter.refine` in a config, or `--set segmenter.refine=parts`.

Each query's own map is refined, then the maximum is taken, so that a sure thing takes nothing from another one.

    parts           drops connected parts of the mask that are much less sure than the surest one, and specks
    guided_filter   lets the map follow the image's own edges
    sam             has Segment Anything outline each part of the mask again; its weights are `segmenter.sam.weights`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from models.segmenter.score_maps import NEAR_MISS, Calibration
from utils.types import Query

LESS_SURE, SPECK = 0.15, 0.002  # how far a part's mean may be below the best one's; least share of the image
RADIUS, EPSILON = 0.009, 1e-3  # of the longer side, 2 pixels of 224; of colours in [0, 1], squared
AGREES = 0.5  # least IoU of SAM's mask with the part that it was asked about


class Refined:
    """A loaded segmenter whose maps are refined; in everything else it is that segmenter.

    Args:
        model: see `models.roles.Segmenter`.
        refine: from an image, (H, W, 3) uint8 RGB, and the map of one query, (H, W) float32 in [0, 1], to a better one.
    """

    def __init__(self, model: Any, refine: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        self._model, self._refine = model, refine

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copies and pickles ask for before there is a model
            raise AttributeError(name)
        return getattr(self._model, name)

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`."""
        pairs = [(row, (query,)) for row, some in enumerate(queries) for query in some]
        asked = self._model.segment([images[row] for row, _ in pairs], [query for _, query in pairs])
        score_maps = [np.zeros(image.shape[:2], np.float32) for image in images]
        for (row, _), score_map in zip(pairs, asked, strict=True):
            if (score_map > 0.5).any():  # of what is not accepted there is no mask to mend
                score_map = self._refine(images[row], score_map)
            np.maximum(score_maps[row], score_map, out=score_maps[row])
        return score_maps


def refined(model: Any, name: str, sam: Mapping[str, Any], load: Callable[[type, Mapping[str, Any]], Any]) -> Refined:
    """A loaded segmenter with a refinement by its name in the config, which its provenance then says.

    Args:
        model: of `models.loading`.
        name: "parts", "guided_filter" or "sam".
        sam: of the last, what the config says of its weights.
        load: from a class and that to a loaded network.

    Raises:
        UserError: the network cannot be loaded.
    """
    model.provenance["refine"] = name
    if name != "sam":
        return Refined(model, {"parts": without_weak_parts, "guided_filter": guided}[name])
    from models.segmenter.grounded_sam import MaskGenerator

    masks = load(MaskGenerator, sam)
    model.provenance["parts"] = {**model.provenance.get("parts", {}), "sam": masks.provenance}
    return Refined(model, outlined_by(masks))


def without_weak_parts(image: np.ndarray, score_map: np.ndarray) -> np.ndarray:
    """Takes out of the mask the parts whose mean is LESS_SURE below the best part's, and specks where there is more.

    A part is a connected region above 0.5. What is taken out keeps NEAR_MISS at most: no mask, but an order.
    """
    from scipy.ndimage import label, mean

    labels, count = label(score_map > 0.5, np.ones((3, 3)))
    shares = np.bincount(labels.ravel(), minlength=count + 1)[1:] / score_map.size
    large = shares >= SPECK
    if count < 2 or not large.any():
        return score_map
    means = np.asarray(mean(score_map, labels, range(1, count + 1)))
    keep = np.concatenate([[True], large & (means >= means[large].max() - LESS_SURE)])  # first: what is no part
    return np.where(keep[labels], score_map, np.minimum(score_map, np.float32(NEAR_MISS)))


def guided(image: np.ndarray, score_map: np.ndarray, radius: float = RADIUS, epsilon: float = EPSILON) -> np.ndarray:
    """The guided filter: in every window the map becomes the affine function of the image's colours that fits it best.

    Windows at the image's border are filled with its last pixels.

    Args:
        image, score_map: see `Refined`.
        radius: of a window, as a share of the image's longer side; at least one pixel.
        epsilon: how much variance of colours is no edge.

    Reference: He, Sun, Tang, "Guided image filtering", TPAMI 2013, equations 19 to 21.
    """
    from scipy.ndimage import uniform_filter

    width = 2 * max(1, round(radius * max(score_map.shape))) + 1

    def box(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, (width, width) + (1,) * (values.ndim - 2), mode="nearest")

    guide, means = image / 255.0, box(score_map.astype(float))
    colours = box(guide)
    covariance = box(guide[..., None] * guide[..., None, :]) - colours[..., None] * colours[..., None, :]
    with_map = box(guide * score_map[..., None]) - colours * means[..., None]
    slope = np.linalg.solve(covariance + epsilon * np.eye(3), with_map[..., None])[..., 0]
    offset = means - (slope * colours).sum(-1)
    return ((box(slope) * guide).sum(-1) + box(offset)).clip(0, 1).astype(np.float32)


def outlined_by(masks: Any) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The refinement by a network that outlines what a box holds, see `models.segmenter.grounded_sam.MaskGenerator`.

    Each part of the mask that is no speck gives a box. Where the outline agrees with the part, IoU at least AGREES, it
    takes its place, with the part's mean as its score (`Calibration`); where it does not, the part stays as it is.
    """

    def refine(image: np.ndarray, score_map: np.ndarray) -> np.ndarray:
        from scipy.ndimage import find_objects, label

        labels, _ = label(score_map > 0.5, np.ones((3, 3)))
        refined = score_map.copy()
        for number, (rows, columns) in enumerate(find_objects(labels), 1):
            part = labels == number
            if part.mean() < SPECK:
                continue
            corners = torch.tensor([[columns.start, rows.start, columns.stop, rows.stop]], dtype=torch.float32)
            [logits] = masks.mask_logits(image, corners, False)
            outline = (logits > 0).cpu().numpy()
            if (outline & part).sum() < AGREES * (outline | part).sum():
                continue
            value = Calibration(0.5)(logits, float(score_map[part].mean())).cpu().numpy()
            refined = np.where(part, np.minimum(refined, np.float32(NEAR_MISS)), refined)
            refined = np.maximum(refined, value)
        return refined

    return refine
