"""Text inversion: a pseudo-word W* is optimised until "a sound of W*" means what the sound means.

The sentence is read by the audio-text model's text encoder psi_t with a free word embedding e where W* stands;
e* = argmin_e 1 - cos(psi_t(e), psi_a(sound)). The image is not looked at.

What the paper leaves open, and what is done here:
    encoder, optimiser, steps, initialisation: the released code has none of it. Here the text encoder is that of
        whichever audio-text model is configured, the optimiser Adam, with an early stop for each sound; the start is
        the best of the token table's mean and a seeded draw of its rows. All are settings.
    injection: the paper hands psi_t(e*) to the segmentation model, which was made for its own text encoder's outputs;
        how it gets there is not said. Here a linear bridge from one text space to the other, fitted in closed form on a
        vocabulary that both encode, carries it over (`decoding="embedding"`). A segmenter that takes only text is asked
        for the vocabulary's nearest word instead (`decoding="nearest_word"`).
    when to ask for nothing: here, when no word of the vocabulary is near enough to the sound, once it has been measured
        what is near enough (`min_similarity`).

Reference:
    arXiv 2506.06537, figure 1 (text inversion).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from methods.base import Method, sounds_of, unless_silent
from utils.cli import LEVEL, NOT_NEGATIVE, POSITIVE, PROMPT, SIMILARITY, at_least, one_of
from utils.errors import UserError
from utils.language.phrases import AUDIOSET, VOCABULARY, fill, read_vocabulary
from utils.media.sounds import SILENCE_DB
from utils.trails import abstain, ask_for, candidates
from utils.types import Proposal, Query, Sample

if TYPE_CHECKING:
    from methods._inversion import Bridge, Inverter

SHOWN = 5  # words in the trail


class TextInversion(Method):
    """Sound -> pseudo-word -> its sentence's embedding, carried into the segmenter's text space (or its nearest word).

    Args:
        models: "audio_text" and "segmenter".
        vocabulary: what the pseudo-word is named after, and what the bridge is fitted on: words, the path of a text
            file with one a line, or "audioset", every visible thing that makes one of AudioSet's sounds. None is
            "audioset".
        template: the sentence that is optimised, with "{}" for W*.
        prompt: how the segmenter is asked for a word, with "{}" for it.
        decoding: "embedding", "nearest_word", or "auto": embedding where the segmenter accepts one.
        steps, learning_rate, patience, min_delta, starts, seed: see `methods._inversion.Search`. A long search leaves
            the words behind for what only the encoder knows; the defaults stop once it is near one.
        ridge: of the bridge, see `methods._inversion.fit_bridge`.
        min_similarity: from -1 up; nothing is asked for when no word of the vocabulary is this similar to the sound. At
            -1 nothing is refused.
        silence_db: dBFS; a sound that never rises above it is silent.

    Raises:
        UserError: no word in the vocabulary, or a decoding that the segmenter does not take.
    """

    requires = ("audio_text",)
    abstains_below = "min_similarity"

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        vocabulary: Annotated[str | PathLike | Sequence[str] | None, VOCABULARY] = None,
        template: Annotated[str, PROMPT] = "a sound of {}",
        prompt: Annotated[str, PROMPT] = "A photo of {}",
        decoding: Annotated[str, one_of("auto", "embedding", "nearest_word")] = "auto",
        steps: Annotated[int, at_least(0)] = 100,
        learning_rate: Annotated[float, POSITIVE] = 0.3,
        patience: Annotated[int, at_least(1)] = 10,
        min_delta: Annotated[float, NOT_NEGATIVE] = 2e-3,
        starts: Annotated[int, at_least(0)] = 64,
        seed: Annotated[int, at_least(0)] = 0,
        ridge: Annotated[float, POSITIVE] = 0.03,
        min_similarity: Annotated[float, SIMILARITY] = -1.0,
        silence_db: Annotated[float, LEVEL] = SILENCE_DB,
    ) -> None:
        super().__init__(models)
        accepts_embeddings = models["segmenter"].accepts_embeddings
        if decoding == "embedding" and not accepts_embeddings:
            raise UserError(
                'this segmenter takes no embedding; set text_inversion.decoding to "nearest_word" or "auto"'
            )
        self.vocabulary = read_vocabulary(AUDIOSET if vocabulary is None else vocabulary)
        self.template, self.prompt = template, prompt
        self.hands_embedding = decoding == "embedding" or (decoding == "auto" and accepts_embeddings)
        self.search = {"steps": steps, "learning_rate": learning_rate, "patience": patience, "min_delta": min_delta}
        self.search |= {"starts": starts, "seed": seed}
        self.ridge, self.min_similarity, self.silence_db = ridge, min_similarity, silence_db

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        return unless_silent(samples, self.silence_db, self._invert)

    def prepare(self) -> None:
        """See `Method.prepare`."""
        _ = self._bridge if self.hands_embedding else self._word_embeds

    def invert(self, audio_embeds: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """For each sound, (D,) float32 L2-normalised, what `methods._inversion.Inversion` says of its sentence."""
        found = self._inverter.invert(np.stack(audio_embeds))
        return [{name: getattr(own, name) for name in ("text_embed", "similarity", "losses")} for own in found]

    def _invert(self, samples: Sequence[Sample]) -> list[Proposal]:
        audio_embeds = self.models["audio_text"].encode_audio(*sounds_of(samples))  # (N, D)
        found = self.recall(
            self.invert, audio_embeds, roles=["audio_text"], settings={"template": self.template, **self.search}
        )
        return [self._choose(own, embed) for own, embed in zip(found, audio_embeds, strict=True)]

    def _choose(self, found: Mapping[str, Any], audio_embed: np.ndarray) -> Proposal:
        to_word = self._word_embeds @ found["text_embed"]  # (V,)
        to_sound = self._word_embeds @ audio_embed  # (V,)
        best = int(to_sound.argmax())
        score = float(to_sound[best])
        near = candidates(self.vocabulary, to_word)[:SHOWN]
        further: dict[str, Any] = {
            "similarity": round(found["similarity"], 4),
            "losses": [round(loss, 4) for loss in found["losses"]],
        }
        if self.min_similarity > -1 and score < self.min_similarity:
            least = f"{score:.2f} < {self.min_similarity:g}"
            reason = f'no known word fits the sound: the nearest, "{self.vocabulary[best]}", has {least}'
            return abstain(reason, heard="an unknown sound", candidates=near, **further)
        heard = "a pseudo-word W* close to " + ", ".join(row["text"] for row in near[:3])
        word, embedding = near[0]["text"], None
        further["decoding"] = "embedding" if self.hands_embedding else "nearest_word"
        if self.hands_embedding:
            word, embedding = f"W* (near {word})", self._bridge(found["text_embed"][None])[0]
            further["arrives_near"] = self._nearest_asked(embedding)
        query = Query(fill(self.prompt, word), score, embedding)
        return ask_for([query], heard, candidates=near, **further)

    @cached_property
    def _inverter(self) -> Inverter:
        from methods._inversion import Inverter, Search  # torch: not before there is something to optimise

        return Inverter(*self.models["audio_text"].pseudo_word_encoder(self.template), Search(**self.search))

    @cached_property
    def _word_embeds(self) -> np.ndarray:
        """(V, D) float32: the vocabulary, in the sentence, in the audio-text space."""
        return self.models["audio_text"].encode_text([fill(self.template, word) for word in self.vocabulary])

    @cached_property
    def _asked_embeds(self) -> np.ndarray:
        """(V, E) float32: the vocabulary, in the prompt, in the segmenter's text space."""
        return self.models["segmenter"].encode_text([fill(self.prompt, word) for word in self.vocabulary])

    @cached_property
    def _bridge(self) -> Bridge:
        from methods._inversion import fit_bridge

        return fit_bridge(self._word_embeds, self._asked_embeds, self.ridge)

    def _nearest_asked(self, embedding: np.ndarray) -> list[dict[str, Any]]:
        """The words nearest to an embedding in the segmenter's text space, by the cosine of what sets them apart."""
        centre = self._asked_embeds.mean(0)
        apart, own = self._asked_embeds - centre, embedding - centre
        lengths = np.linalg.norm(apart, axis=1) * np.linalg.norm(own)
        return candidates(self.vocabulary, apart @ own / np.maximum(lengths, 1e-12))[:SHOWN]
