"""What is wrong with the images and sounds of a dataset, and what all findings are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets.check.pictures import PictureFacts
from datasets.check.sounds import SoundFacts
from datasets.faults import Finding, Severity, count
from datasets.layout import Layout
from datasets.manifest import Manifest
from utils.types import Entry

__all__ = ["Looked", "find_in_images", "find_in_sounds", "find_unreadable", "several"]

SMALL_SIDE = 32  # pixels; below it networks have next to nothing to see
SHORT_SECONDS = 0.5
CLIPPED_SHARE = 0.001


@dataclass(frozen=True)
class Looked:
    """A dataset folder and what was learnt of its files.

    Attributes:
        layout: its files.
        stems: the samples that were looked at.
        images, sounds, masks, ignores: stem -> facts, of samples and of files without partners.
        manifest: what it says of itself; None where it says nothing or cannot be read.
        entries: stem (Unicode NFC) -> entry of the manifest.
    """

    layout: Layout
    stems: tuple[str, ...]
    images: Mapping[str, PictureFacts]
    sounds: Mapping[str, SoundFacts]
    masks: Mapping[str, PictureFacts]
    ignores: Mapping[str, PictureFacts]
    manifest: Manifest | None
    entries: Mapping[str, Entry]

    def is_blank(self, stem: str) -> bool:
        """Whether a sample's mask is known to have no foreground."""
        facts = self.masks.get(stem)
        return facts is not None and facts.values is not None and facts.values.share == 0

    def of_role(self, role: str) -> Mapping[str, Any]:
        """Stem -> facts of "images", "sounds", "masks" or "ignores"."""
        return getattr(self, role)

    def name(self, role: str, stem: str) -> str:
        """A file's path within the folder."""
        return getattr(self.layout, role)[stem].relative_to(self.layout.root).as_posix()

    def names(self, role: str, applies: Callable[[Any], bool]) -> list[str]:
        """The files of a role whose facts are such, without those that cannot be read."""
        facts = self.of_role(role).items()
        return sorted(self.name(role, stem) for stem, fact in facts if not fact.problem and applies(fact))


def find_unreadable(looked: Looked) -> Iterator[Finding]:
    """Files that cannot be opened or decoded."""
    for role, noun in (("images", "image"), ("sounds", "sound"), ("masks", "mask"), ("ignores", "gt_ignore file")):
        names = [
            f"{looked.name(role, stem)}: {facts.problem}"
            for stem, facts in looked.of_role(role).items()
            if facts.problem
        ]
        advice = "copy or download them again, or convert them"
        yield from several("error", f"unreadable_{role}", noun, "that cannot be read", names, advice)


def find_in_images(looked: Looked) -> Iterator[Finding]:
    """Images that are tiny or turned."""
    small = looked.names("images", lambda facts: min(facts.size) < SMALL_SIDE)
    what = f"of less than {SMALL_SIDE} pixels on a side"
    yield from several("warning", "tiny_images", "image", what, small, "see whether thumbnails were taken for images")
    turned = looked.names("images", lambda facts: facts.orientation != 1)
    yield from several(
        "warning",
        "turned_images",
        "image",
        "turned by EXIF",
        turned,
        "they are read upright, and their masks must lie upright too: look at one",
    )


def find_in_sounds(looked: Looked) -> Iterator[Finding]:
    """Sounds that are cut, empty, short, clipped or silent."""
    cut = [f"{looked.name('sounds', stem)}: {facts.missing}" for stem, facts in looked.sounds.items() if facts.missing]
    what = "shorter than the header says"
    yield from several("error", "cut_sounds", "sound", what, cut, "copy or download them again")
    empty = looked.names("sounds", lambda facts: facts.seconds == 0)
    advice = "record or download them again; for silence, save zeros"
    yield from several("error", "empty_sounds", "sound", "without a single sample", empty, advice)
    short = looked.names("sounds", lambda facts: 0 < facts.seconds < SHORT_SECONDS)
    what = f"shorter than {SHORT_SECONDS:g} s"
    yield from several("warning", "short_sounds", "sound", what, short, "networks expect seconds: see whether cut")
    clipped = looked.names("sounds", lambda facts: facts.clipped is not None and facts.clipped >= CLIPPED_SHARE)
    what = "clipped at full scale"
    yield from several("warning", "clipped_sounds", "sound", what, clipped, "take quieter copies where there are any")
    silent = {stem for stem, facts in looked.sounds.items() if facts.silent and facts.seconds}
    blank = {stem for stem in silent if looked.is_blank(stem)}
    names = [looked.name("sounds", stem) for stem in silent - blank]
    advice = "methods answer them with an empty mask: see whether the recordings are right"
    yield from several("warning", "silent_sounds", "sound", "with nothing to hear", names, advice)
    names = [looked.name("sounds", stem) for stem in blank]
    yield from several("note", "silent_and_blank", "silent sound", "with a blank mask, as expected", names)


def several(
    severity: Severity, kind: str, noun: str, what: str, names: Sequence[str], advice: str = ""
) -> Iterator[Finding]:
    """One finding, "3 masks without foreground", where there are names; otherwise none."""
    if names:
        yield Finding(severity, kind, f"{count(len(names), noun)} {what}", tuple(sorted(names)), advice)
