"""Networks that are right by construction, in a world where a thing is a colour to the eye and a pitch to the ear.

Every role is played as `models/roles.py` asks for, so that what a method makes of it is known beforehand: the fakes
read the colours and the pitch that are really there, of images and sounds of any size, and know nothing else.
"""

from __future__ import annotations

import numpy as np
import torch

from models.sound_bank import SoundBank
from utils.types import Query, Sample

RATE = 8000
THINGS = {  # name: (colour, Hz)
    "dog": ((220, 30, 30), 400),
    "violin": ((30, 200, 40), 800),
    "sea lion": ((30, 60, 220), 1200),
    "drum": ((230, 220, 40), 1600),
}
NAMES = list(THINGS)
DIM, SEGMENTER_DIM = 8, 10
TOLERANCE = 40  # a pixel has a thing's colour when no channel differs by more


def basis(rows: int, columns: int, seed: int) -> np.ndarray:
    """(rows, columns) float32 with orthonormal rows."""
    square = np.random.default_rng(seed).normal(size=(columns, columns))
    return np.linalg.qr(square)[0][:rows].astype(np.float32)


MEANINGS = basis(len(NAMES) + 1, DIM, seed=1)  # in the audio-text space; the last is "none of these"
SEGMENTER_MEANINGS = 3 * basis(len(NAMES) + 1, SEGMENTER_DIM, seed=2) + 0.5


def make_sample(
    sounding: str | None = "dog",
    visible: tuple[str, ...] = ("dog", "violin"),
    size: tuple[int, int] = (48, 80),
    seconds: float = 0.5,
    rate: int = RATE,
    name: str = "scene",
) -> Sample:
    """An image with the visible things in columns on grey, and the tone of what sounds (None: silence)."""
    height, width = size
    image = np.full((height, width, 3), 128, np.uint8)
    share = width // max(len(visible), 1)
    for column, thing in enumerate(visible):
        image[height // 4 :, column * share + share // 4 : (column + 1) * share] = THINGS[thing][0]
    times = np.arange(int(seconds * rate)) / rate
    waveform = np.zeros(len(times)) if sounding is None else 0.5 * np.sin(2 * np.pi * THINGS[sounding][1] * times)
    gt_mask = colour_mask(image, sounding) if sounding in visible else np.zeros(size, bool)
    return Sample(name, image, waveform.astype(np.float32), rate, gt_mask)


def colour_mask(image: np.ndarray, thing: str) -> np.ndarray:
    """(H, W) bool: where the image has the thing's colour."""
    return (np.abs(image.astype(int) - THINGS[thing][0]) <= TOLERANCE).all(-1)


def heard(waveform: np.ndarray, rate: int) -> int:
    """The number of the thing whose pitch it is; len(NAMES) for none."""
    if not len(waveform) or not np.any(waveform):
        return len(NAMES)
    pitch = np.argmax(np.abs(np.fft.rfft(waveform))) * rate / len(waveform)
    distances = [abs(pitch - hertz) for _, hertz in THINGS.values()]
    return int(np.argmin(distances)) if min(distances) < 100 else len(NAMES)


def meant(text: str) -> int:
    """The number of the first thing the text names; len(NAMES) for none."""
    return next((number for number, name in enumerate(NAMES) if name in text.lower()), len(NAMES))


class FakeAudioText:
    """A sound and the name of what makes it have the cosine 0.9, different things -0.1 to 0.1."""

    embed_dim = DIM

    def __init__(self) -> None:
        self.asked: list[str] = []
        generator = torch.Generator().manual_seed(3)
        self.table = 0.2 * torch.randn((40, DIM), generator=generator)
        self.weights = torch.from_numpy(basis(DIM, DIM, seed=4))

    def encode_audio(self, waveforms, sampling_rates):
        numbers = [heard(waveform, rate) for waveform, rate in zip(waveforms, sampling_rates, strict=True)]
        aside = MEANINGS[-1] * np.sqrt(1 - 0.81, dtype=np.float32)
        embeds = np.stack([0.9 * MEANINGS[number] + aside for number in numbers])
        return embeds / np.linalg.norm(embeds, axis=1, keepdims=True)

    def bank(self):
        """One sound of each thing, and one of none."""
        sounds = [make_sample(name).waveform for name in NAMES] + [np.zeros(RATE // 2, np.float32)]
        rates = [RATE] * len(sounds)
        tags = [dict(own) for own in FakeTagger().tag(sounds, rates)]
        probabilities = np.array([[own[name] for name in NAMES] for own in tags], np.float32)
        return SoundBank(self.encode_audio(sounds, rates), probabilities, NAMES, {})

    def encode_text(self, texts):
        self.asked += texts
        return np.stack([MEANINGS[meant(text)] for text in texts])

    def match_regions(self, waveforms, sampling_rates, images, regions):
        """By how much of a region has the colour of what is heard."""
        found = []
        for waveform, rate, image, own in zip(waveforms, sampling_rates, images, regions, strict=True):
            number, inside = heard(waveform, rate), own > 0.5
            there = colour_mask(image, NAMES[number]) if number < len(NAMES) else np.zeros(image.shape[:2], bool)
            found.append(np.log((inside & there).sum((1, 2)) / inside.sum((1, 2)) + 1e-4).astype(np.float32))
        return found

    def pseudo_word_encoder(self, template):
        assert template.count("{}") == 1

        def encode(words):  # reaches every meaning
            return torch.nn.functional.normalize(torch.tanh(words @ self.weights), dim=-1)

        return encode, self.table


class FakeTagger:
    """0.8 for what is heard and the rest shared by the others; all alike for a sound of no known thing."""

    def tag(self, waveforms, sampling_rates, top_k=5):
        lists = []
        for waveform, rate in zip(waveforms, sampling_rates, strict=True):
            number = heard(waveform, rate)
            known = number < len(NAMES)
            scores = [(name, (0.8 if i == number else 0.05) if known else 0.02) for i, name in enumerate(NAMES)]
            lists.append(sorted(scores, key=lambda tag: -tag[1])[:top_k])
        return lists


class FakeAudioCaptioner:
    """Says "a dog is heard", or "" of a sound of no known thing."""

    def caption(self, waveforms, sampling_rates):
        numbers = [heard(waveform, rate) for waveform, rate in zip(waveforms, sampling_rates, strict=True)]
        return [f"a {NAMES[number]} is heard" if number < len(NAMES) else "" for number in numbers]


class FakeImageCaptioner:
    """Says "a violin and a dog": what is in view in the reverse of the world's order, so that first is not right."""

    def caption(self, images):
        seen = [[f"a {name}" for name in reversed(NAMES) if colour_mask(image, name).any()] for image in images]
        return [" and ".join(names) if names else "it is grey" for names in seen]


class FakeSegmenter:
    """0.9 where the thing asked for is, 0.1 elsewhere; embeddings mean the nearest thing."""

    accepts_sentences = True

    def __init__(self, accepts_embeddings: bool = True) -> None:
        self.accepts_embeddings = accepts_embeddings
        self.text_embed_dim = SEGMENTER_DIM if accepts_embeddings else 0
        self.queries = []

    def segment(self, images, queries):
        self.queries += [tuple(own) for own in queries]
        return [self._map(image, own) for image, own in zip(images, queries, strict=True)]

    def presence(self, images, texts):
        """The peak of each map; 0 for a text that names no thing."""
        peaks = [[self._map(image, [Query(text)]).max() for text in texts] for image in images]
        known = [meant(text) < len(NAMES) for text in texts]
        return np.asarray(peaks, np.float32).reshape(len(images), len(texts)) * np.asarray(known, np.float32)

    def propose_regions(self, images):
        """Whatever has the colour of a thing."""
        found = [
            [self._map(image, [Query(name)]) for name in NAMES if colour_mask(image, name).any()] for image in images
        ]
        return [
            np.asarray(maps, np.float32).reshape(-1, *image.shape[:2])
            for maps, image in zip(found, images, strict=True)
        ]

    def encode_text(self, texts):
        return np.stack([SEGMENTER_MEANINGS[meant(text)] for text in texts])

    def _map(self, image, queries):
        score_map = np.zeros(image.shape[:2], np.float32)
        for query in queries:
            number = meant(query.text)
            if query.embedding is not None and self.accepts_embeddings:
                number = int(np.argmin(np.linalg.norm(SEGMENTER_MEANINGS - query.embedding, axis=1)))
            there = colour_mask(image, NAMES[number]) if number < len(NAMES) else np.zeros(image.shape[:2], bool)
            score_map = np.maximum(score_map, np.where(there, 0.9, 0.1).astype(np.float32))
        return score_map


def make_models(accepts_embeddings: bool = True) -> dict:
    """Every role, played."""
    return {
        "audio_text": FakeAudioText(),
        "audio_tagger": FakeTagger(),
        "audio_captioner": FakeAudioCaptioner(),
        "image_captioner": FakeImageCaptioner(),
        "segmenter": FakeSegmenter(accepts_embeddings),
    }


METHOD_SETTINGS = {"text_inversion": {"vocabulary": NAMES, "steps": 150}}  # what fits this world
