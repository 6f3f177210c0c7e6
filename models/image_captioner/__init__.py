"""Image captioners: what is seen, in words."""

FAMILIES = {  # imported only where one is asked for
    "blip": "models.image_captioner.image_to_text:BlipCaptioner",
    "florence2": "models.image_captioner.image_to_text:Florence2Captioner",
    "image_to_text": "models.image_captioner.image_to_text:ImageToText",
    "vision_chat": "models.image_captioner.vision_chat:VisionChat",
    "classifier": "models.image_captioner.classifier:ClassifierCaptioner",
}
