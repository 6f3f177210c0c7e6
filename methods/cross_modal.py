"""Cross-modal verification: of the things seen in the image, the one that the sound agrees with most.

An image captioner names what is there, each noun of its caption is compared with the sound in an audio-text space, and
the most similar one is queried.

Where this can depart from the paper:
    sentences: it compares bare nouns, as is done here by default. Encoders of sounds learnt from sentences and labels;
        `audio_prompt` may be such a sentence, or several, of which the mean is compared.
    when to ask for nothing: it always asks for the best noun, as is done here by default. From a `min_similarity` on, a
        sound that fits nothing in view asks for nothing.
    silence: asks for nothing (`silence_db`).
    people: where nothing is found by a word for people ("man"), "person" is asked for too.

Reference:
    arXiv 2506.06537, figure 1 (cross-modal verification).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from methods.base import Method, sounds_of
from utils.cli import LEVEL, PROMPT, SIMILARITY, SOUND_PROMPT, one_or_several
from utils.language.phrases import DEFAULT_PARSER, PARSER, asking, nouns_said, sound_sentence
from utils.media.sounds import SILENCE_DB, why_unheard
from utils.trails import abstain, ask_for, candidates, silence
from utils.types import Proposal, Sample


class CrossModal(Method):
    """Image caption -> bare nouns -> the noun most similar to the sound -> "A photo of NOUN".

    Args:
        models: "audio_text", "image_captioner" and "segmenter".
        prompt: the query, with "{}" for the noun.
        audio_prompt: what a noun is encoded as when compared with the sound, with "{}" for the noun or "{sound}" for
            how it is heard (`utils.language.audioset.sound_phrase`: "dog barking"); of a list, the mean is compared.
        min_similarity: a sound whose similarity with every noun is below it asks for nothing. -1 never: CLAP's
            similarities have no meaningful zero, and one that parts right from wrong is to be measured for each encoder
            (`python -m methods.calibrate`). Of cosines none is above 1; an encoder may give products of any size.
        silence_db: dBFS; a sound that never rises above it is silent.
        noun_parser: see `utils.language.phrases.nouns_said`.
    """

    requires = ("audio_text", "image_captioner")
    abstains_below = "min_similarity"

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        prompt: Annotated[str, PROMPT] = "A photo of {}",
        audio_prompt: Annotated[str | Sequence[str], one_or_several(SOUND_PROMPT)] = "{}",
        min_similarity: Annotated[float, SIMILARITY] = -1.0,
        silence_db: Annotated[float, LEVEL] = SILENCE_DB,
        noun_parser: Annotated[str, PARSER] = DEFAULT_PARSER,
    ) -> None:
        super().__init__(models)
        self.prompt = prompt
        self.audio_prompts = [audio_prompt] if isinstance(audio_prompt, str) else audio_prompt
        self.min_similarity, self.silence_db = min_similarity, silence_db
        self.noun_parser = noun_parser

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        captioner, audio_text = self.models["image_captioner"], self.models["audio_text"]
        captions = captioner.caption([sample.image for sample in samples])
        nouns = [nouns_said(captioner, caption, self.noun_parser) for caption in captions]
        silent = [why_unheard(sample.waveform, sample.sampling_rate, self.silence_db) for sample in samples]
        compared = [i for i in range(len(samples)) if nouns[i] and not silent[i]]
        similarities = {}  # sample -> (number of its nouns,) with its sound
        if compared:
            audio_embeds = audio_text.encode_audio(*sounds_of([samples[i] for i in compared]))
            words = list(dict.fromkeys(noun for i in compared for noun in nouns[i]))
            sentences = [sound_sentence(prompt, word) for word in words for prompt in self.audio_prompts]
            text_embeds = self._averaged(audio_text.encode_text(sentences))  # (number of words, D)
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

    def _averaged(self, text_embeds: np.ndarray) -> np.ndarray:
        """(N * prompts, D) -> (N, D) float32: the mean of each noun's sentences, as long as they are (1, mostly)."""
        if len(self.audio_prompts) == 1:
            return text_embeds
        of_noun = text_embeds.reshape(-1, len(self.audio_prompts), text_embeds.shape[1])
        mean, length = of_noun.mean(1), np.linalg.norm(of_noun, axis=2).mean(1)  # (N, D), (N,)
        return mean * (length / np.linalg.norm(mean, axis=1).clip(1e-6))[:, None]

    def _choose(self, caption: str, nouns: Sequence[str], similarities: np.ndarray) -> Proposal:
        best = int(np.argmax(similarities))
        weighed = candidates(nouns, similarities)
        noun, similarity = nouns[best], float(similarities[best])
        if self.min_similarity > -1 and similarity < self.min_similarity:
            least = f"{similarity:.2f} < {self.min_similarity:g}"
            reason = f'nothing seen fits the sound: the nearest, "{noun}", has {least}'
            return abstain(reason, heard="a sound that fits nothing in the picture", seen=caption, candidates=weighed)
        return ask_for(
            [asking(self.prompt, noun, similarity)], heard=f"a sound most like {noun}", seen=caption, candidates=weighed
        )
