"""Audio-text encoders: sounds and sentences in one space."""

from models.audio_text.clap import ClapEncoder

FAMILIES = {family.family: family for family in (ClapEncoder,)}
