"""Many pictures and sounds, one after the other: a bar, records, a page, and the files that fail named at the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from utils.demo.index_page import Shown, write_page
from utils.demo.pairs import listed, paired
from utils.demo.records import PAGE, TABLE, as_json, merged, plain, refuse_others, row_of, write_records
from utils.errors import UserError
from utils.files import make_folder
from utils.types import Demo, Pair


def run_several(arguments: argparse.Namespace, session: Any, answer_pair: Callable[[Pair], Demo]) -> list[dict]:
    """Answers pairs in turn, a line each; whatever ends that, records and a page of what is answered are written.

    Args:
        arguments: img_path, wav_path, methods, threshold, output and json, see `utils.cli`.
        session: an `inference_demo.Session`.
        answer_pair: reads a pair, and saves what each method answers.

    Returns:
        What was made of each pair, as --json prints it: pictures stay in their files, not in memory.

    Raises:
        UserError: nothing can be paired, the folder holds files of others, or, at the end, some pairs failed.
    """
    folder, config, threshold = arguments.output, session.config, arguments.threshold
    say = (lambda _: None) if arguments.json else tqdm.write
    pairs, unpaired = paired(arguments.img_path, arguments.wav_path)
    make_folder(folder)
    refuse_others(folder)
    if unpaired:
        say(f"left out, since there is no sound or image of the same name: {listed(unpaired)}")
    session.load(session.check(arguments.methods))
    shown = Shown(folder)
    answered: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    failures: dict[Pair, str] = {}
    try:
        for pair in tqdm(pairs, unit="pair", disable=None):
            try:
                demo = answer_pair(pair)
                for answer in demo.answers.values():
                    rows.append(row_of(answer, pair, config.name, threshold, **shown.files(answer)))
                    found = f"{answer.caption}; {answer.mask.mean():.1%} of the image"
                    say(f"{answer.sample.id}  {answer.method}: {found}")
                answered.append(plain(demo, config, threshold))
            except (UserError, PermissionError) as error:
                failures[pair] = str(error)
    finally:
        rows = merged(folder, rows)
        write_records(folder, rows)
        write_page(folder / PAGE, rows)
    say(f"{len(answered)} of {len(pairs)} pairs answered; to look through: {folder / PAGE}")
    say(f"a row for each pair and method: {folder / TABLE}")
    if arguments.json:
        print(as_json(answered), flush=True)
    if failures:
        names = listed(Path(f"{image.name} with {sound.name}") for image, sound in failures)
        why = "; ".join(dict.fromkeys(failures.values()))
        raise UserError(f"{len(failures)} of {len(pairs)} pairs could not be answered, {names}: {why}")
    return answered
