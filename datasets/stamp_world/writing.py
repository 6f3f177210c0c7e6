"""Writes Stamps-AVS to a folder: whole files only, by any number of processes, going on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from datasets.manifest import MANIFEST, UNFINISHED, Manifest, write_manifest
from datasets.processes import each
from datasets.stamp_world.scenarios import Unit, World, compose
from datasets.stamp_world.sounds import SAMPLING_RATE
from utils.errors import UserError
from utils.files import atomic_path, make_folder
from utils.types import Entry

__all__ = ["write_samples"]

FOLDERS = ("image", "wav", "gt_seg")


def write_samples(units: Sequence[Unit], world: World, manifest: Manifest, out: Path, num_workers: int = 0) -> Manifest:
    """Writes samples and their manifest.

    Args:
        units: what to write.
        world: what they are made of.
        manifest: everything but `samples`.
        out: folder to write; files of finished samples are kept where it was begun with the same manifest.
        num_workers: processes besides this one; the bytes are the same for any number.

    Returns:
        The manifest as written.

    Raises:
        UserError: the folder holds something else, or cannot be written to.
    """
    from tqdm import tqdm

    _begin(manifest, out)
    entries: dict[str, Entry] = {}
    with tqdm(total=sum(len(unit.stems) for unit in units), unit="sample") as progress:
        for written in each(_write_unit, [(unit, world, out) for unit in units], num_workers):
            entries.update(written)
            progress.update(len(written))
    manifest = replace(manifest, samples=entries)
    write_manifest(manifest, out)
    (out / UNFINISHED).unlink()
    return manifest


def _begin(manifest: Manifest, out: Path) -> None:
    """Makes the folder ready, or refuses one that holds something else."""
    make_folder(out)
    wanted = {"benchmark": manifest.benchmark, "options": manifest.options, "source": manifest.source}
    for name in (UNFINISHED, MANIFEST):
        if (out / name).exists():
            found = _begun(out / name)
            for what, value in wanted.items():
                if found.get(what) != json.loads(json.dumps(value)):
                    raise UserError(
                        f"expected a folder begun with the {what} {json.dumps(value)} at {out}, found "
                        f"{json.dumps(found.get(what))} in {name}; choose another --out"
                    )
            break
    else:
        strange = [folder for folder in FOLDERS if (out / folder).is_dir() and any((out / folder).iterdir())]
        if strange:
            raise UserError(
                f"expected an empty folder or one begun by this command at {out}, found files in {strange[0]}/ and no "
                f"{MANIFEST}; choose another --out"
            )
    write_manifest(manifest, out, UNFINISHED)  # first, so that at any moment one of the two says what this is
    (out / MANIFEST).unlink(missing_ok=True)
    for folder in FOLDERS:
        make_folder(out / folder)


def _begun(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"expected a manifest at {path}, found a file that cannot be read ({error}); choose another --out"
        ) from error
    return found if isinstance(found, dict) else {}


def _write_unit(job: tuple[Unit, World, Path]) -> dict[str, Entry]:
    """Writes what is not there yet; stem -> entry of all."""
    unit, world, out = job
    entries = {}
    for stem, sample in zip(unit.stems, compose(unit, world), strict=True):
        image, wav, mask = (out / "image" / f"{stem}.jpg", out / "wav" / f"{stem}.wav", out / "gt_seg" / f"{stem}.png")
        if not image.exists():
            with atomic_path(image) as path:
                Image.fromarray(sample.image).save(path, format="JPEG", quality=90)
        if not mask.exists():
            with atomic_path(mask) as path:
                Image.fromarray(sample.mask.astype(np.uint8) * 255).save(path, format="PNG")
        if not wav.exists():
            with atomic_path(wav) as path:
                soundfile.write(path, sample.make_waveform(), SAMPLING_RATE, format="WAV", subtype="PCM_16")
        entries[stem] = sample.entry
    return entries
