"""An image classifier as a captioner: it names what is in view, small things too, in one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from models.image_classifier import ImageClassifier, Seen
from models.pretrained import Composite, Pretrained
from utils import imagenet
from utils.errors import UserError

__all__ = ["ClassifierCaptioner", "sentence"]

WEARERS = "person"  # is in no class of ImageNet; whoever wears its clothes is said to be there


class ClassifierCaptioner(Composite):
    """Any convolutional ImageNet-1k classifier of timm: "a photo of a cat and a remote control".

    The classifier is applied at each place of its last features, at several scales, and classes are added up to things
    ("dog" is 118 of them). Where it knows nothing a classifier gives every class a little, and a thing of many classes
    much; so a thing's sum is divided by the root of their number. A thing counts by its strongest place and by its share
    of the whole image, so that a small one is not drowned. Clothes are said to be a person.

    Args (settings):
        scales: pixels of the image's longer side.
        max_things: how many are named at most, the surest first.
        min_share: in [0, 1]; the surest is named from half of this on, others from this on.
    """

    family = "classifier"
    parts: ClassVar[Mapping[str, type[Pretrained]]] = {"classifier": ImageClassifier}

    def __init__(
        self,
        networks: Mapping[str, Any],
        provenance: dict[str, Any],
        *,
        scales: Sequence[int] = (256, 384),
        max_things: int = 6,
        min_share: float = 0.25,
    ) -> None:
        super().__init__(networks, provenance)
        if not scales or min(scales) < 64:
            raise UserError(f"expected scales to be one or more of 64 pixels and above, found {list(scales)}")
        self.classifier = networks["classifier"]
        self.scales, self.max_things, self.min_share = tuple(scales), max_things, min_share
        worn = imagenet.lookup(WEARERS) > 0
        said = [WEARERS if is_worn else thing for thing, is_worn in zip(imagenet.things(), worn, strict=True)]
        self.things = list(dict.fromkeys(said))
        index = {thing: row for row, thing in enumerate(self.things)}
        self._thing_of = np.array([index[thing] for thing in said])  # (1000,)
        self._weights = 1 / np.sqrt(np.bincount(self._thing_of))[:, None].astype(np.float32)  # (things, 1)

    def caption(self, images: Sequence[np.ndarray]) -> list[str]:
        """See `models.roles.ImageCaptioner`."""
        return [sentence(self._named(image)) for image in images]

    def shares(self, image: np.ndarray) -> np.ndarray:
        """How surely each of `things` is in view: (len(things),) float32 in [0, 1]."""
        return np.mean(
            [self._shares(self.classifier.encode_images([image], scale)[0]) for scale in self.scales], axis=0
        )

    def _shares(self, seen: Seen) -> np.ndarray:
        places = seen.logits.softmax(0).flatten(1).cpu().numpy()  # (N, h w)
        shares = np.zeros((len(self.things), places.shape[1]), np.float32)
        np.add.at(shares, self._thing_of, places)
        shares *= self._weights
        shares /= shares.sum(0)
        return 0.5 * shares.max(1) + 0.5 * shares.mean(1)

    def _named(self, image: np.ndarray) -> list[str]:
        shares = self.shares(image)
        order = np.argsort(-shares, kind="stable")[: self.max_things]
        first, *others = order
        named = [first] if shares[first] >= self.min_share / 2 else []
        named += [thing for thing in others if shares[thing] >= self.min_share]
        return [self.things[thing] for thing in named]


def sentence(things: Sequence[str]) -> str:
    """ "a photo of a dog, an owl and scissors"; "" for nothing."""
    if not things:
        return ""
    phrases = [_with_article(thing) for thing in things]
    return "a photo of " + " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))


def _with_article(thing: str) -> str:
    head = thing.split()[-1]
    if head.endswith("s") and not head.endswith(("ss", "us", "is")):
        return thing  # scissors, sunglasses
    return ("an " if thing[0] in "aeiou" else "a ") + thing
