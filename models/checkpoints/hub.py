"""Published networks, found in the hub's cache or fetched into it by huggingface_hub; one sentence where that fails.

The hub is asked only for what is not here yet, once, and an answer comes within seconds, whatever the network does.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, errors, is_offline_mode, snapshot_download
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import validate_repo_id

from models.checkpoints import catalogue, command
from models.weights import ANOTHER, Checkpoint, faults, needed, no_folder, pickled_among, weights_among
from utils.errors import UserError, first_sentence

PATIENCE = 3.0  # s for the hub's answer; HF_HUB_ETAG_TIMEOUT overrides it
CONVERTER = "SFconvertbot"  # the hub's own account that proposes safetensors versions as pull requests


class HubError(UserError):
    """The hub does not give what was asked for.

    Its `kind` is "unreachable", with the `reason`, or "gated", "absent", "pickled" or "refused".
    """

    def __init__(self, kind: str, sentence: str, reason: str = "") -> None:
        super().__init__(sentence)
        self.kind, self.reason = kind, reason


@dataclass(frozen=True)
class Repository:
    """What the hub says of a repository asked for: the commit, whether it is gated, name of each file -> bytes."""

    weights: str
    revision: str | None
    commit: str
    gated: bool
    sizes: Mapping[str, int]

    def needed(self, trust_remote_code: bool = False, files: Sequence[str] = ()) -> list[str]:
        """The files that a loader reads, or exactly `files`.

        Raises:
            HubError: they are not there, or no safetensors weights are.
        """
        pickled, page = pickled_among(self.sizes), f"see {constants.ENDPOINT}/{self.weights}; {ANOTHER}"
        for name in files:
            if name not in self.sizes:
                raise HubError("absent", f"{self.weights}: it has no {name}, {page}")
        if files or weights_among(name for name in self.sizes if "/" not in name):
            return list(files) or needed(self.sizes, trust_remote_code)
        if not pickled:
            raise HubError("absent", f"{self.weights}: it holds no weights (*.safetensors), {page}")
        proposed = _conversion(self.weights)
        other = f", or `revision: {proposed}` beside the weights takes the hub's own conversion" if proposed else ""
        raise HubError(
            "pickled",
            f"{self.weights}: it has only pickled weights ({pickled[0]}), which can run code when opened and are never "
            f"loaded here; {command('convert', self.weights, self.revision)} makes safetensors of them once, without "
            f"running code{other}",
        )

    def missing(self, names: Sequence[str]) -> dict[str, int]:
        """The files among `names` that are not in the cache -> bytes."""
        snapshot = cache_folder(self.weights) / "snapshots" / self.commit
        return {name: self.sizes[name] for name in names if not (snapshot / name).is_file()}


def find(weights: str, revision: str | None, *, trust_remote_code: bool, files: Sequence[str]) -> Checkpoint:
    """See `models.network.find`, for a hub id."""
    checkpoint = cached(weights, revision)
    if checkpoint and not faults(checkpoint.path, code=trust_remote_code, files=files):
        return checkpoint
    try:
        repository = ask(weights, revision)
        fetch(repository, repository.needed(trust_remote_code, files))
    except HubError as error:
        raise HubError(error.kind, f"cannot load {error}", error.reason) from error
    return cached(weights, revision)


def cached(weights: str, revision: str | None = None) -> Checkpoint | None:
    """What the hub's cache has of a hub id, complete or not; no network."""
    try:
        path = Path(snapshot_download(weights, revision=revision, local_files_only=True, allow_patterns=[]))
    except (OSError, ValueError):  # not there, or no possible hub id
        return None
    known = catalogue().get(weights)
    return Checkpoint(weights, path, path.name, known.license if known else None)


def cache_folder(weights: str = "") -> Path:
    """Where the hub's cache keeps a hub id; the cache itself without one."""
    return Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=weights, repo_type="model") if weights else "")


def ask(weights: str, revision: str | None = None) -> Repository:
    """Asks the hub for a repository's files: one question, one attempt.

    Raises:
        HubError: no answer within `PATIENCE`, or a refusal.
    """
    options = {"revision": revision, "files_metadata": True, "timeout": patience()}
    try:
        validate_repo_id(weights)
        if is_offline_mode():
            raise _unreachable(weights, revision, "HF_HUB_OFFLINE is set, so the hub is not asked")
        info = within(patience(), lambda: HfApi().model_info(weights, **options))
    except (errors.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
        raise _refusal(weights, revision, error) from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    return Repository(weights, revision, info.sha, bool(info.gated), sizes)


def fetch(repository: Repository, names: Sequence[str]) -> Path:
    """Brings files of a repository into the cache, but those that are there; returns the snapshot's folder.

    Raises:
        HubError: the hub does not give them.
        UserError: there is no room for them.
    """
    weights, revision, lacking = repository.weights, repository.revision, repository.missing(names)
    check_room(sum(lacking.values()))
    print(f"fetching {weights}: {len(lacking)} files, {megabytes(sum(lacking.values()))}", file=sys.stderr, flush=True)
    try:
        options = {"allow_patterns": list(names), "etag_timeout": patience()}
        return Path(snapshot_download(weights, revision=revision, **options))
    except (errors.HTTPError, errors.EntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise _refusal(weights, revision, error) from error
    except OSError as error:
        if error.errno is None:  # a file that is not as long as the hub says
            raise _refusal(weights, revision, error) from error
        raise UserError(
            f"cannot write to the hub's cache {cache_folder(weights)}: {error.strerror}; set HF_HOME to a folder with "
            "room that can be written to"
        ) from error


def check_room(size: int) -> None:
    """Raises a UserError where the disk of the cache has no room for `size` bytes."""
    free = free_disk()
    if size > free:
        raise UserError(
            f"{megabytes(size)} are to be fetched, and the disk of {cache_folder()} has {megabytes(free)} free; make "
            "room, or set HF_HOME to a folder on a larger disk"
        )


def free_disk() -> int:
    """Bytes free on the disk of the cache, which need not exist yet."""
    folder = cache_folder()
    return shutil.disk_usage(next(parent for parent in (folder, *folder.parents) if parent.is_dir())).free


def megabytes(size: float) -> str:
    """A number of bytes for people: "615 MB", "3.1 GB", "32 kB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.{1 if size < 10 * factor else 0}f} {unit}"
    return f"{size / 1e3:.0f} kB"


def patience() -> float:
    """Seconds to wait for the hub's answer."""
    return float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or PATIENCE)


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Does work in a thread that is given up (TimeoutError): looking up a host's name has no time limit of its own."""
    outcome: futures.Future = futures.Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not futures.wait([outcome], seconds).done:
        raise TimeoutError(f"no answer within {seconds:g} s; HF_HUB_ETAG_TIMEOUT=30 waits longer")
    return outcome.result()


def _conversion(weights: str) -> str | None:
    """The revision in which the hub's converter proposes safetensors; None where there is none or the hub is slow."""
    options = {"author": CONVERTER, "discussion_type": "pull_request", "discussion_status": "open"}
    try:
        proposals = within(patience(), lambda: list(HfApi().get_repo_discussions(weights, **options)))
        reference = f"refs/pr/{proposals[0].num}" if proposals else None
        return reference if reference and weights_among(ask(weights, reference).sizes) else None
    except (errors.HTTPError, OSError, ValueError, UserError):
        return None


def _refusal(weights: str, revision: str | None, error: Exception) -> HubError:
    """What went wrong with the hub, in one sentence."""
    page, known = f"{constants.ENDPOINT}/{weights}", catalogue().get(weights)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        instead = f"; not gated: {known.alternative}" if known and known.alternative else ""
        login = "then log in with `hf auth login` (or set HF_TOKEN) and try again"
        kind, why = "gated", f"it is gated; accept its licence at {page}, {login}{instead}"
    elif isinstance(error, errors.RevisionNotFoundError):
        kind, why = "absent", f"it has no revision {revision!r}; {page}/commits/main lists them"
    elif isinstance(error, (errors.RepositoryNotFoundError, errors.HFValidationError)):
        nobody = "the hub has no such model, or a private one that this login may not see"
        kind, why = "absent", f"{nobody}, and {no_folder(weights)}; {ANOTHER}"
    elif status in (401, 403):
        renew = "renew it with `hf auth login`, or the token in HF_TOKEN"
        kind, why = "refused", f"the hub refuses it to this login ({_words(error)}); {renew}"
    else:
        why = f"{'answers with an error' if status else 'cannot be reached'} ({_words(error)})"
        if status == 404 or isinstance(error, (ValueError, KeyError, TypeError)):
            why = "does not answer as a model hub (a login page of the network, or a wrong HF_ENDPOINT?)"
        return _unreachable(weights, revision, f"{constants.ENDPOINT} {why}")
    return HubError(kind, f"{weights}: {why}")


def _unreachable(weights: str, revision: str | None, reason: str) -> HubError:
    """What is not here, why it cannot be fetched, and how to get it."""
    here = cached(weights, revision)
    what = f"it is not on this machine (no config.json, no safetensors weights in {cache_folder(weights)})"
    if here:
        what = f"it is here only in part ({'; '.join(faults(here.path))} in {here.path})"
    what += "" if weights in catalogue() else f", {no_folder(weights)}"
    out = "gets it where the hub can be reached, or copy that folder of the hub's cache from a machine that has it"
    said = f"{weights}: {what}, and {reason}; {command('fetch', weights, revision)} {out}"
    return HubError("unreachable", said, reason)


def _words(error: Exception) -> str:
    """The first sentence of an error, on one line; the status and the hub's own words where it answered."""
    response = getattr(error, "response", None)
    if response is not None:
        server = " ".join((getattr(error, "server_message", None) or "").split()).rstrip(".")
        return f"{response.status_code} {response.reason_phrase}{': ' if server else ''}{server}"
    return re.sub(r"^\[Errno -?\d+\] ", "", first_sentence(error)) or type(error).__name__
