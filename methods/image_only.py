"""A baseline that does not listen: everything the image's caption names. What a method gains over it, it gained by ear.

The caption and its nouns are those of `cross_modal`, so the difference between the two is the sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from methods.base import Method
from utils.cli import PROMPT
from utils.language.phrases import DEFAULT_PARSER, PARSER, asking, nouns_said
from utils.trails import abstain, ask_for
from utils.types import Proposal, Sample

HEARD = "(does not listen)"


class ImageOnly(Method):
    """Image caption -> all its bare nouns -> "A photo of NOUN" for each, the sound ignored.

    Args:
        models: "image_captioner" and "segmenter".
        prompt: the query, with "{}" for the noun.
        noun_parser: see `utils.language.phrases.nouns_said`.
    """

    requires = ("image_captioner",)
    listens = False

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        prompt: Annotated[str, PROMPT] = "A photo of {}",
        noun_parser: Annotated[str, PARSER] = DEFAULT_PARSER,
    ) -> None:
        super().__init__(models)
        self.prompt = prompt
        self.noun_parser = noun_parser

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        captions = self.models["image_captioner"].caption([sample.image for sample in samples])
        return [self._of(caption) for caption in captions]

    def _of(self, caption: str) -> Proposal:
        nouns = nouns_said(self.models["image_captioner"], caption, self.noun_parser)
        if not nouns:
            return abstain("the image caption names no thing", heard=HEARD, seen=caption)
        return ask_for([asking(self.prompt, noun) for noun in nouns], heard=HEARD, seen=caption)
