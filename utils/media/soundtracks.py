"""The sound of a video, around one moment after another, and whole to be written again.

Conventions:
    time: seconds from the video's first frame on.
    block: (n, C) float32, a part of the sound, C channels.
    The file is read from the start to the end, a part at a time: memory does not grow with its length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.files import require_file
from utils.media.sounds import ADVICE, BLOCK, Unreadable, one_channel, open_sound


class SoundTrack:
    """A sound file that is heard over a video, at its own rate.

    Args:
        path: of any file with sound.
        behind: seconds before the latest moment asked for that may still be asked for.
        starts_at: its time.

    Attributes:
        sampling_rate: Hz.
        channels: how many the file has.

    Raises:
        UserError: there is no sound, or one that cannot be read.
    """

    def __init__(self, path: Path, behind: float, starts_at: float = 0.0) -> None:
        require_file(path, "a sound")
        self.path, self.behind = path, behind
        with self._refusing():
            self._source = open_sound(path)
            self.sampling_rate = self._source.sampling_rate
            self.channels = next(self._source.decode(), np.zeros((0, 1))).shape[1]
        self._shift = round(starts_at * self.sampling_rate)  # samples
        self._ahead, self._end = self.blocks(), 0
        self._kept: deque[tuple[int, np.ndarray]] = deque()  # number of its first sample, block

    def blocks(self) -> Iterator[np.ndarray]:
        """All blocks from the video's first frame on; silence where the sound starts later.

        Raises:
            UserError: it cannot be read any more, or holds values that are not finite.
        """
        with self._refusing():
            early = max(0, -self._shift)
            for left in range(max(0, self._shift), 0, -BLOCK):
                yield np.zeros((min(left, BLOCK), self.channels), np.float32)
            for block in self._source.decode():
                if not np.isfinite(block).all():
                    raise Unreadable("values that are not finite numbers")
                if len(block) > early:
                    yield block[early:]
                early = max(0, early - len(block))

    def between(self, start: float, stop: float) -> np.ndarray:
        """What sounds from one time to another, as one channel: (T,) float32 in [-1, 1]; T is less at its ends."""
        first, last = max(0, round(start * self.sampling_rate)), round(stop * self.sampling_rate)
        while self._end < last and (block := next(self._ahead, None)) is not None:
            self._kept.append((self._end, block))
            self._end += len(block)
        oldest = min(first, last - self.behind * self.sampling_rate)
        while self._kept and self._kept[0][0] + len(self._kept[0][1]) < oldest:
            self._kept.popleft()
        parts = [block[max(first - at, 0) : max(last - at, 0)] for at, block in self._kept]
        return one_channel(np.concatenate(parts)) if parts else np.zeros(0, np.float32)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except Unreadable as why:
            raise UserError(f"cannot read the sound of {self.path}: {why}; {ADVICE}") from why
