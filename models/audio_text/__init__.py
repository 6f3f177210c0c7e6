"""Audio-text encoders: sounds and sentences in one space."""

from models.audio_text.auto import AutoAudioTextEncoder
from models.audio_text.clap import ClapEncoder
from models.audio_text.msclap import MsClapEncoder
from models.audio_text.pe_av import PeAvEncoder

FAMILIES = {family.family: family for family in (ClapEncoder, PeAvEncoder, MsClapEncoder, AutoAudioTextEncoder)}
