"""Segmenters: queries to soft maps in the image's own pixel frame."""

FAMILIES = {  # imported only where one is asked for
    "clipseg": "models.segmenter.clipseg:ClipSegmenter",
    "grounded_sam": "models.segmenter.grounded_sam:GroundedSamSegmenter",
    "sam_clip": "models.segmenter.sam_clip:SamClipSegmenter",
    "sam3": "models.segmenter.sam3:Sam3Segmenter",
    "asda": "models.segmenter.asda:AsdaSegmenter",
    "class_map": "models.segmenter.class_map:ClassMapSegmenter",
}
