"""Audio classification: the sound's class, or the visible thing that makes it, is the query.

The image is not looked at: the thing is asked for whether or not it is in view.

What the paper leaves open, and what is done here:
    classes that are no things: it asks for "A photo of CLASS", be the class "Bark" or "Wind". Here AudioSet's classes
        are translated to what makes them (`utils.language.audioset`), "Bark" to "dog"; those of other taggers are
        asked for as they are. `things="labels"` asks as the paper does.
    classes of nothing visible: passed over for the next probable class, because taggers put "Music" or "Inside, small
        room" before the "Guitar" or "Speech" in it. Where no class is left, nothing is asked for.
    classes within classes: taggers put "Animal" just above "Dog". A family gives way to its most probable member,
        unless that is much less probable (`member_share`).
    the least probability worth asking for: a setting.

Reference:
    arXiv 2506.06537, figure 1 (audio classification), which asks for the first class of AudioSet's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from methods.base import Method, sounds_of, unless_silent
from utils.cli import LEVEL, NOT_NEGATIVE, PROMPT, SHARE, at_least, one_of
from utils.errors import UserError
from utils.language import audioset
from utils.language.phrases import asking
from utils.media.sounds import SILENCE_DB
from utils.trails import abstain, ask_for, candidates
from utils.types import Prediction, Proposal, Query, Sample

SHOWN = 5  # tags in the trail, at least
LISTED = 20  # tags looked through for something visible

Tag = tuple[str, float]  # label, probability


class Classify(Method):
    """Sound -> tags -> things -> "A photo of THING".

    Args:
        models: "audio_tagger" and "segmenter".
        prompt: the query, with "{}" for the thing.
        top_k: how many of the most probable tags that name something visible are asked for; a tag whose things another
            has named already is not counted.
        min_probability: in [0, 1]; tags below it are not asked for; at 0 all are.
        things: "auto" translates AudioSet's labels to visible things and takes any other label as it is, "labels" takes
            every label as it is, "audioset" translates and refuses labels that are not AudioSet's.
        max_things: how many of a label's things are asked for, the best first.
        member_share: where labels are translated, a family's label gives way to its most probable member that names
            another thing and has at least this fraction of its probability; above 1, only to a more probable one. The
            query's score stays the family's: what was heard is that sure.
        silence_db: dBFS; a sound that never rises above it is silent.

    The trail has `visible`, what each tag was translated to, where one was.

    Raises:
        UserError: with "audioset", when predicting, a label is not AudioSet's.
    """

    requires = ("audio_tagger",)
    abstains_below = "min_probability"

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        prompt: Annotated[str, PROMPT] = "A photo of {}",
        top_k: Annotated[int, at_least(1)] = 1,
        min_probability: Annotated[float, SHARE] = 0.05,
        things: Annotated[str, one_of("auto", "labels", "audioset")] = "auto",
        max_things: Annotated[int, at_least(1)] = 1,
        member_share: Annotated[float, NOT_NEGATIVE] = 0.5,
        silence_db: Annotated[float, LEVEL] = SILENCE_DB,
    ) -> None:
        super().__init__(models)
        self.prompt = prompt
        self.top_k, self.min_probability = top_k, min_probability
        self.things, self.max_things, self.member_share = things, max_things, member_share
        self.silence_db = silence_db

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        return unless_silent(samples, self.silence_db, self._classify)

    def next_queries(self, answer: Proposal | Prediction) -> list[Query]:
        """See `Method.next_queries`; of labels, what they stand for."""
        probability = {}  # thing -> of the first label that names it
        for row in answer.trail["candidates"]:
            for thing in self._visible(row["text"])[: self.max_things]:
                probability.setdefault(thing, row["score"])
        asked = {query.text for query in answer.queries}
        queries = [asking(self.prompt, *one) for one in probability.items() if one[1] >= self.min_probability]
        return [query for query in queries if query.text not in asked]

    def _classify(self, samples: Sequence[Sample]) -> list[Proposal]:
        tags = self.models["audio_tagger"].tag(*sounds_of(samples), top_k=max(self.top_k, LISTED))
        return [self._choose(own) for own in tags]

    def _choose(self, tags: Sequence[Tag]) -> Proposal:
        probable = [tag for tag in tags if tag[1] >= self.min_probability]
        asked, passed = self._ask(probable)
        shown = tags[: max(self.top_k, SHOWN, len(passed))]
        weighed = candidates([label for label, _ in shown], [probability for _, probability in shown])
        if not probable:
            reason = "no known sound was recognised"
            if tags:
                label, probability = tags[0]
                reason += f': the most probable, "{label}", has {probability:.2f} < {self.min_probability:g}'
            return abstain(reason, heard="an unknown sound", candidates=weighed)
        heard = ", ".join(f"{label} ({probability:.0%})" for label, probability in probable[: len(passed)])
        further = _translations(passed)
        if not asked:
            return abstain(f"what was heard names no visible thing: {heard}", heard, candidates=weighed, **further)
        queries = [asking(self.prompt, thing, float(probability)) for thing, probability in asked.items()]
        return ask_for(queries, heard, candidates=weighed, **further)

    def _ask(self, tags: Sequence[Tag]) -> tuple[dict[str, float], list[tuple[str, tuple[str, ...]]]]:
        """Goes down the tags until enough are asked for.

        Returns:
            asked: thing -> probability of the first tag that names it, itself or by a member that it gives way to.
            passed: (label, its things) of each tag on the way.
        """
        asked: dict[str, float] = {}
        passed: list[tuple[str, tuple[str, ...]]] = []
        counted = 0
        for tag in tags:
            if counted == self.top_k:
                break
            label, _ = self._narrowest(tag, tags)
            probability = tag[1]  # without the member, the tag itself would be asked for
            visible = self._visible(label)[: self.max_things]
            new = [thing for thing in visible if thing not in asked]
            asked |= dict.fromkeys(new, probability)
            passed.append((label, visible))
            counted += bool(new)
        return asked, passed

    def _narrowest(self, tag: Tag, tags: Sequence[Tag]) -> Tag:
        """The tag itself, or what it gives way to; `tags` are in order of probability."""
        label, probability = tag
        own = self._visible(label)[:1]
        members = () if self.things == "labels" else audioset.members(label)
        narrower = [other for other in tags if other[0] in members and self._visible(other[0])[:1] not in ((), own)]
        if narrower and narrower[0][1] >= self.member_share * probability:
            return self._narrowest(narrower[0], tags)
        return tag

    def _visible(self, label: str) -> tuple[str, ...]:
        visible = None if self.things == "labels" else audioset.things(label)
        if visible is None and self.things == "audioset":
            raise UserError(
                f'expected a label of AudioSet from the audio tagger, found "{label}"; set classify.things to "auto" '
                'or "labels"'
            )
        return (label,) if visible is None else visible


def _translations(passed: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    """The trail's `visible`, in words; none where every label was taken as it is."""
    if all(visible == (label,) for label, visible in passed):
        return {}
    return {"visible": "; ".join(f"{label} -> {', '.join(visible) or 'nothing'}" for label, visible in passed)}
