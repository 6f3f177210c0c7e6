"""Many pictures and sounds, one after the other: a bar, records, a page, and the files that fail named at the end."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from utils.demo.page import Shown, write_page
from utils.demo.pairs import Pair, listed, paired
from utils.demo.records import PAGE, TABLE, merged, refuse_others, row_of, write_records
from utils.errors import UserError
from utils.files import make_folder


class Several:
    """What a run on several inputs goes through: `pairs` in turn, each within `attempt`, and `keep` for its answers.

    As a context manager it writes records and page at the end, whatever ends it, and then refuses what could not be
    answered (UserError).

    Args:
        arguments: the demo's command line.
        config: `models.config.Config` of the run.
    """

    def __init__(self, arguments: argparse.Namespace, config: Any) -> None:
        self.folder, self.config, self.threshold = arguments.output, config.name, arguments.threshold
        self._is_quiet = arguments.json
        self._pairs, unpaired = paired(arguments.img_path, arguments.wav_path)
        make_folder(self.folder)
        refuse_others(self.folder)
        self._shown, self._rows, self._failures = Shown(self.folder), [], {}
        if unpaired:
            self._say(f"left out, since there is no sound or image of the same name: {listed(unpaired)}")

    @property
    def pairs(self) -> Iterator[Pair]:
        """The pairs, with a bar on a terminal."""
        return iter(tqdm(self._pairs, unit="pair", disable=None))

    @contextmanager
    def attempt(self, pair: Pair) -> Iterator[None]:
        """Goes on after a pair that cannot be read or answered, and remembers why."""
        try:
            yield
        except (UserError, PermissionError) as error:
            self._failures[pair] = str(error)

    def keep(self, demo: Any) -> None:
        """Says in a line each what the answers of a pair (`inference_demo.Demo`) are, and keeps them for the end."""
        for answer in demo.answers.values():
            shown = self._shown.files(answer)
            self._rows.append(row_of(answer, demo.paths, self.config, self.threshold, **shown))
            self._say(f"{answer.sample.id}  {answer.method}: {answer.caption}; {answer.mask.mean():.1%} of the image")

    def __enter__(self) -> Several:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        rows = merged(self.folder, self._rows)
        write_records(self.folder, rows)
        write_page(self.folder / PAGE, rows)
        done = len(self._pairs) - len(self._failures)
        if error is None:
            self._say(f"{done} of {len(self._pairs)} pairs answered; to look through: {self.folder / PAGE}")
            self._say(f"a row for each pair and method: {self.folder / TABLE}")
        if error is None and self._failures:
            names = listed(Path(f"{image.name} with {sound.name}") for image, sound in self._failures)
            why = "; ".join(dict.fromkeys(self._failures.values()))
            raise UserError(f"{len(self._failures)} of {len(self._pairs)} pairs could not be answered, {names}: {why}")

    def _say(self, line: str) -> None:
        if not self._is_quiet:
            tqdm.write(line)
