"""Segmenters: queries to soft maps in the image's own pixel frame."""

from models.segmenter.asda import AsdaSegmenter
from models.segmenter.class_map import ClassMapSegmenter
from models.segmenter.clipseg import ClipSegmenter
from models.segmenter.grounded_sam import GroundedSamSegmenter
from models.segmenter.sam3 import Sam3Segmenter
from models.segmenter.sam_clip import SamClipSegmenter

SEGMENTERS = (ClipSegmenter, GroundedSamSegmenter, SamClipSegmenter, Sam3Segmenter, AsdaSegmenter, ClassMapSegmenter)
FAMILIES = {family.family: family for family in SEGMENTERS}
