"""Audio-text encoders: sounds and sentences in one space."""

FAMILIES = {  # imported only where one is asked for
    "clap": "models.audio_text.clap:ClapEncoder",
    "pe_av": "models.audio_text.pe_av:PeAvEncoder",
    "pe_av_pictures": "models.audio_text.pe_av_pictures:PeAvPicturesEncoder",
    "msclap": "models.audio_text.msclap:MsClapEncoder",
    "auto": "models.audio_text.auto:AutoAudioTextEncoder",
    "sound_names": "models.audio_text.sound_names:SoundNameEncoder",
}
