"""An image classifier as a captioner: it names what is in view, small things too, in one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import interpolate

from models.network import Composite, Pretrained
from models.pocket.image_classifier import SMALLEST, ImageClassifier, Seen, check_names
from utils.cli import SHARE, at_least, several
from utils.language import imagenet
from utils.language.phrases import with_article

OPENING = "a photo of "
WEARERS = "person"  # is in no class of ImageNet; whoever wears its clothes is said to be there


class ClassifierCaptioner(Composite):
    """Any convolutional ImageNet-1k classifier of timm: "a photo of a cat and a remote control".

    The classifier is applied at each place of its last features, at several scales, and classes are added up to things
    ("dog" is 118 of them). Where it knows nothing a classifier gives every class a little, and a thing of many classes
    much; so a thing's sum is divided by the root of their number. A thing counts by its strongest place and by its
    share of the whole image, so that a small one is not drowned. Clothes are said to be a person.

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
        scales: Annotated[Sequence[int], several(at_least(SMALLEST))] = (320, 448),
        max_things: Annotated[int, at_least(1)] = 6,
        min_share: Annotated[float, SHARE] = 0.25,
    ) -> None:
        super().__init__(networks, provenance)
        self.classifier = networks["classifier"]
        check_names(self.classifier)
        self.scales, self.max_things, self.min_share = scales, max_things, min_share
        worn = imagenet.lookup(WEARERS) > 0
        said = [WEARERS if is_worn else thing for thing, is_worn in zip(imagenet.things(), worn, strict=True)]
        self.things = list(dict.fromkeys(said))
        index = {thing: row for row, thing in enumerate(self.things)}
        self._thing_of = np.array([index[thing] for thing in said])  # (1000,)
        self._weights = 1 / np.sqrt(np.bincount(self._thing_of))[:, None, None].astype(np.float32)  # (things, 1, 1)

    def caption(self, images: Sequence[np.ndarray]) -> list[str]:
        """See `models.roles.ImageCaptioner`."""
        captions = []
        for image in images:
            seen = []
            for scale in self.scales:
                seen += self.classifier.encode_images([image], scale)
            shares = self.shares(seen)
            first, *others = np.argsort(-shares, kind="stable")[: self.max_things]
            named = [first] if shares[first] >= self.min_share / 2 else []
            named += [thing for thing in others if shares[thing] >= self.min_share]
            captions.append(sentence([self.things[thing] for thing in named]))
        return captions

    def nouns(self, caption: str) -> list[str]:
        """The things named in a sentence of its own, in its order."""
        phrases = caption.removeprefix(OPENING).replace(" and ", ", ").split(", ") if caption else []
        return [phrase.removeprefix("an ").removeprefix("a ") for phrase in phrases]

    def shares(self, seen: Sequence[Seen]) -> np.ndarray:
        """How surely each of `things` is in an image seen at `scales`: (len(things),) float32 in [0, 1]."""
        finest = max((one.logits.shape[-2:] for one in seen), key=np.prod)
        places = np.mean([self._places(one, finest) for one in seen], axis=0)  # a scale's error is seldom the other's
        return 0.5 * places.max((1, 2)) + 0.5 * places.mean((1, 2))

    def _places(self, seen: Seen, size: tuple[int, int]) -> np.ndarray:
        """Each thing's share of each place: (things, *size) float32, adding up to 1 over things."""
        names = seen.logits.softmax(0).cpu().numpy()  # (N, h, w)
        things = np.zeros((len(self.things), *names.shape[1:]), np.float32)
        np.add.at(things, self._thing_of, names)
        things *= self._weights
        shares = torch.from_numpy(things / things.sum(0))[None]
        return interpolate(shares, size=size, mode="bilinear", align_corners=False)[0].numpy()


def sentence(things: Sequence[str]) -> str:
    """ "a photo of a dog, an owl and scissors"; "" for nothing."""
    if not things:
        return ""
    phrases = [with_article(thing) for thing in things]
    return OPENING + " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))
