"""Image captioners: what is seen, in words."""

from models.image_captioner.blip import BlipCaptioner
from models.image_captioner.florence2 import Florence2Captioner
from models.image_captioner.image_to_text import ImageToText
from models.image_captioner.vision_chat import VisionChat

FAMILIES = {family.family: family for family in (BlipCaptioner, Florence2Captioner, ImageToText, VisionChat)}
