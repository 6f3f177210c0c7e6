"""What is wrong with the ground truth of a dataset: masks and ignored pixels, by themselves and over their images."""

from __future__ import annotations

from collections.abc import Iterator

from datasets.check.samples import Looked, several
from datasets.faults import Finding
from utils.runs.engine import EVAL_SIZE

__all__ = ["find_in_masks"]

SCORED = f"{EVAL_SIZE[1]} x {EVAL_SIZE[0]}"
AS_READ = "save masks as 8-bit grey PNG of 0 and 255"
VALUES = (  # severity, kind, reading, what, advice
    (
        "error",
        "labels_and_255",
        "labels and ignore",
        "with labels and the highest value, which looks like an ignore label and would be read as foreground",
        "use the dataset's importer, or move those pixels to gt_ignore and save the others as 0 and 255",
    ),
    (
        "error",
        "lossy_labels",
        "lossy labels",
        "compressed with loss and too dark to have foreground, which starts at 128",
        f"make them anew from lossless label maps: {AS_READ}",
    ),
    (
        "warning",
        "label_maps",
        "labels",
        "with numbers below 128, read as a label map: every number but 0 is foreground",
        f"where only some labels are meant, {AS_READ}",
    ),
    ("warning", "soft_masks", "soft", "with grey levels, cut in the middle of their range", AS_READ),
    ("warning", "colour_masks", "colours", "in colour, where every colour but black is foreground", AS_READ),
    ("warning", "lossy_masks", "lossy", "compressed with loss, cut at 128", AS_READ),
    ("note", "zero_one_masks", "0 and 1", "of 0 and 1, where 1 is foreground", ""),
)


def find_in_masks(looked: Looked) -> Iterator[Finding]:
    """Masks that do not lie over their images, that are read otherwise than meant, or that hold nothing or all."""
    for role, noun in (("masks", "mask"), ("ignores", "gt_ignore file")):
        yield from _sizes(looked, role, noun)
        yield from _values(looked, role, noun)
    yield from _areas(looked)
    if not looked.layout.has_gt:
        found = f"no folder gt_seg in {looked.layout.root}, and without ground truth there is no score"
        yield Finding("error", "no_gt", found, (), "add the masks")


def _sizes(looked: Looked, role: str, noun: str) -> Iterator[Finding]:
    scaled, across, other = [], [], []
    for stem, facts in looked.of_role(role).items():
        image = looked.images.get(stem)
        if image is None or image.size is None or facts.size is None or facts.size == image.size:
            continue
        (height, width), (image_height, image_width) = facts.size, image.size
        name = f"{looked.name(role, stem)}: {width}x{height} over {image_width}x{image_height}"
        if facts.size == image.size[::-1]:
            across.append(name)
        elif abs(width * image_height - height * image_width) <= max(image.size):  # one pixel of rounding
            scaled.append(name)
        else:
            other.append(name)
    what = "with width and height swapped against the image"
    advice = "turn them as the images' EXIF orientation says"
    yield from several("error", f"{role}_across", noun, what, across, advice)
    advice = "make them anew from the image in the folder, or take the image they were made for"
    yield from several("error", f"{role}_of_other_shape", noun, "of another shape than the image", other, advice)
    what = "of another size than the image, but of its shape"
    yield from several("warning", f"{role}_resized", noun, what, scaled, "they are resized, nearest neighbour")


def _values(looked: Looked, role: str, noun: str) -> Iterator[Finding]:
    for severity, kind, reading, what, advice in VALUES:
        names = [
            looked.name(role, stem) + (f": {facts.values.shown}" if facts.values.shown else "")
            for stem, facts in looked.of_role(role).items()
            if facts.values is not None and facts.values.reading == reading
        ]
        kind = kind if role == "masks" else f"{kind}_in_ignore"
        yield from several(severity, kind, noun, what, names, advice)


def _areas(looked: Looked) -> Iterator[Finding]:
    blank = {stem for stem in looked.masks if looked.is_blank(stem)}
    known = {stem for stem in blank if stem in looked.entries and looked.entries[stem].blank}
    silent = {stem for stem in blank if stem in looked.sounds and looked.sounds[stem].silent}
    mistaken = {stem for stem in blank if looked.masks[stem].values.reading == "lossy labels"}  # an error already
    names = [looked.name("masks", stem) for stem in blank - known - silent - mistaken]
    advice = "J and F count 0 there whatever is answered: see whether nothing is meant"
    yield from several("warning", "blank_masks", "mask", "without foreground", names, advice)
    names = [looked.name("masks", stem) for stem in known]
    yield from several("note", "known_blank_masks", "mask", "without foreground, as the manifest says", names)
    full = looked.names("masks", lambda facts: facts.values is not None and facts.values.share == 1)
    yield from several("warning", "full_masks", "mask", "covering the whole image", full, "see whether inverted")
    lost = looked.names(
        "masks", lambda facts: facts.values is not None and facts.values.share > 0 and facts.values.share_scored == 0
    )
    what = f"with so little foreground that none is left at {SCORED}, where scores are taken"
    yield from several("warning", "lost_foreground", "mask", what, lost, "they count as masks without foreground")
    all_ignored = looked.names("ignores", lambda facts: facts.values is not None and facts.values.share_scored == 1)
    what = f"without a pixel left to score at {SCORED}"
    yield from several("error", "ignores_everything", "gt_ignore file", what, all_ignored, "remove the samples")
