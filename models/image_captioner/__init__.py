"""Image captioners: what is seen, in words."""

from models.image_captioner.blip import BlipCaptioner
from models.image_captioner.classifier import ClassifierCaptioner
from models.image_captioner.florence2 import Florence2Captioner
from models.image_captioner.image_to_text import ImageToText
from models.image_captioner.vision_chat import VisionChat

CAPTIONERS = (BlipCaptioner, Florence2Captioner, ImageToText, VisionChat, ClassifierCaptioner)
FAMILIES = {family.family: family for family in CAPTIONERS}
