"""Brings files of a hub repository into the hub's cache, going on where an earlier attempt stopped, and checks them.

The cache's own layout (blobs, snapshots, refs) is kept, so that every other program finds them too. A half file is
BLOB.incomplete beside the cache's blobs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.checkpoints.hub import cache_folder
from models.checkpoints.refusals import HubError, endpoint, refusal, words
from models.checkpoints.repository import RemoteFile, Repository, ask
from utils.errors import UserError
from utils.files import write_text_atomic

STALL = 10.0  # s without a byte before a download is tried again
TRIES = 5  # in a row that bring no byte
BLOCK = 1 << 20  # bytes


def download(
    weights: str, revision: str | None = None, *, trust_remote_code: bool = False, files: Sequence[str] = ()
) -> Path:
    """Brings the files a loader reads into the cache.

    Args:
        weights: hub id.
        revision: commit, tag or branch; None for the default branch.
        trust_remote_code: whether the repository's Python files are wanted too.
        files: exactly these instead.

    Returns:
        The snapshot's folder, its name being the commit.

    Raises:
        HubError: the hub does not give them.
        UserError: there is no room for them.
    """
    repository = ask(weights, revision)
    return bring(repository, repository.files_to_load(trust_remote_code, files), revision)


def bring(repository: Repository, files: Sequence[RemoteFile], revision: str | None = None) -> Path:
    """Brings some files of a repository into the cache and says so on stderr; those already there are left alone.

    Args:
        repository: from `ask`.
        files: of it, in the order in which to bring them.
        revision: the name under which the cache shall find the commit again; None for the default branch.

    Returns:
        The snapshot's folder.

    Raises:
        HubError, UserError: see `download`.
    """
    from huggingface_hub.errors import EntryNotFoundError, HTTPError
    from tqdm import tqdm

    storage = cache_folder(repository.weights)
    folder = storage / "snapshots" / repository.commit
    lacking = [file for file in files if not (folder / file.name).is_file()]
    size = sum(file.size or 0 for file in lacking)
    check_room(storage, size)
    if lacking:
        print(f"fetching {repository.weights}: {len(lacking)} files, {megabytes(size)}", file=sys.stderr, flush=True)
    try:
        with tqdm(total=size, unit="B", unit_scale=True, disable=None if lacking else True, mininterval=0.5) as bar:
            for file in lacking:
                _bring_file(repository, file, storage, bar)
        if revision != repository.commit:
            name = storage / "refs" / (revision or "main")
            name.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(name, repository.commit)
    except (HTTPError, EntryNotFoundError) as error:
        raise refusal(repository.weights, revision, error) from error
    except OSError as error:
        raise UserError(
            f"cannot write to the hub's cache {storage}: {error.strerror or words(error)}; set HF_HOME to a folder "
            "with room that can be written to"
        ) from error
    return folder


def check_room(folder: Path, size: int) -> None:
    """Makes sure that a disk has room.

    Args:
        folder: on that disk; need not exist yet.
        size: bytes.

    Raises:
        UserError: it has not.
    """
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if size > free:
        raise UserError(
            f"{megabytes(size)} are to be fetched, and the disk of {there} has {megabytes(free)} free; make room, or "
            "set HF_HOME to a folder on a larger disk"
        )


def megabytes(size: float) -> str:
    """A number of bytes for people: "615 MB", "3.1 GB", "32 kB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.{1 if size < 10 * factor else 0}f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _bring_file(repository: Repository, file: RemoteFile, storage: Path, bar: Any) -> None:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.utils import WeakFileLock

    if file.blob and file.size:
        blob = storage / "blobs" / file.blob
        lock = storage.parent / ".locks" / storage.name / f"{file.blob}.incomplete.lock"
        for path in (blob, lock):
            path.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):  # two processes never write one half file
            if blob.is_file():
                bar.update(file.size)
            else:
                _pull(repository, file, blob, bar)
    # The blob is there: this only links it into the snapshot. A file of unknown size it loads by itself.
    hf_hub_download(
        repository.weights,
        file.name,
        revision=repository.commit,
        cache_dir=constants.HF_HUB_CACHE,
        endpoint=endpoint(),
        tqdm_class=_silent(),
    )


def _pull(repository: Repository, file: RemoteFile, blob: Path, bar: Any) -> None:
    """Loads a file to `blob`."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    partial = blob.with_name(f"{blob.name}.incomplete")
    if partial.is_file() and partial.stat().st_size > file.size:
        partial.unlink()
    there = partial.stat().st_size if partial.is_file() else 0
    bar.update(there)
    furthest, tries, reason = there, 0, "the connection ends early"
    while there < file.size:
        try:
            _pull_some(repository, file, partial, bar)
        except HfHubHTTPError as error:
            if error.response.status_code < 500 and error.response.status_code != 429:
                raise
            reason = words(error)
        except HTTPError as error:
            reason = words(error)
        there = partial.stat().st_size if partial.is_file() else 0
        tries = 0 if there > furthest else tries + 1
        furthest = max(furthest, there)
        if there < file.size:
            if tries == TRIES:
                raise HubError(
                    "unreachable",
                    f"{repository.weights}: {file.name} stopped at {megabytes(there)} of {megabytes(file.size)} "
                    f"({reason}); the same command goes on from there",
                )
            time.sleep(tries)
    if _checksum(partial, file.blob) != file.blob:
        partial.unlink()
        raise HubError(
            "refused",
            f"{repository.weights}: what arrived as {file.name} is not what {endpoint()} lists; try again, and if that "
            "does not help, look for a proxy that changes files",
        )
    os.replace(partial, blob)


def _pull_some(repository: Repository, file: RemoteFile, partial: Path, bar: Any) -> None:
    """One request for what is still to come of a file."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    url = hf_hub_url(repository.weights, file.name, revision=repository.commit, endpoint=endpoint())
    there = partial.stat().st_size if partial.is_file() else 0
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    with get_session().stream("GET", url, headers=headers, timeout=STALL, follow_redirects=True) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206
        if not goes_on:  # the server sends all of it again
            bar.update(-there)
        with partial.open("ab" if goes_on else "wb") as out:
            for block in response.iter_bytes(BLOCK):
                out.write(block)
                bar.update(len(block))


def _checksum(path: Path, blob: str) -> str:
    """SHA-256 of a file, or its SHA-1 as git takes it, whichever `blob` is."""
    digest = hashlib.sha256() if len(blob) == 64 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _silent() -> type:
    """A progress bar that shows nothing."""
    from tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(disable=True)

    return Silent
