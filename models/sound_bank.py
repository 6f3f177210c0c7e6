"""How a config's networks hear unrelated sounds, which makes z-scores of what they say of any other.

A similarity of 0.3, or a probability of 0.1, is much for one word and little for another. How much it is shows beside
what the same word has with sounds that have nothing to do with it: its z-score is the number, less their mean, over
their deviation. The embeddings of such sounds are kept, not numbers of words, so any sentence has its own statistics.

A bank is one file, made once by `python -m models.bank` and named beside the network: `audio_text: {bank: FILE}`. It is
of these very networks: another audio-text encoder, tagger or setting of theirs needs another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models.config import WEIGHTS_KEYS, Config
from models.weights import located
from utils.errors import UserError
from utils.files import atomic_path, require_file

HEARING = ("audio_text", "audio_tagger")  # the roles that a bank is of
LEAST_PROBABILITY = 1e-4  # added before a logarithm: less is as good as none
LEAST_DEVIATION, LEAST_SPREAD = 5e-3, 0.5  # added to a deviation, of a cosine and of a log-probability: few sounds vary
MAKE = "`python -m models.bank DIR --config {} --out FILE`, of some 80 sounds, and name it: --set audio_text.bank=FILE"


@dataclass(frozen=True, eq=False)
class SoundBank:
    """What the networks made of N unrelated sounds.

    Attributes:
        audio_embeds: (N, D) float32, of the audio-text encoder.
        probabilities: (N, L) float32 in [0, 1], of the tagger.
        labels: L names, all that the tagger knows.
        origin: "networks" (role -> what tells it from others), "sounds" (their number and digest); JSON.
    """

    audio_embeds: np.ndarray
    probabilities: np.ndarray
    labels: Sequence[str]
    origin: Mapping[str, Any]

    def text_z_scores(self, text_embeds: np.ndarray, audio_embed: np.ndarray) -> np.ndarray:
        """How much nearer each sentence, (W, D), is to a sound, (D,), than to unrelated ones: (W,) float."""
        unrelated = text_embeds @ self.audio_embeds.T  # (W, N)
        length = np.linalg.norm(text_embeds, axis=1) * np.linalg.norm(self.audio_embeds, axis=1).mean()
        return (text_embeds @ audio_embed - unrelated.mean(1)) / (unrelated.std(1) + LEAST_DEVIATION * length + 1e-12)

    def tag_z_scores(self, probabilities: np.ndarray, members: np.ndarray) -> np.ndarray:
        """How much more probable each thing is than for unrelated sounds.

        Args:
            probabilities: (L,) in [0, 1], of a sound.
            members: (W, L) bool, the labels of each thing, whose probabilities are added up.

        Returns:
            (W,) float, of log-probabilities; 0 for a thing without labels.
        """
        unrelated = np.log(members @ self.probabilities.T + LEAST_PROBABILITY)  # (W, N)
        own = np.log(members @ probabilities + LEAST_PROBABILITY)
        return (own - unrelated.mean(1)) / (unrelated.std(1) + LEAST_SPREAD)

    def write(self, path: Path) -> None:
        """Writes the one file: safetensors, log-probabilities in half precision, the rest as JSON in its header."""
        logs = np.log(self.probabilities + 1e-7).astype(np.float16)
        said = json.dumps({"labels": list(self.labels), "origin": self.origin}, sort_keys=True)
        content = save({"audio_embeds": self.audio_embeds, "log_probabilities": logs}, metadata={"bank": said})
        with atomic_path(path) as partial_path:
            partial_path.write_bytes(content)

    @classmethod
    def read(cls, path: Path) -> SoundBank:
        """Reads a bank. Raises UserError where there is none."""
        require_file(path, "a bank of sounds as a")
        try:
            with safe_open(path, "np") as file:
                said = json.loads((file.metadata() or {})["bank"])
                embeds, logs = (file.get_tensor(name) for name in ("audio_embeds", "log_probabilities"))
            return cls(embeds, np.exp(logs.astype(np.float32)), tuple(said["labels"]), said["origin"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise UserError(
                f"expected a bank of sounds at {path}, found {error}; make one with {MAKE.format('NAME')}"
            ) from error


def bank_of(config: Config, models: Mapping[str, Any]) -> SoundBank:
    """The bank that a config names, for networks that were loaded by it.

    Raises:
        UserError: it names none, or one of other networks.
    """
    name = config.roles["audio_text"].get("bank")
    if name is None:
        raise UserError(
            f"expected a bank of sounds, which z-scores need, beside the role audio_text, found none in {config.path}; "
            f"make one with {MAKE.format(config.name)}"
        )
    bank, networks = SoundBank.read(located(name)), networks_of(config, models)
    for role, network in networks.items():
        if _compared(network) != _compared(bank.origin["networks"].get(role, {})):
            raise UserError(
                f"expected a bank of sounds made with the {role} of {config.name}, found {name}, made with another or "
                f"with other settings; make one with {MAKE.format(config.name)}"
            )
    return bank


def networks_of(config: Config, models: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the networks of a bank from others, by role: where they come from, and their settings."""
    found = {}
    for role in HEARING:
        entry, provenance = config.roles[role], models[role].provenance
        known = {*WEIGHTS_KEYS, *provenance.get("parts", {}), "family", "bank"}
        found[role] = {"settings": {key: value for key, value in entry.items() if key not in known}}
        found[role] |= {"network": _network(provenance)}
    return found


def _network(provenance: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        key: provenance[key] for key in ("family", "id", "revision", "sha256", "config_sha256") if provenance.get(key)
    }
    parts = {name: _network(part) for name, part in provenance.get("parts", {}).items()}
    return own | ({"parts": parts} if parts else {})


def _compared(network: Any) -> Any:
    """A network without its place where its hash says which it is."""
    if not isinstance(network, Mapping):
        return network
    return {key: _compared(value) for key, value in network.items() if key != "id" or "sha256" not in network}
