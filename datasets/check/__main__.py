"""Tells what is wrong with a dataset folder before hours go into scoring on it.

    python -m datasets.check DIR

names every kind of fault in one pass and stops at none: errors (eval.py cannot run, or its numbers would be wrong),
warnings (the numbers are right, but whoever reads them should know) and notes (facts). It ends with a digest, by which
two people see that they have the same data, and a verdict. `--fast` reads only headers, as eval.py does by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from datasets.check.dataset import digest_of, find_duplicates, find_in_manifest, find_numbers
from datasets.check.ground_truth import find_in_masks
from datasets.check.pictures import image_content, mask_content, picture_header
from datasets.check.samples import Looked, find_in_images, find_in_sounds, find_unreadable
from datasets.check.sounds import sound_content, sound_header
from datasets.check.survey import Look, survey
from datasets.faults import SEVERITIES, Finding, Report
from datasets.layout import Layout, read_layout
from datasets.manifest import MANIFEST, UNFINISHED, Manifest, read_manifest_file
from datasets.processes import workers
from utils.errors import UserError, run_script
from utils.files import make_folder, write_text_atomic

__all__ = ["check_contents", "check_headers", "main"]

HEADERS = {"images": picture_header, "sounds": sound_header, "masks": picture_header, "ignores": picture_header}
CONTENTS = {"images": image_content, "sounds": sound_content, "masks": mask_content, "ignores": mask_content}


def check_contents(root: str | os.PathLike, num_workers: int = 0) -> Report:
    """Decodes every file of a dataset folder.

    Args:
        root: the folder.
        num_workers: processes; 0 for this one. The report is the same for any number.

    Raises:
        UserError: there is no such folder, or it has no folder of images.
    """
    layout = read_layout(root)
    files = {role: getattr(layout, role) for role in CONTENTS}
    looked, manifest_faults = _look(layout, layout.stems, files, CONTENTS, num_workers)
    findings = [*layout.faults, *manifest_faults, *_find(looked), *find_duplicates(looked)]
    return Report(layout.root, "contents", len(looked.stems), _sorted(findings), digest_of(looked))


def check_headers(root: str | os.PathLike, limit: int | None = None, num_workers: int = 0) -> Report:
    """Reads the header of every file of a dataset folder.

    Args:
        root: the folder.
        limit: open only the files of the first so many samples; None for all files.
        num_workers: processes; 0 for this one. The report is the same for any number.

    Raises:
        UserError: there is no such folder, or it has no folder of images.
    """
    layout = read_layout(root)
    stems = layout.stems[:limit]
    files = {role: getattr(layout, role) for role in HEADERS}
    if limit is not None:
        files = {role: {stem: of_role[stem] for stem in stems if stem in of_role} for role, of_role in files.items()}
    looked, manifest_faults = _look(layout, stems, files, HEADERS, num_workers)
    return Report(layout.root, "headers", len(stems), _sorted([*layout.faults, *manifest_faults, *_find(looked)]))


def _look(
    layout: Layout,
    stems: Sequence[str],
    files: Mapping[str, Mapping[str, Path]],
    looks: Mapping[str, Look],
    num_workers: int,
) -> tuple[Looked, list[Finding]]:
    manifest, faults = _manifest_of(layout.root)
    entries = {} if manifest is None else manifest.samples
    return (
        Looked(
            layout=layout,
            stems=tuple(stems),
            **survey(files, looks, num_workers),
            manifest=manifest,
            entries={unicodedata.normalize("NFC", stem): entry for stem, entry in entries.items()},
        ),
        faults,
    )


def _manifest_of(root: Path) -> tuple[Manifest | None, list[Finding]]:
    if (root / UNFINISHED).exists():
        advice = "run the import's command again, it goes on where it stopped"
        return None, [
            Finding("error", "unfinished_import", f"an import that was not finished ({UNFINISHED})", (), advice)
        ]
    try:
        return read_manifest_file(root / MANIFEST), []
    except UserError as error:
        advice = "make the folder again, or move that file away"
        found = f"a {MANIFEST} that is none of this project ({error.__cause__})"
        return None, [Finding("error", "strange_manifest", found, (), advice)]


def _find(looked: Looked) -> Iterator[Finding]:
    for find in (find_unreadable, find_in_images, find_in_masks, find_in_sounds, find_in_manifest, find_numbers):
        yield from find(looked)


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def main(argv: Sequence[str] | None = None) -> Report:
    """Checks a folder, prints the report and writes it where that is asked for.

    Raises:
        UserError: there is no such folder, or the report cannot be written.
    """
    arguments = parse_arguments(argv)
    if arguments.json:
        make_folder(arguments.json.parent)
        if arguments.json.is_dir():
            raise UserError(f"expected a file to write at {arguments.json}, found a folder; add a file name")
    if arguments.fast:
        report = check_headers(arguments.folder, num_workers=arguments.num_workers)
    else:
        report = check_contents(arguments.folder, arguments.num_workers)
    print(report.text(None) if arguments.all else report.text())
    if arguments.json:
        write_text_atomic(arguments.json, json.dumps(report.values(), indent=1, ensure_ascii=False) + "\n")
    return report


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.check",
        description="Tells what is wrong with a dataset folder.",
        epilog="Exit code: 0 fit for eval.py, 1 not fit, 2 wrong command line or no such folder.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="holds image/ wav/ gt_seg/, paired by stem")
    add("--fast", action="store_true", help="read only headers: seconds, and no broken pixel or sample is found")
    add("--all", action="store_true", help="name every file, not the first three of each kind")
    add("--num_workers", type=workers, default=2, metavar="N", help="processes; 0 for one (default: %(default)s)")
    add("--json", type=Path, metavar="PATH", help="also write the report there, with every name")
    return parser.parse_args(argv)


def _run() -> None:
    if main().errors:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(run_script(_run))
