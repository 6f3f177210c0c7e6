"""Tells what is wrong with a dataset folder before hours go into scoring on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets.batches import parallel_map
from datasets.check.dataset import digest_of, find_duplicates, find_in_manifest, find_numbers
from datasets.check.pictures import image_content, mask_content, picture_header
from datasets.check.samples import Survey, find_in_images, find_in_masks, find_in_sounds, find_unreadable
from datasets.check.sounds import sound_content, sound_header
from datasets.findings import SEVERITIES, Depth, Finding, Report
from datasets.labels import LABELS, look_at_labels
from datasets.layout import Layout, read_layout
from datasets.manifest import MANIFEST, UNFINISHED, Manifest, labelled, read_manifest_file, refuse_both
from utils.errors import UserError

Look = Callable[[Path], Any]  # from a file to its facts: a module's function, picklable; raises nothing
HEADERS = {"images": picture_header, "sounds": sound_header, "masks": picture_header, "ignores": picture_header}
CONTENTS = {"images": image_content, "sounds": sound_content, "masks": mask_content, "ignores": mask_content}
FINDERS = (find_unreadable, find_in_images, find_in_masks, find_in_sounds, find_in_manifest, find_numbers)
AT_A_TIME = 16  # files handed to a process


def check_contents(root: str | os.PathLike, num_workers: int = 0) -> Report:
    """Decodes every file of a dataset folder; arguments and errors are those of `check_headers`."""
    return _check(root, "contents", None, num_workers)


def check_headers(root: str | os.PathLike, limit: int | None = None, num_workers: int = 0) -> Report:
    """Reads the header of every file of a dataset folder, as eval.py does by itself.

    Args:
        root: the folder.
        limit: open only the files of the first so many samples; None for all files.
        num_workers: processes; 0 for this one. The report is the same for any number.

    Raises:
        UserError: there is no such folder, or it has none of a dataset's.
    """
    return _check(root, "headers", limit, num_workers)


def _check(root: str | os.PathLike, depth: Depth, limit: int | None, num_workers: int) -> Report:
    layout = read_layout(root)
    stems, files = layout.stems[:limit], layout.files
    if limit is not None:
        files = {role: {stem: of_role[stem] for stem in stems if stem in of_role} for role, of_role in files.items()}
    manifest, faults = _manifest_of(layout)
    facts = _facts(files, HEADERS if depth == "headers" else CONTENTS, num_workers)
    survey = Survey(layout, tuple(stems), facts, manifest)
    findings = [*layout.faults, *faults, *(finding for find in FINDERS for finding in find(survey))]
    if depth == "contents":
        findings += find_duplicates(survey)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(layout.root, depth, len(stems), tuple(findings), digest_of(survey) if depth == "contents" else None)


def _manifest_of(layout: Layout) -> tuple[Manifest | None, list[Finding]]:
    root = layout.root
    if (root / UNFINISHED).exists():
        found = f"an import that was not finished ({UNFINISHED})"
        advice = "run the import's command again, it goes on where it stopped"
        return None, [Finding("error", "unfinished_import", found, (), advice)]
    try:
        if not (root / LABELS).exists():
            return read_manifest_file(root / MANIFEST), []
        refuse_both(root)
        entries, faults = look_at_labels(root / LABELS)
        advice = f"mend {LABELS}, or move it away"
        found = [Finding("error", "strange_labels", f"{LABELS} with {one}", (), advice) for one in faults]
        return labelled(root, entries, layout.files["images"]), found
    except UserError as error:
        if (root / LABELS).exists():
            said, _, advice = str(error).rpartition("; ")
            return None, [Finding("error", "strange_labels", said, (), advice)]
        found = f"a {MANIFEST} that is none of this project ({error.__cause__})"
        advice = "make the folder again, or move that file away"
        return None, [Finding("error", "strange_manifest", found, (), advice)]


def _facts(files: Mapping[str, Mapping[str, Path]], looks: Mapping[str, Look], num_workers: int) -> dict[str, dict]:
    """Role -> stem -> facts; hard links to one file are looked at once."""
    same = {(role, stem): (role, _identity(path)) for role, of_role in files.items() for stem, path in of_role.items()}
    first = {key: files[role][stem] for (role, stem), key in reversed(same.items())}
    jobs = [(looks[role], path) for (role, _), path in first.items()]
    progress = {"total": len(jobs), "unit": "file", "delay": 2, "mininterval": 0.5, "leave": False}
    every = tqdm(parallel_map(_look, jobs, num_workers, AT_A_TIME), disable=None, **progress)  # seen on a terminal
    facts = dict(zip(first, every, strict=True))
    return {role: {stem: facts[same[role, stem]] for stem in of_role} for role, of_role in files.items()}


def _identity(path: Path) -> tuple:
    """What hard links to one file have in common."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino or str(path)
    except OSError:
        return (str(path),)


def _look(job: tuple[Look, Path]) -> Any:
    look, path = job
    return look(path)
