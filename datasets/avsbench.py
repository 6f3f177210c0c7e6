"""AVSBench-object's two subsets, S4 and MS3, as a dataset folder: one sample per frame that has a mask.

    python -m datasets.avsbench --subset s4|ms3 --source DIR --out DIR [--split test]

A stem is CLIP_K, the K-th frame of a clip, in both subsets (MS3's own frames are called CLIP.mp4_K.png). Which clips
there are is the list's word; a file that a listed clip lacks leaves its frame out. `datasets/cards/avsbench.md` says
where to get the archive and what its scores can be compared with.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.findings import some
from datasets.importing import Entry, Item, Manifest, Sound, import_and_report, parse_options
from datasets.importing.ground_truth import MaskFile
from utils.cli import Parser
from utils.errors import UserError, run_script

SUBSETS = {"s4": "AVSBench-S4", "ms3": "AVSBench-MS3"}
SPLITS = ("train", "val", "test")
FOLDERS = ("visual_frames", "gt_masks", "audio_wav")
PAGE = "https://opennlplab.github.io/AVSBench/"
CARD = "datasets/cards/avsbench.md"
CLIP_COLUMNS = ("name", "video_name", "video name", "video_id")  # else the first
PUBLISHED = {  # clips, and how many of a clip's frames have a mask: in all the archive's 10,852 and 2,120 masks
    **{("s4", "train"): (3452, 1), ("s4", "val"): (740, 5), ("s4", "test"): (740, 5)},
    **{("ms3", "train"): (296, 5), ("ms3", "val"): (64, 5), ("ms3", "test"): (64, 5)},
}
NOTES = (
    "Sounds are one channel, the mean of the clip's; all frames of a clip have the clip's whole sound.",
    "Masks are 0 and 255: whatever is not background sounds. Images are the archive's own files.",
    "Frames of a clip are not independent: a clip is a group.",
)


@dataclass(frozen=True)
class Clip:
    """A line of the list."""

    id: str  # the name of its folder
    split: str  # one of SPLITS
    category: str = ""  # what sounds, e.g. "dog_barking"; "" in MS3, which does not say

    @property
    def folder(self) -> Path:
        """Where its masks lie below gt_masks, and its frames and its sound in S4."""
        return Path(self.split, self.category, self.id)


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Imports what a command line describes; ends in a `UserError` where the archive is not as published."""
    parser = Parser(prog="python -m datasets.avsbench", description=__doc__.splitlines()[0])
    parser.add_argument("--subset", choices=SUBSETS, required=True, help="single source or multiple sources")
    parser.add_argument("--split", choices=SPLITS, default="test", help="(default: %(default)s)")
    arguments = parse_options(parser, argv)
    subset, split = arguments.subset, arguments.split
    data, clip_list = find_archive(arguments.source, subset)
    listed = read_clips(clip_list, subset)
    clips = [clip for clip in listed if clip.split == split]
    if not clips:
        found = some({clip.split for clip in listed}) or "no clips"
        raise UserError(f"expected clips of the split {split} in {clip_list}, found {found}; choose another --split")
    notes, published = [*NOTES], PUBLISHED[subset, split]
    if (subset, split) == ("s4", "train"):
        notes.append("Only the first frame of a training clip has a mask; the others are no samples.")
    if subset == "ms3":
        notes.append("Frames where nothing sounds have blank masks and are samples too.")
    unlisted = unlisted_clips(data, subset, split, clips)
    if unlisted:
        said = f"{len(unlisted)} ({some(unlisted)})"
        notes.append(f"Clip folders that {clip_list.name} does not name are left alone: {said}.")
    manifest = Manifest(
        benchmark=SUBSETS[subset],
        source={"folder": str(data), "list": str(clip_list), "page": PAGE},
        options={"subset": subset, "split": split},
        group_unit="clip",
        published={"samples": published[0] * published[1], "groups": published[0]},
        notes=tuple(notes),
    )
    items = list_items(data, subset, clips)
    return import_and_report(items, manifest, arguments, lambda _: [f"note: {notes[-1]}"] if unlisted else [])


def find_archive(source: Path, subset: str) -> tuple[Path, Path]:
    """Finds a subset in the folder that was unpacked, one of its parents, or s4_data / ms3_data itself.

    Returns:
        The folder of visual_frames, gt_masks and audio_wav, and s4_meta_data.csv / ms3_meta_data.csv.
    """
    if not source.is_dir():
        raise UserError(f"expected the unpacked archive at {source}, found no folder; check the path, or see {CARD}")
    name, csv_name = f"{subset}_data", f"{subset}_meta_data.csv"
    folders = [source, *(match for depth in ("", "*/", "*/*/") for match in sorted(source.glob(depth + name)))]
    found = [folder for folder in folders if (folder / "gt_masks").is_dir() and "__MACOSX" not in folder.parts]
    if len(found) != 1:
        folders_there = some(path.name for path in source.iterdir() if path.is_dir()) or "no folder"
        what = f"several ({', '.join(map(str, found))})" if found else f"none ({source} holds {folders_there})"
        raise UserError(f"expected one folder {name} with gt_masks in or below {source}, found {what}; see {CARD}")
    data = found[0]
    missing = [folder for folder in FOLDERS if not (data / folder).is_dir()]
    if missing:
        raise UserError(
            f"expected the folders {', '.join(FOLDERS)} in {data}, found no {' and no '.join(missing)}; masks alone "
            f"are not the whole archive, {CARD} says where frames and sounds are"
        )
    for folder in (data, data.parent, source):
        if (folder / csv_name).is_file():
            return data, folder / csv_name
    raise UserError(f"expected the list {csv_name} beside {data} or in it, found none; copy it there, see {CARD}")


def read_clips(path: Path, subset: str) -> list[Clip]:
    """Reads the list of clips, of whichever line ends, separator and names of columns; raises `UserError`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        first_line = lines[0] if lines else ""
        rows = list(csv.reader(lines, delimiter=max(",;\t", key=first_line.count)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"expected a list in UTF-8 in {path}, found something else ({error}); save it so") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if "split" not in header or (subset == "s4" and len(header) < 3):
        wanted = "clip, start, category and split" if subset == "s4" else "clip and split"
        raise UserError(
            f"expected columns for {wanted} in the first line of {path}, found {first_line.strip()!r}; take the list "
            "that comes with the archive"
        )
    columns = [next((header.index(name) for name in CLIP_COLUMNS if name in header), 0), header.index("split")]
    if subset == "s4":
        columns.append(header.index("category") if "category" in header else 2)
    clips = []
    for number, row in enumerate(rows[1:], start=2):
        values = [value.strip() for value in row]
        if not any(values):
            continue
        if len(values) < len(header) or not all(values[column] for column in (columns[0], *columns[2:])):
            raise UserError(
                f"expected {len(header)} values in line {number} of {path}, found {','.join(row)!r}; mend it"
            )
        clip, split, *category = (values[column] for column in columns)
        clips.append(Clip(clip, split.lower(), *category))
    return clips


def list_items(data: Path, subset: str, clips: Sequence[Clip]) -> list[Item]:
    """The frames that have a mask: all five, and only the first in S4's training split."""
    items = []
    for clip in clips:
        frames, sounds, frame_name = data / "visual_frames" / clip.folder, data / "audio_wav" / clip.folder, clip.id
        if subset == "ms3":
            frames, frame_name = data / "visual_frames" / clip.id, f"{clip.id}.mp4"
        sound = Sound((sounds.with_name(f"{clip.id}.wav"),))
        entry = Entry(group=clip.id, categories=(clip.category,) if clip.category else ())
        for k in range(1, 1 + PUBLISHED[subset, clip.split][1]):
            mask = MaskFile(data / "gt_masks" / clip.folder / f"{clip.id}_{k}.png")
            items.append(Item(f"{clip.id}_{k}", frames / f"{frame_name}_{k}.png", sound, mask, entry))
    return items


def unlisted_clips(data: Path, subset: str, split: str, clips: Sequence[Clip]) -> list[str]:
    """Folders of masks of a split, relative to it, that the list does not name."""
    root = data / "gt_masks" / split
    listed = {root.parent / clip.folder for clip in clips}
    found = root.glob("*/*" if subset == "s4" else "*")
    return sorted(str(path.relative_to(root)) for path in found if path.is_dir() and path not in listed)


if __name__ == "__main__":
    sys.exit(run_script(main))
