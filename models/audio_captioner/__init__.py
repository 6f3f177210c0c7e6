"""Audio captioners: one sentence on what a sound is."""

FAMILIES = {  # imported only where one is asked for
    "whisper": "models.audio_captioner.whisper:WhisperCaptioner",
    "audio_chat": "models.audio_captioner.audio_chat:AudioChat",
    "tags": "models.audio_captioner.tags:TagsCaptioner",
}
