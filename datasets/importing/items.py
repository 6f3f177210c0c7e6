"""What every importer does once it knows which files make a sample: writes them in the project's layout, and goes on
where it was stopped.

An importer lists `Item`s; `run_import` writes `image/ wav/ gt_seg/` (and `gt_ignore/` where pixels do not count) and
`manifest.json`. Files that need no change are hard links to the source, which is only ever read; each file appears
whole or not at all, and files that are there already are kept. A sample whose files cannot be read is left out, named
and counted, and the rest is written.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
from PIL import Image

from datasets.faults import check_command
from datasets.importing.sounds import Sound, to_pcm_16
from datasets.layout import IGNORE_FOLDER, IMAGE_SUFFIXES, MASK_FOLDER, SOUND_FOLDER, is_utf_8
from datasets.manifest import MANIFEST, UNFINISHED, Manifest, read_manifest_file, write_manifest
from datasets.processes import each, workers
from utils.errors import DISK_FULL, UserError
from utils.files import atomic_path, make_folder, remove_partials
from utils.media.masks import read_mask
from utils.media.reading import open_image
from utils.types import Entry

__all__ = ["Item", "MaskSource", "add_options", "parse_options", "print_summary", "run_import"]

NAMED_AT_MOST = 3  # samples in one message
LONGEST_NAME = 240  # bytes of a stem; file systems take 255 with a suffix and what `atomic_path` adds


class MaskSource(Protocol):
    """Where a sample's ground truth comes from; picklable.

    A source may also have a property `unchanged`: the file that already is what would be written (an 8-bit grey PNG of
    0 and 255), or None. That file is linked instead. One that reads a single file calls it `path`: a mask that is
    older than it is written again.
    """

    def read(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Reads the ground truth.

        Args:
            size: (H, W) of the image, for sources that have no size of their own.

        Returns:
            mask: (H, W) bool at its own size.
            ignore: (H, W) bool, pixels that must not count, or None.

        Raises:
            UserError: it cannot be read.
        """


@dataclass(frozen=True)
class Item:
    """One sample to be written.

    Attributes:
        id: its stem.
        image: file to link.
        sound: what to write as its sound; items next to each other with the same one share the file.
        mask: its ground truth.
        entry: what the manifest says of it; `blank` is found out here.
    """

    id: str
    image: Path
    sound: Sound
    mask: MaskSource
    entry: Entry


@dataclass(frozen=True)
class _Written:
    id: str
    blank: bool = False
    kept: bool = False
    problem: str = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options every importer has."""
    add = parser.add_argument
    add("--source", type=Path, required=True, metavar="DIR", help="the unpacked archive; only read")
    add("--out", type=Path, required=True, metavar="DIR", help="where image/ wav/ gt_seg/ manifest.json go")
    add("--copy", action="store_true", help="copy files that need no change; default: hard links where possible")
    add("--num_workers", type=workers, default=0, metavar="N", help="processes (default: %(default)s, this one)")


def parse_options(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line of an importer.

    Raises:
        UserError: --out is --source or lies in it, where an import would write to the archive.
    """
    arguments = parser.parse_args(argv)
    source, out = arguments.source, arguments.out.resolve()
    if source.exists() and any(path.exists() and path.samefile(source) for path in (out, *out.parents)):
        raise UserError(f"expected --out outside of --source, found {out} in {source}, which is only read")
    return arguments


def run_import(
    items: Sequence[Item], manifest: Manifest, out: Path, *, copy: bool = False, num_workers: int = 0
) -> Manifest:
    """Writes samples and their manifest.

    Args:
        items: all samples, those that share a sound next to each other.
        manifest: everything but `samples`; its `left_out` is extended.
        out: folder to write; goes on where an import with the same options was stopped.
        copy: copy what could be linked.
        num_workers: processes; the result is the same for any number.

    Returns:
        The manifest as written.

    Raises:
        UserError: nothing to import, or the folder holds something else.
    """
    from tqdm import tqdm

    if not items:
        raise UserError(f"expected samples of {manifest.benchmark} for {_said(manifest.options)}, found none")
    names = [*(item.id for item in items), *manifest.left_out]
    unfit = [ascii(name) for name in names if not is_utf_8(name)]
    unfit += [item.id for item in items if Path(item.id).name != item.id or item.id[:1] in ("", ".")]
    unfit += [item.id for item in items if len(item.id.encode(errors="replace")) > LONGEST_NAME]
    if unfit:
        raise UserError(
            f"expected names that can be file names, found {len(unfit)} that cannot ({_few(unfit)}); "
            "rename them in the source"
        )
    twice = sorted(name for name, times in Counter(item.id for item in items).items() if times > 1)
    if twice:
        raise UserError(f"expected one sample per name, found some twice ({_few(twice)}); the source lists them twice")
    _begin(items, manifest, out)
    units = [(out, copy, tuple(group)) for _, group in groupby(items, key=lambda item: item.sound)]
    entries, left_out, kept = {item.id: item.entry for item in items}, dict(manifest.left_out), 0
    with tqdm(total=len(items), unit="sample") as progress:
        for unit in each(_write_unit, units, num_workers):
            for written in unit:
                if written.problem:
                    left_out[written.id] = written.problem
                    del entries[written.id]
                else:
                    entries[written.id] = replace(entries[written.id], blank=written.blank)
                    kept += written.kept
            progress.update(len(unit))
    if kept:
        print(f"{kept} of {len(items)} samples were there already, no older than their sources, and are kept")
    _remove_others(out, [item for item in items if item.id in entries])
    manifest = replace(manifest, samples=entries, left_out=left_out)
    write_manifest(manifest, out)
    (out / UNFINISHED).unlink(missing_ok=True)
    remove_partials(out)
    return manifest


def print_summary(manifest: Manifest, out: Path) -> None:
    """Says what was imported, how it differs from what is published, and what to do next.

    Raises:
        UserError: samples were left out: their number and the first few.
    """
    counts = manifest.counts
    print(
        f"{manifest.benchmark}: {counts['samples']} samples in {counts['groups']} groups, {counts['categories']} "
        f"categories, {counts['blank_masks']} blank masks, written to {out}"
    )
    known = "; ".join(manifest.differences) or "as published"
    print(f"counts: {known if manifest.published else 'none are published that we know of'}")
    print(f"next: {check_command(out)}")
    if manifest.left_out:
        examples = [f"{name}: {why}" for name, why in sorted(manifest.left_out.items())]
        raise UserError(
            f"expected to read all {counts['samples'] + counts['left_out']} samples, found {counts['left_out']} that "
            f"cannot be read, which are left out ({_few(examples, '; ')}); {out / MANIFEST} names them all; mend the "
            "source and run the same command again, what is written is kept"
        )


def _begin(items: Sequence[Item], manifest: Manifest, out: Path) -> None:
    """Makes the folder ready, or refuses one that holds something else."""
    make_folder(out)
    there = read_manifest_file(out / UNFINISHED) or read_manifest_file(out / MANIFEST)
    wanted = (manifest.benchmark, json.loads(json.dumps(manifest.options)))  # tuples are lists in a file
    if there is not None and (there.benchmark, there.options) != wanted:
        raise UserError(
            f"expected an empty folder or one begun by this command at {out}, found {there.benchmark} "
            f"({_said(there.options)}); choose another --out"
        )
    if there is not None and there.source != json.loads(json.dumps(manifest.source)):
        lost = sorted(there.samples.keys() - {item.id for item in items} - manifest.left_out.keys())
        if lost:
            raise UserError(
                f"expected the samples of {out} in the source, found {len(lost)} that it does not have ({_few(lost)}): "
                f"they come from {there.source.get('folder', 'another one')}; choose another --out, or remove that one"
            )
    folders = ("image", SOUND_FOLDER, MASK_FOLDER)
    if there is None and any((out / name).exists() for name in folders):
        raise UserError(
            f"expected an empty folder or one begun by this command at {out}, found a data set without "
            f"{MANIFEST}; choose another --out"
        )
    write_manifest(replace(manifest, samples={}), out, UNFINISHED)  # first: it says whose the folders are
    for name in folders:
        make_folder(out / name)
    (out / MANIFEST).unlink(missing_ok=True)


def _write_unit(unit: tuple[Path, bool, tuple[Item, ...]]) -> list[_Written]:
    """Writes items that share one sound, the sound once."""
    out, copy, items = unit
    sound_paths = (out / SOUND_FOLDER / f"{item.id}.wav" for item in items)
    first_sound = next((path for path in sound_paths if _is_there(path, *items[0].sound.paths)), None)
    written = []
    for item in items:
        try:
            blank, kept = _write_image_and_mask(item, out, copy)
            path = out / SOUND_FOLDER / f"{item.id}.wav"
            if not _is_there(path, *item.sound.paths):
                kept = False
                if first_sound is not None:
                    _link(first_sound, path, copy)
                elif item.sound.unchanged:
                    _link(item.sound.paths[0], path, copy)
                else:
                    waveform, sampling_rate = item.sound.read()
                    with atomic_path(path) as partial_path:
                        soundfile.write(partial_path, to_pcm_16(waveform), sampling_rate, format="WAV")
            first_sound = path
            written.append(_Written(item.id, blank, kept))
        except UserError as error:
            written.append(_Written(item.id, problem=str(error)))
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            written.append(_Written(item.id, problem=f"cannot be read or written: {error}"))
    return written


def _write_image_and_mask(item: Item, out: Path, copy: bool) -> tuple[bool, bool]:
    """Returns whether the mask is blank, and whether both files were there already."""
    suffix = item.image.suffix.lower()
    image_path = out / "image" / f"{item.id}{suffix}"
    mask_path = out / MASK_FOLDER / f"{item.id}.png"
    mask_files = [path for path in (getattr(item.mask, "path", None),) if path is not None]
    kept_image, kept_mask = _is_there(image_path, item.image), _is_there(mask_path, *mask_files)
    if not kept_image or not kept_mask:
        if suffix not in IMAGE_SUFFIXES:
            known = " ".join(sorted(IMAGE_SUFFIXES))
            raise UserError(f"expected an image file ({known}) at {item.image}, found another kind; convert it")
        # decoded in full, so that a broken file is not linked; upright, as it will be read
        width, height = open_image(image_path if kept_image else item.image).size
    if not kept_image:
        _link(item.image, image_path, copy)
    if kept_mask:
        return not read_mask(mask_path).any(), kept_image
    mask, ignore = item.mask.read((height, width))
    if ignore is not None and ignore.any():
        if ignore.all():
            raise UserError("every pixel of its mask is to be ignored, so nothing is left to score")
        (out / IGNORE_FOLDER).mkdir(exist_ok=True)
        _save_mask(ignore, out / IGNORE_FOLDER / mask_path.name)  # before the mask, whose presence says both are done
        mask = mask & ~ignore
        _save_mask(mask, mask_path)
        return not mask.any(), False
    (out / IGNORE_FOLDER / mask_path.name).unlink(missing_ok=True)  # of an older source
    if unchanged := getattr(item.mask, "unchanged", None):
        _link(unchanged, mask_path, copy)
    else:
        _save_mask(mask, mask_path)
    return not mask.any(), False


def _save_mask(mask: np.ndarray, path: Path) -> None:
    with atomic_path(path) as partial_path:
        Image.fromarray(mask.astype(np.uint8) * 255).save(partial_path, format="PNG")


def _link(source: Path, path: Path, copy: bool) -> None:
    with atomic_path(path) as partial_path:
        if not copy:
            try:
                os.link(source.resolve(), partial_path)
                return
            except OSError:  # another file system, or one without hard links
                pass
        shutil.copyfile(source, partial_path)


def _is_there(path: Path, *sources: Path) -> bool:
    """Whether a file is written, and none of the sources that still exist was changed since."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    return all(source.stat().st_mtime <= path.stat().st_mtime for source in sources if source.exists())


def _remove_others(out: Path, items: Sequence[Item]) -> None:
    """What is no sample goes, so that the folder holds what its manifest names: samples left out, or gone since."""
    masks = {f"{item.id}.png" for item in items}
    kept = {
        "image": {f"{item.id}{item.image.suffix.lower()}" for item in items},
        SOUND_FOLDER: {f"{item.id}.wav" for item in items},
        MASK_FOLDER: masks,
        IGNORE_FOLDER: masks,
    }
    for folder, names in kept.items():
        for path in (out / folder).iterdir() if (out / folder).is_dir() else ():
            if path.name not in names and (path.is_symlink() or not path.is_dir()):
                path.unlink()


def _said(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items()) or "no options"


def _few(names: Sequence[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return separator.join(names[:NAMED_AT_MOST]) + more
