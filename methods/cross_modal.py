"""Cross-modal verification: of the things seen in the image, the one that the sound agrees with most.

An image captioner names what is there, each bare noun of its caption is compared with the sound in an audio-text space,
and the most similar one is queried. A sound that fits nothing in view asks for nothing.

Reference:
    arXiv 2506.06537, figure 1 (cross-modal verification). The least similarity worth asking for is not given there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from methods.base import Method, sounds_of
from utils.cli import COSINE, LEVEL, PROMPT
from utils.language.phrases import DEFAULT_PARSER, PARSER, asking, fill, nouns_said
from utils.media.sounds import SILENCE_DB, why_unheard
from utils.trails import abstain, ask_for, candidates, silence
from utils.types import Proposal, Sample


class CrossModal(Method):
    """Image caption -> bare nouns -> the noun most similar to the sound -> "A photo of NOUN".

    Args:
        models: "audio_text", "image_captioner" and "segmenter".
        prompt: the query, with "{}" for the noun.
        audio_prompt: what a noun is encoded as when compared with the sound; the paper compares the bare noun.
        min_similarity: cosine in [-1, 1] below which nothing is asked for.
        silence_db: dBFS; a sound that never rises above it is silent.
        noun_parser: see `utils.language.phrases.nouns_said`.
    """

    requires = ("audio_text", "image_captioner")

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        prompt: Annotated[str, PROMPT] = "A photo of {}",
        audio_prompt: Annotated[str, PROMPT] = "{}",
        min_similarity: Annotated[float, COSINE] = 0.0,
        silence_db: Annotated[float, LEVEL] = SILENCE_DB,
        noun_parser: Annotated[str, PARSER] = DEFAULT_PARSER,
    ) -> None:
        super().__init__(models)
        self.prompt, self.audio_prompt = prompt, audio_prompt
        self.min_similarity, self.silence_db = min_similarity, silence_db
        self.noun_parser = noun_parser

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        captioner, audio_text = self.models["image_captioner"], self.models["audio_text"]
        captions = captioner.caption([sample.image for sample in samples])
        nouns = [nouns_said(captioner, caption, self.noun_parser) for caption in captions]
        silent = [why_unheard(sample.waveform, sample.sampling_rate, self.silence_db) for sample in samples]
        compared = [i for i in range(len(samples)) if nouns[i] and not silent[i]]
        similarities = {}  # sample -> (number of its nouns,) cosines with its sound
        if compared:
            audio_embeds = audio_text.encode_audio(*sounds_of([samples[i] for i in compared]))
            words = list(dict.fromkeys(noun for i in compared for noun in nouns[i]))
            text_embeds = audio_text.encode_text([fill(self.audio_prompt, word) for word in words])
            embed_of = dict(zip(words, text_embeds, strict=True))
            for i, audio_embed in zip(compared, audio_embeds, strict=True):
                similarities[i] = np.array([embed_of[noun] @ audio_embed for noun in nouns[i]])
        proposals = []
        for i, caption in enumerate(captions):
            if silent[i]:
                proposals.append(silence(silent[i], seen=caption))
            elif not nouns[i]:
                proposals.append(abstain("the image caption names no thing", heard="a sound", seen=caption))
            else:
                proposals.append(self._choose(caption, nouns[i], similarities[i]))
        return proposals

    def _choose(self, caption: str, nouns: Sequence[str], similarities: np.ndarray) -> Proposal:
        best = int(np.argmax(similarities))
        weighed = candidates(nouns, similarities)
        noun, similarity = nouns[best], float(similarities[best])
        if similarity < self.min_similarity:
            least = f"{similarity:.2f} < {self.min_similarity:g}"
            reason = f'nothing seen fits the sound: the nearest, "{noun}", has {least}'
            return abstain(reason, heard="a sound like nothing seen", seen=caption, candidates=weighed)
        return ask_for(
            [asking(self.prompt, noun, similarity)], heard=f"a sound most like {noun}", seen=caption, candidates=weighed
        )
