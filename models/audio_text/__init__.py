"""Audio-text encoders: sounds and sentences in one space."""

from models.audio_text.auto import AutoAudioTextEncoder
from models.audio_text.clap import ClapEncoder
from models.audio_text.msclap import MsClapEncoder
from models.audio_text.pe_av import PeAvEncoder
from models.audio_text.sound_names import SoundNameEncoder

ENCODERS = (ClapEncoder, PeAvEncoder, MsClapEncoder, AutoAudioTextEncoder, SoundNameEncoder)
FAMILIES = {family.family: family for family in ENCODERS}
