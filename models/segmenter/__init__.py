"""Segmenters: queries to soft maps in the image's own pixel frame."""

from models.segmenter.clipseg import ClipSegmenter

FAMILIES = {family.family: family for family in (ClipSegmenter,)}
