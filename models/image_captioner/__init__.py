"""Image captioners: what is seen, in words."""

from models.image_captioner.blip import BlipCaptioner

FAMILIES = {family.family: family for family in (BlipCaptioner,)}
