"""Audio taggers: which of its labels a network hears in a sound."""

FAMILIES = {  # imported only where one is asked for
    "audio_classification": "models.audio_tagger.audio_classification:AudioClassifier",
    "soundnet": "models.audio_tagger.soundnet:SoundNetTagger",
}
