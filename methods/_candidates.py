"""What is weighed together: candidate words, how much each is heard, and how surely it is in view.

Candidates are what the tagger's labels stand for, the nouns of both captions, and a vocabulary. What an audio-text
encoder and a tagger say of a word does not compare with what they say of another; their z-scores, how much more than
for unrelated sounds, do (`models.roles.AudioTextEncoder.bank`). For a word t, a sound and an image,

    s(t) = (z_text(t) + w z_tag(t)) / sqrt(1 + w^2)     heard, at least 0; z_tag is 0 for a word without a label
    v(t) = Segmenter.presence(image, t)                 in view
    a(t) = c s(t) + log(v(t) + e)                       both
    sum_t p(t) v(t)                                     how much of what is heard is in view, p from the tagger

What a method makes of these is its `choose`. The defaults were chosen on scenes of Stamps-AVS's train split, but for c:
2 is a little better there, where the bundled tagger has learnt the recordings, and trusts the ear too much elsewhere.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Annotated, Any

import numpy as np

from methods.base import Method, sounds_of, unless_silent
from utils.cli import BETWEEN, LEVEL, NOT_NEGATIVE, POSITIVE, PROMPT, SHARE, SIMILARITY, SOUND_PROMPT, at_least
from utils.language import audioset
from utils.language.phrases import (
    DEFAULT_PARSER,
    PARSER,
    VOCABULARY,
    asking,
    fill,
    nouns_said,
    read_vocabulary,
    sound_sentence,
)
from utils.language.sound_captions import things_heard
from utils.media.sounds import SILENCE_DB
from utils.trails import abstain, ask_for, candidates
from utils.types import Proposal, Sample

SHOWN = 6  # words in the trail


@dataclass(frozen=True, eq=False)
class Weighed:
    """The candidates of one sample, best first.

    Attributes:
        words: W of them.
        by_text, by_tags, heard, in_view, scores: (W,) float each: z_text, z_tag, s, v and a of the module's formulas.
        text_embeds, audio_embed: (W, D) and (D,), of the audio-text encoder.
    """

    words: Sequence[str]
    by_text: np.ndarray
    by_tags: np.ndarray
    heard: np.ndarray
    in_view: np.ndarray
    scores: np.ndarray
    text_embeds: np.ndarray
    audio_embed: np.ndarray

    @cached_property
    def likeness(self) -> np.ndarray:
        """(W, W) float: the cosines of the words with each other."""
        directions = self.text_embeds / np.linalg.norm(self.text_embeds, axis=1, keepdims=True).clip(1e-12)
        return directions @ directions.T


class Candidates(Method):
    """What the methods share that weigh candidates; `choose` is theirs.

    Args:
        models: all five roles, with a bank of sounds.
        prompt: the query, with "{}" for the word.
        audio_prompt: what a word is encoded as when compared with the sound, with "{}" for it or "{sound}" for how it
            is heard.
        vocabulary: candidates besides: words, the path of a text file with one a line, or "audioset"; None for none.
        tagger_weight: w, of the tagger beside the audio-text encoder.
        sharpness: c, what a z-score counts beside the logarithm of a presence.
        least_presence: e; a word that is not in view at all has this much.
        looked_for: how many words, those heard most, are looked for in the image besides the captions' nouns.
        max_things: how many are asked for at most.
        margin: a word this far below the best, or further, is not asked for.
        alike: words with this cosine or more are one thing, and not both asked for.
        min_in_view: in [0, 1]; where less of what is heard is in view, nothing is asked for; at 0 that
            never happens. Presences of two segmenters do not compare: it is to be measured (`python -m
            methods.calibrate`).
        silence_db: dBFS; a sound that never rises above it is silent.
        noun_parser: see `utils.language.phrases.nouns_said`.

    The trail has `heard z` and `in view`, s and v of the candidates, and `heard in view`, their sum.

    Raises:
        UserError: the config has no bank of sounds, or one of other networks.
    """

    abstains_below = "min_in_view"
    needs_bank = True

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        prompt: Annotated[str, PROMPT] = "A photo of {}",
        audio_prompt: Annotated[str, SOUND_PROMPT] = "{}",
        vocabulary: Annotated[str | PathLike | Sequence[str] | None, VOCABULARY] = None,
        tagger_weight: Annotated[float, NOT_NEGATIVE] = 0.7,
        sharpness: Annotated[float, POSITIVE] = 1.5,
        least_presence: Annotated[float, BETWEEN] = 1e-4,
        looked_for: Annotated[int, at_least(1)] = 64,
        max_things: Annotated[int, at_least(1)] = 3,
        margin: Annotated[float, NOT_NEGATIVE] = 2.0,
        alike: Annotated[float, SIMILARITY] = 0.6,
        min_in_view: Annotated[float, SHARE] = 0.0,
        silence_db: Annotated[float, LEVEL] = SILENCE_DB,
        noun_parser: Annotated[str, PARSER] = DEFAULT_PARSER,
    ) -> None:
        super().__init__(models)
        self.bank = models["audio_text"].bank()
        self.prompt, self.audio_prompt, self.noun_parser = prompt, audio_prompt, noun_parser
        self.tagger_weight, self.sharpness, self.least_presence = tagger_weight, sharpness, least_presence
        self.looked_for, self.max_things, self.margin, self.alike = looked_for, max_things, margin, alike
        self.min_in_view, self.silence_db = min_in_view, silence_db
        self.thing_of = {label: _thing(label) for label in self.bank.labels}
        vocabulary = [] if vocabulary is None else read_vocabulary(vocabulary)
        self.vocabulary = list(dict.fromkeys(filter(None, (*self.thing_of.values(), *vocabulary))))

    @abstractmethod
    def choose(self, weighed: Weighed) -> tuple[Sequence[int], dict[str, Any]]:
        """Returns which candidates are asked for, best first, and keys for the trail."""

    def prepare(self) -> None:
        """See `Method.prepare`."""
        _ = self._vocabulary_embeds

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        return unless_silent(samples, self.silence_db, self._propose)

    def heard(self, by_text: np.ndarray, by_tags: np.ndarray) -> np.ndarray:
        """What both experts say: s of the module's formulas.

        Below 0, something is heard less than in unrelated sounds, which tells it only from what is heard.
        """
        return np.maximum((by_text + self.tagger_weight * by_tags) / np.hypot(1, self.tagger_weight), 0)

    def _propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        return [self._ask(*found) for found in self._weigh_all(samples)]

    def _weigh_all(self, samples: Sequence[Sample]) -> list[tuple[Weighed, float, str]]:
        """Of each sample its candidates, how much of what is heard is in view, and the image's caption."""
        sounds, captioner, listener = sounds_of(samples), self.models["image_captioner"], self.models["audio_captioner"]
        audio_embeds = self.models["audio_text"].encode_audio(*sounds)  # (N, D)
        tags = self.models["audio_tagger"].tag(*sounds, top_k=len(self.bank.labels))
        captions = captioner.caption([sample.image for sample in samples])
        nouns = [nouns_said(captioner, caption, self.noun_parser) for caption in captions]
        for own, sentence in zip(nouns, listener.caption(*sounds), strict=True):
            own += things_heard(listener, sentence, self.noun_parser)
        further = list(dict.fromkeys(word for own in nouns for word in own if word not in self.vocabulary))
        embeds = [*self._vocabulary_embeds, *(self._embeds(further) if further else ())]
        embed_of = dict(zip((*self.vocabulary, *further), embeds, strict=True))
        found = []
        for sample, own, caption, *heard in zip(samples, nouns, captions, tags, audio_embeds, strict=True):
            words = list(dict.fromkeys((*own, *self.vocabulary)))
            embeds = np.stack([embed_of[word] for word in words])
            found.append((*self._weigh(sample.image, words, len(set(own)), embeds, *heard), caption))
        return found

    def _weigh(
        self,
        image: np.ndarray,
        words: Sequence[str],
        named: int,
        text_embeds: np.ndarray,
        tags: Sequence[tuple[str, float]],
        audio_embed: np.ndarray,
    ) -> tuple[Weighed, float]:
        """The candidates, the first so many of which captions named, and how much of what is heard is in view."""
        probability = dict(tags)
        probabilities = np.array([probability.get(label, 0.0) for label in self.bank.labels])  # (L,)
        members = np.array([[self.thing_of[label] == word for label in self.bank.labels] for word in words])  # (W, L)
        by_text = self.bank.text_z_scores(text_embeds, audio_embed)
        by_tags = self.bank.tag_z_scores(probabilities, members)
        heard = self.heard(by_text, by_tags)
        loudest = named + np.argsort(-heard[named:], kind="stable")[: self.looked_for]
        rows = np.array([*range(named), *loudest])
        seen = self.models["segmenter"].presence([image], [fill(self.prompt, words[i]) for i in rows])[0]
        shares = members[rows] @ probabilities / max(probabilities.sum(), 1e-12)
        scores = self.sharpness * heard[rows] + np.log(seen + self.least_presence)
        order = np.argsort(-scores, kind="stable")
        rows = rows[order]
        weighed = Weighed(
            [words[i] for i in rows],
            by_text[rows],
            by_tags[rows],
            heard[rows],
            seen[order],
            scores[order],
            text_embeds[rows],
            audio_embed,
        )
        return weighed, float(np.clip(shares @ seen, 0, 1))

    def _ask(self, weighed: Weighed, in_view: float, caption: str) -> Proposal:
        odds = np.exp(weighed.scores - weighed.scores[0])
        shown, words = slice(SHOWN), weighed.words[:SHOWN]
        trail = {
            "heard": f"a sound most like {weighed.words[int(np.argmax(weighed.heard))]}",
            "seen": caption,
            "candidates": candidates(words, (odds / odds.sum())[shown]),
            "heard z": _numbers(words, weighed.heard[shown]),
            "in view": _numbers(words, weighed.in_view[shown]),
            "heard in view": round(in_view, 4),
        }
        if in_view < self.min_in_view:
            return abstain(f"what is heard is not in view: {in_view:.3f} < {self.min_in_view:g}", **trail)
        chosen, further = self.choose(weighed)
        return ask_for([asking(self.prompt, weighed.words[i], in_view) for i in chosen], **trail, **further)

    def _embeds(self, words: Sequence[str]) -> np.ndarray:
        return self.models["audio_text"].encode_text([sound_sentence(self.audio_prompt, word) for word in words])

    @cached_property
    def _vocabulary_embeds(self) -> np.ndarray:
        """(V, D) float32."""
        return self._embeds(self.vocabulary)


def _thing(label: str) -> str | None:
    """The visible thing that a tagger's label stands for; None for none."""
    things = audioset.things(label)
    return label if things is None else next(iter(things), None)


def _numbers(words: Sequence[str], values: np.ndarray) -> list[dict[str, Any]]:
    return [{"text": word, "score": round(float(value), 4)} for word, value in zip(words, values, strict=True)]
