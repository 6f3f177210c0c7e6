"""Audio captioners: one sentence on what a sound is."""

from models.audio_captioner.audio_chat import AudioChat
from models.audio_captioner.tags import TagsCaptioner
from models.audio_captioner.whisper import WhisperCaptioner

FAMILIES = {family.family: family for family in (WhisperCaptioner, AudioChat, TagsCaptioner)}
