"""What every importer does with the samples it lists: writes them as a dataset folder, going on where it was stopped.

`run_import` writes `image/ wav/ gt_seg/` (and `gt_ignore/` where pixels do not count) and `manifest.json`. Files that
need no change are hard links to the source, which is only ever read; each file appears whole or not at all, and files
that are there already are kept. A sample whose files cannot be read is left out, named and counted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from datasets.batches import parallel_map
from datasets.findings import NAMED_AT_MOST, check_command, some
from datasets.importing.ground_truth import MaskSource
from datasets.importing.sources import Sound
from datasets.layout import FOLDERS, IGNORE_FOLDER, IMAGE_SUFFIXES, MASK_FOLDER, SOUND_FOLDER, is_utf_8
from datasets.manifest import MANIFEST, Manifest, begin_folder, finish_folder
from datasets.masks import read_mask
from utils.cli import at_least
from utils.errors import DISK_FULL, UserError
from utils.files import atomic_path
from utils.media.drawing import grey, save_png
from utils.media.images import open_image
from utils.types import Entry

LONGEST_NAME = 240  # bytes of a stem; file systems take 255 with a suffix and what `atomic_path` adds


@dataclass(frozen=True)
class Item:
    """One sample to be written."""

    id: str  # its stem
    image: Path  # file to link
    sound: Sound  # items next to each other with the same one share the file
    mask: MaskSource
    entry: Entry  # what the manifest says of it; `blank` is found out here


def parse_options(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Adds the options every importer has and parses its command line.

    Raises:
        UserError: there is no --source, or --out is it or lies in it, where an import would write to the archive.
    """
    add = parser.add_argument
    add("--source", type=Path, required=True, metavar="DIR", help="the unpacked archive; only read")
    add("--out", type=Path, required=True, metavar="DIR", help="where image/ wav/ gt_seg/ manifest.json go")
    add("--copy", action="store_true", help="copy files that need no change; default: hard links where possible")
    add("--num_workers", type=at_least(0), default=0, metavar="N", help="processes (default: %(default)s, this one)")
    arguments = parser.parse_args(argv)
    source, out = arguments.source, arguments.out.resolve()
    if not source.is_dir():
        raise UserError(f"expected the unpacked archive at {source}, found no such folder; check --source")
    if any(path.exists() and path.samefile(source) for path in (out, *out.parents)):
        raise UserError(f"expected --out outside of --source, found {out} in {source}, which is only read")
    return arguments


def run_import(
    items: Sequence[Item], manifest: Manifest, out: Path, *, copy: bool = False, num_workers: int = 0
) -> Manifest:
    """Writes samples and their manifest, and returns that as written.

    Args:
        items: all samples, those that share a sound next to each other.
        manifest: everything but `samples`; its `left_out` is extended.
        out: folder to write; goes on where an import with the same options was stopped.
        copy: copy what could be linked.
        num_workers: processes; the result is the same for any number.

    Raises:
        UserError: nothing to import, or the folder holds something else.
    """
    if not items:
        raise UserError(f"expected samples of {manifest.benchmark} for {_said(manifest.options)}, found none")
    stems = [item.id for item in items]
    _check_names(stems, manifest.left_out)
    begin_folder(manifest, out, lambda there: _check_same(there, manifest, stems, out))
    units = [(out, copy, tuple(group)) for _, group in groupby(items, key=lambda item: item.sound)]
    entries, left_out, kept = {}, dict(manifest.left_out), 0
    with tqdm(total=len(items), unit="sample") as progress:
        for written, problems, were_there in parallel_map(_write_unit, units, num_workers):
            entries |= written
            left_out |= problems
            kept += were_there
            progress.update(len(written) + len(problems))
    if kept:
        print(f"{kept} of {len(items)} samples were there already, no older than their sources, and are kept")
    _remove_others(out, [item for item in items if item.id in entries])
    manifest = replace(manifest, samples=entries, left_out=left_out)
    finish_folder(manifest, out)
    return manifest


def import_and_report(
    items: Sequence[Item],
    manifest: Manifest,
    arguments: argparse.Namespace,
    lines: Callable[[Manifest], Iterable[str]] = lambda manifest: (),
) -> Manifest:
    """Where every importer's `main` ends: `run_import`; then prints `lines` on the manifest as written, and its counts.

    Raises:
        UserError: as `run_import`, or samples were left out.
    """
    out = arguments.out
    manifest = run_import(items, manifest, out, copy=arguments.copy, num_workers=arguments.num_workers)
    counts, differences = manifest.counts, "; ".join(manifest.differences) or "as published"
    print(
        *lines(manifest),
        f"{manifest.benchmark}: {counts['samples']} samples in {counts['groups']} groups, {counts['categories']} "
        f"categories, {counts['blank_masks']} blank masks, written to {out}",
        f"counts: {differences if manifest.published else 'none are published that we know of'}",
        f"next: {check_command(out)}",
        sep="\n",
    )
    if manifest.left_out:
        examples = [f"{name}: {why}" for name, why in sorted(manifest.left_out.items())[:NAMED_AT_MOST]]
        if len(manifest.left_out) > NAMED_AT_MOST:
            examples.append(f"and {len(manifest.left_out) - NAMED_AT_MOST} more")
        raise UserError(
            f"expected to read all {counts['samples'] + counts['left_out']} samples, found {counts['left_out']} that "
            f"cannot be read, which are left out ({'; '.join(examples)}); {out / MANIFEST} names them all; mend "
            "the source and run the same command again, what is written is kept"
        )
    return manifest


def _check_names(stems: Sequence[str], left_out: Iterable[str]) -> None:
    unfit = [ascii(name) for name in (*stems, *left_out) if not is_utf_8(name)]
    for stem in stems:
        if Path(stem).name != stem or stem[:1] in ("", ".") or len(stem.encode(errors="replace")) > LONGEST_NAME:
            unfit.append(stem)
    if unfit:
        raise UserError(
            f"expected names that can be file names, found {len(unfit)} that cannot ({some(unfit)}); "
            "rename them in the source"
        )
    twice = [stem for stem, times in Counter(stems).items() if times > 1]
    if twice:
        raise UserError(f"expected one sample per name, found some twice ({some(twice)}); the source lists them twice")


def _check_same(there: Manifest, manifest: Manifest, stems: Iterable[str], out: Path) -> None:
    """Refuses a folder of another benchmark or other options, and one whose samples this source does not have."""
    options, source = (json.loads(json.dumps(one)) for one in (manifest.options, manifest.source))  # tuples to lists
    if (there.benchmark, there.options) != (manifest.benchmark, options):
        raise UserError(
            f"expected an empty folder or one begun by this command at {out}, found {there.benchmark} "
            f"({_said(there.options)}); choose another --out"
        )
    lost = there.samples.keys() - set(stems) - manifest.left_out.keys()
    if lost and there.source != source:
        raise UserError(
            f"expected the samples of {out} in the source, found {len(lost)} that it does not have ({some(lost)}): "
            f"they come from {there.source.get('folder', 'another one')}; choose another --out, or remove that one"
        )


def _said(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items()) or "no options"


def _write_unit(unit: tuple[Path, bool, tuple[Item, ...]]) -> tuple[dict[str, Entry], dict[str, str], int]:
    """Writes items that share one sound: stem -> entry, stem -> why it is left out, how many were there already."""
    out, copy, items = unit
    sound_paths = (out / SOUND_FOLDER / f"{item.id}.wav" for item in items)
    shared = next((path for path in sound_paths if _is_there(path, *items[0].sound.paths)), None)
    entries, problems, kept = {}, {}, 0
    for item in items:
        sound_path = out / SOUND_FOLDER / f"{item.id}.wav"
        try:
            blank, is_kept = _write_image_and_mask(item, out, copy)
            if not _is_there(sound_path, *item.sound.paths):
                _write_sound(item.sound, sound_path, shared, copy)
                is_kept = False
        except UserError as error:
            problems[item.id] = str(error)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            problems[item.id] = f"cannot be read or written: {error}"
        else:
            entries[item.id] = replace(item.entry, blank=blank)
            kept, shared = kept + is_kept, sound_path
    return entries, problems, kept


def _write_sound(sound: Sound, path: Path, shared: Path | None, copy: bool) -> None:
    """Links a `shared` sound that is written already, or a recording that needs no change, and else writes it."""
    if shared is not None or sound.unchanged:
        _link(shared or sound.paths[0], path, copy)
        return
    waveform, sampling_rate = sound.read()
    samples = np.rint(waveform * 32768.0).clip(-32768, 32767).astype(np.int16)  # libsndfile itself rounds down
    with atomic_path(path) as partial_path:
        soundfile.write(partial_path, samples, sampling_rate, format="WAV")


def _write_image_and_mask(item: Item, out: Path, copy: bool) -> tuple[bool, bool]:
    """Returns whether the mask is blank, and whether both files were there already."""
    suffix = item.image.suffix.lower()
    image_path, mask_path = out / "image" / f"{item.id}{suffix}", out / MASK_FOLDER / f"{item.id}.png"
    ignore_path = out / IGNORE_FOLDER / mask_path.name
    mask_files = [item.mask.path] if getattr(item.mask, "path", None) else []
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
        mask, unchanged = mask & ~ignore, None
        ignore_path.parent.mkdir(exist_ok=True)
        save_png(grey(ignore), ignore_path)  # before the mask, whose presence says both are done
    else:
        unchanged = getattr(item.mask, "unchanged", None)
        ignore_path.unlink(missing_ok=True)  # of an older source
    if unchanged:
        _link(unchanged, mask_path, copy)
    else:
        save_png(grey(mask), mask_path)
    return not mask.any(), False


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
    kept = {f"image/{item.id}{item.image.suffix.lower()}" for item in items}
    for folder, suffix in ((SOUND_FOLDER, "wav"), (MASK_FOLDER, "png"), (IGNORE_FOLDER, "png")):
        kept |= {f"{folder}/{item.id}.{suffix}" for item in items}
    for folder in FOLDERS.values():
        for path in (out / folder).glob("*"):
            if f"{folder}/{path.name}" not in kept and (path.is_symlink() or not path.is_dir()):
                path.unlink()
