"""Audio taggers: which of its labels a network hears in a sound."""

from models.audio_tagger.classifier import AudioClassifier
from models.audio_tagger.soundnet import SoundNetTagger

FAMILIES = {family.family: family for family in (AudioClassifier, SoundNetTagger)}
