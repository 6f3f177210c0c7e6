"""What people give to the checker and the evaluation: folders, manifests, names, settings, output folders."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.attacks.case import KEEP, OUT, Case, Judge, Words
from tests.attacks.demo_inputs import LONGER
from tests.attacks.endings import either, ends_well, finds, fit, neat_rows, refuses, scores, unfit
from tests.attacks.faulty_folders import (
    ALL,
    BAD,
    DATA,
    FOUND,
    HEARD_OTHERWISE,
    NO_IMAGE,
    PNG,
    READ_OTHERWISE,
    STEMS,
    TRAP,
    WAV,
    Change,
    checking,
    evaluating,
    folder_with,
    holding,
    labels,
    mask,
    moved,
    sounding,
    spoilt,
    untouched,
    with_a_value,
    with_manifest,
    without,
)
from tests.attacks.pictures import NOT_FINITE, png_that_announces
from tests.attacks.sounds import patched
from tests.datasets.check.check_folders import add_sample, picture, save_mask


def changed_manifest(change: Callable[[dict[str, Any]], object]) -> Change:
    """A manifest in which something is of a wrong kind."""

    def write(root: Path) -> None:
        with_manifest(root)
        values = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        change(values)
        (root / "manifest.json").write_text(json.dumps(values), encoding="utf-8")

    return write


def entry_with(**values: Any) -> Change:
    return changed_manifest(lambda manifest: manifest["samples"][BAD].update(values))


def raw_manifest(content: bytes) -> Change:
    return holding("manifest.json", content)


MANIFESTS: dict[str, Change] = {  # none is a manifest
    "a word for categories": entry_with(categories="dog"),
    "numbers and words for categories": entry_with(categories=["dog", 3, None]),
    "a word for blank": entry_with(blank="no"),
    "nothing for the group": entry_with(group=None),
    "a list for the group": entry_with(group=["a", "b"]),
    "a list for details": entry_with(details=["a"]),
    "half a letter in a category": entry_with(categories=["\ud800"]),
    "half a letter in a group": entry_with(group="\udfff"),
    "a list of samples": changed_manifest(lambda manifest: manifest.update(samples=["a", "b", "c"])),
    "a word for an entry": changed_manifest(lambda manifest: manifest["samples"].update(b="dog")),
    "words for published counts": changed_manifest(lambda manifest: manifest.update(published={"samples": "many"})),
    "a word for notes": changed_manifest(lambda manifest: manifest.update(notes="careful")),
    "another version": changed_manifest(lambda manifest: manifest.update(manifest=2)),
    "a list": raw_manifest(b"[]"),
    "null": raw_manifest(b"null"),
    "nothing": raw_manifest(b""),
    "not UTF-8": raw_manifest('{"manifest": 1, "benchmark": "café"}'.encode("latin-1")),
    "nested deeply": raw_manifest(b'{"manifest": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a number of 5000 digits": raw_manifest(b'{"manifest": ' + b"9" * 5000 + b"}"),
    "a folder": lambda root: (root / "manifest.json").mkdir(),
}


def renamed(stem: str) -> Change:
    """The middle sample under another name."""

    def change(root: Path) -> None:
        for path in (root / "image/b.png", root / WAV, root / PNG):
            path.rename(path.with_name(stem + path.suffix))

    return change


def spelt_twice(root: Path) -> None:
    """One name in two spellings that look alike."""
    for path in (root / "image/b.png", root / WAV, root / PNG):
        form = "NFD" if path.suffix == ".wav" else "NFC"
        path.rename(path.with_name(unicodedata.normalize(form, "café") + path.suffix))


def left_behind(root: Path) -> None:
    """What file managers leave."""
    for name in ("image/Thumbs.db", "wav/.DS_Store", "gt_seg/desktop.ini", "image/._a.png"):
        (root / name).write_bytes(b"\0")


def capitals(root: Path) -> None:
    for path in (root / "image/b.png", root / WAV, root / PNG):
        path.rename(path.with_suffix(path.suffix.upper()))


def annexed(root: Path) -> None:
    """A folder of links, as annexes have them."""
    shutil.move(root / "wav", root / "store")
    (root / "wav").mkdir()
    for path in (root / "store").iterdir():
        (root / "wav" / path.name).symlink_to(path)


NAMES: dict[str, tuple[Change, Sequence[str]]] = {  # change -> the samples that are scored
    "one name in two spellings": (spelt_twice, ("a", "café", "c")),
    "dots": (renamed("b.mp4_3.1"), ("a", "b.mp4_3.1", "c")),
    "capital suffixes": (capitals, STEMS),
    "what file managers leave": (left_behind, STEMS),
    "links": (annexed, STEMS),
    "a folder called img": (moved("image", "img"), STEMS),
    "a comma and quotes": (renamed('b, "the\' second"'), ("a", 'b, "the\' second"', "c")),
    "a line break": (renamed("b\nb"), ("a", "b\nb", "c")),
    "letters of elsewhere": (renamed("犬🐕"), ("a", "犬🐕", "c")),
    "a dash in front": (renamed("-b"), ("-b", "a", "c")),
    "markup": (renamed("<script>alert(1)<"), ("a", "<script>alert(1)<", "c")),
    "240 bytes": (renamed("b" * 240), ("a", "b" * 240, "c")),
    "capital and small": (lambda root: add_sample(root, "B", 9), ("B", *STEMS)),
}
FORMULA = "=cmd|' 'C'!A0"


Before = Callable[[Path, Callable[[Words], None]], None]  # as in `Case`


def ran(*further: str) -> Before:
    """A run that ended well."""
    return lambda folder, run: run(evaluating(*further))


def mended(folder: Path, run: Callable[[Words], None]) -> None:
    """A run over a spoilt image, which is mended afterwards."""
    run(evaluating("--batch_size", "1"))
    picture(1).save(folder / DATA / "image/b.png")


def linked_results(folder: Path, run: Callable[[Words], None]) -> None:
    """A run whose results are replaced by links to a letter."""
    run(evaluating())
    (folder / "letter.txt").write_text(LETTER)
    for path in list((folder / OUT).glob("*")):
        if path.is_file():
            path.unlink()
            path.symlink_to("../letter.txt")


def lying(path: str, content: str) -> Before:
    """Something of the user's."""

    def write(folder: Path, run: Callable[[Words], None]) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)

    return write


def one_pixel(root: Path) -> None:
    picture(3, (1, 1)).save(root / "image/b.png")
    save_mask(root, BAD, ALL[:1, :1])


LETTER = "Dear Sir or Madam,\n"
NOT_A_NUMBER = sounding(with_a_value(np.nan), "FLOAT")
SKIPPING = evaluating("--skip_faults")
OTHER = ("--methods", "everything")
JOURNAL = f"{OUT}/unfinished/run.json"
WRONG_WORDS: dict[str, tuple[Words, Sequence[str]]] = {  # the words, and what the refusal names
    "a limit of 0": (evaluating("--limit", "0"), ["limit"]),
    "a batch of 0": (evaluating("--batch_size", "0"), ["batch_size"]),
    "shard 3 of 2": (evaluating("--shard", "3/2"), ["shard"]),
    "-1 workers": (evaluating("--num_workers", "-1"), ["num_workers"]),
    "-1 draws": (evaluating("--draws", "-1"), ["draws"]),
    "a million million draws": (evaluating("--draws", "1000000000000"), ["draws"]),
    "a seed of -1": (evaluating("--seed", "-1"), ["seed"]),
    "a threshold that is no number": (evaluating("--threshold", "nan"), ["threshold"]),
    "an unknown method": (evaluating("--methods", "magic"), ["magic"]),
    "an unknown baseline": (evaluating("--baselines", "magic"), ["magic"]),
    "an unknown protocol": (evaluating("--protocols", "magic"), ["magic"]),
    "an unknown control": (evaluating("--audio_control", "loud"), ["loud"]),
    "a cache in a file": (evaluating("--cache", f"{DATA}/{PNG}"), ["b.png|cache"]),
    "a wrong setting of another method": (evaluating("--set", "text_inversion.steps=-1"), ["steps"]),
    "no such folder": (evaluating(data="gone"), ["gone"]),
    "a folder with a long name": (evaluating(data=LONGER), [LONGER]),
    "a file for the folder": (evaluating(data=f"{DATA}/{PNG}"), ["b.png"]),
    "a folder of something else": (evaluating(data=f"{DATA}/wav"), ["wav", "image"]),
    "results in a file": (evaluating("--output_dir", f"{DATA}/{PNG}"), ["b.png"]),
    "results in a folder with a long name": (evaluating("--output_dir", LONGER), [LONGER]),
    "results where none can be written": (evaluating("--output_dir", "/proc/out"), ["/proc/out"]),
}
BAD_SAMPLES: dict[str, tuple[Change, Words, Judge]] = {  # in the middle
    "a header that lies": (holding("image/b.png", png_that_announces(60000, 60000)), evaluating(), refuses("b.png")),
    "a sound with a rate of 0": (holding(WAV, patched(24, 0)), evaluating(), refuses("b.wav")),
    "a sound that is no number": (NOT_A_NUMBER, evaluating(), refuses("b.wav", NOT_FINITE)),
    "labels 0, 1 and 255": (mask(labels(0, 1, 255)), evaluating(), refuses("b.png", "label|255|ignore")),
    "an image, passed over": (spoilt, SKIPPING, scores(("a", "c"), r'"b"|b\.png')),
    "a sound, passed over": (NOT_A_NUMBER, SKIPPING, scores(("a", "c"), r'"b"|b\.wav')),
    "a mask, passed over": (mask(TRAP), SKIPPING, scores(("a", "c"), r'"b"|b\.png')),
    "a file without a partner, passed over": (without(WAV), SKIPPING, either(scores(("a", "c")), refuses("b"))),
    "nothing is, and faults are passed over": (untouched, SKIPPING, scores(STEMS)),
    "one pixel": (one_pixel, evaluating(), scores(STEMS)),
    "groups twice": (with_manifest, evaluating("--group_size", "2"), refuses("group_size", "manifest")),
    "another sound, of nobody knows what": (
        untouched,
        evaluating("--audio_control", "swap"),
        either(scores(STEMS), refuses("swap", "manifest|categor")),
    ),
}
RESULTS: dict[str, tuple[Before, Words, Judge, bool]] = {  # what was before, and whether results may be replaced
    "a chapter in unfinished": (lying(f"{OUT}/unfinished/3.tex", LETTER), evaluating(), refuses("unfinished"), False),
    "a file called unfinished": (lying(f"{OUT}/unfinished", LETTER), evaluating(), refuses("unfinished"), False),
    "a journal that is a list": (lying(JOURNAL, "[]"), evaluating(), refuses("unfinished|run.json"), False),
    "a journal that is a word": (lying(JOURNAL, '"run"'), evaluating(), refuses("unfinished|run.json"), False),
    "a journal that is no JSON": (lying(JOURNAL, "{"), evaluating(), refuses("unfinished|run.json"), False),
    "those of another method": (ran(), evaluating(*OTHER), refuses(OUT, "overwrite"), False),
    "those of another method, not wanted": (
        ran(),
        evaluating(*OTHER, "--overwrite"),
        scores(STEMS, "everything"),
        True,
    ),
    "those of the same command": (ran(), evaluating(), scores(STEMS), True),
    "beside notes": (lying(f"{OUT}/{KEEP} notes.txt", LETTER), evaluating(), scores(STEMS), True),
    "a report of the user's": (lying(f"{OUT}/report.md", LETTER), evaluating(), refuses("report.md"), False),
    "links to a letter": (linked_results, evaluating("--overwrite"), either(scores(STEMS), refuses("link")), True),
}


def _evaluations() -> list[Case]:
    cases = []
    for name, (words, patterns) in WRONG_WORDS.items():
        cases.append(Case(f"words: {name}", "eval", folder_with(untouched, words), refuses(*patterns)))
    for name, environment, said in (
        ("one of several processes, nobody knows which", {"WORLD_SIZE": "2"}, "RANK"),
        ("processes without a number", {"WORLD_SIZE": "two"}, "WORLD_SIZE"),
    ):
        make = folder_with(untouched, evaluating())
        cases.append(Case(f"words: {name}", "eval", make, refuses(said), environment=environment))
    for name, (change, words, ending) in BAD_SAMPLES.items():
        cases.append(Case(f"sample: {name}", "eval", folder_with(change, words), ending))
    for name, (before, words, ending, renews) in RESULTS.items():
        make = folder_with(untouched, words)
        cases.append(Case(f"results: {name}", "eval", make, ending, before, renews))
    spoilt_before = folder_with(spoilt, evaluating("--batch_size", "1"))
    long = folder_with(renamed("b" * 240), evaluating("--save_visualizations"))
    formula = folder_with(renamed(FORMULA), evaluating())
    elsewhere = folder_with(untouched, evaluating("--output_dir", os.fsdecode(b"out/caf\xe9")))
    letters = folder_with(renamed("犬🐕"), evaluating())
    return [
        *cases,
        Case("sample: an image, mended afterwards", "eval", spoilt_before, scores(STEMS), mended, renews=True),
        Case("results: in a folder that is not UTF-8", "eval", elsewhere, either(ends_well, refuses("caf"))),
        Case("name: a formula", "eval", formula, neat_rows),
        Case("name: 240 bytes, drawn", "eval", long, scores(samples=3)),
        Case("name: letters that a terminal lacks", "eval", letters, scores(("a", "犬🐕", "c")), encoding="cp1252"),
    ]


def spoilt_dog(root: Path) -> None:
    """A fault in a file whose name has letters of elsewhere."""
    renamed("犬")(root)
    (root / "image" / "犬.png").write_bytes(NO_IMAGE)


def empty_folders(root: Path) -> None:
    for folder in ("image", "wav", "gt_seg"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()


def emptied(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def replaced_by_a_file(root: Path) -> None:
    shutil.rmtree(root)
    root.touch()


NOT_UTF_8 = os.fsdecode(b"caf\xe9")
LONG = f"{OUT}/{'r' * 245}.json"
FURTHER: dict[str, tuple[Change, Words, Judge]] = {  # to the checker
    "good": (untouched, checking("--all"), fit()),
    "name: not UTF-8": (renamed(NOT_UTF_8), checking(), unfit("UTF-8")),
    "a pipe among the sounds": (lambda root: os.mkfifo(root / "wav/d.wav"), checking(), unfit(r"d\.wav")),
    "empty folders": (empty_folders, checking(), unfit("no file")),
    "an empty folder": (emptied, checking(), refuses(DATA)),
    "no folder": (shutil.rmtree, checking(), refuses(DATA)),
    "a folder with a long name": (untouched, checking(data=LONGER), refuses(LONGER)),
    "a file": (replaced_by_a_file, checking(), refuses(DATA)),
    "a report in a folder": (untouched, [DATA, "--json", DATA], refuses(DATA)),
    "a report below a file": (untouched, [DATA, "--json", f"{DATA}/{PNG}/report.json"], refuses("b.png")),
    "a report with a long name": (untouched, [DATA, "--json", LONG], either(ends_well, refuses("rrr"))),
}


def _cases() -> list[Case]:
    cases = []
    for kind, (severity, name, change) in FOUND.items():
        needs = "av" if kind == "misnamed_sounds" else ""
        make = folder_with(change, checking("--all"))
        cases.append(Case(f"finds {kind}", "check", make, finds(severity, kind, name), needs=needs))
        if severity == "error":
            ending = refuses(Path(name.split(" ")[0]).name)
            cases.append(Case(f"stops at {kind}", "eval", folder_with(change, evaluating()), ending))
    for name, change in MANIFESTS.items():
        cases.append(Case(f"manifest: {name}", "check", folder_with(change, checking()), unfit(r"manifest\.json")))
        cases.append(Case(f"manifest: {name}", "eval", folder_with(change, evaluating()), refuses(r"manifest\.json")))
    for kind, table in (("mask", READ_OTHERWISE), ("sound", HEARD_OTHERWISE)):
        for name, (change, ending) in table.items():
            cases.append(Case(f"{kind}: {name}", "check", folder_with(change, checking()), ending))
    for name, (change, ids) in NAMES.items():
        cases.append(Case(f"name: {name}", "check", folder_with(change, checking("--all")), fit()))
        cases.append(Case(f"name: {name}", "eval", folder_with(change, evaluating()), scores(ids)))
    for name, (change, words, ending) in FURTHER.items():
        cases.append(Case(name, "check", folder_with(change, words), ending))
    lacking, unreadable = folder_with(spoilt_dog, checking("--all")), unfit("that cannot be read")
    refused = folder_with(renamed(NOT_UTF_8), evaluating())
    return [
        *cases,
        Case("name: letters that a terminal lacks", "check", lacking, unreadable, encoding="cp1252"),
        Case("name: not UTF-8", "eval", refused, refuses("UTF-8")),
        *_evaluations(),
    ]


CASES = _cases()
