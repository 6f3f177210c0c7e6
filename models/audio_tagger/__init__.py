"""Audio taggers: which of its labels a network hears in a sound."""

from models.audio_tagger.classifier import AudioClassifier

FAMILIES = {family.family: family for family in (AudioClassifier,)}
