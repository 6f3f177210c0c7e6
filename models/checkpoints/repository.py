"""What the hub says of a repository: its commit, its files, its gate; asked once, with an answer within seconds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models.checkpoints.files import needed, pickled_among, weights_among
from models.checkpoints.hub import ANOTHER
from models.checkpoints.refusals import HubError, endpoint, no_safetensors, refusal, unreachable

PATIENCE = 3.0  # s for the hub's answer; HF_HUB_ETAG_TIMEOUT overrides it
CONVERTER = "SFconvertbot"  # the hub's own account that proposes safetensors versions as pull requests


@dataclass(frozen=True)
class RemoteFile:
    """A file of a hub repository.

    Attributes:
        name: with its folders.
        size: bytes; None where the hub does not say.
        blob: its name in the cache: sha256 of a large file, git's sha1 of a small one; None where the hub does not say.
    """

    name: str
    size: int | None
    blob: str | None


@dataclass(frozen=True)
class Repository:
    """What the hub says of a repository at one commit.

    Attributes:
        weights: hub id.
        commit: what the revision asked for stands for.
        gated: whether a licence has to be accepted first.
        files: all of them.
    """

    weights: str
    commit: str
    gated: bool
    files: tuple[RemoteFile, ...]

    def pick(self, names: Sequence[str]) -> list[RemoteFile]:
        """The files of these names, in the order of the names."""
        files = {file.name: file for file in self.files}
        return [files[name] for name in names]

    def files_to_load(self, trust_remote_code: bool = False, files: Sequence[str] = ()) -> list[RemoteFile]:
        """The files a loader reads.

        Args:
            trust_remote_code: whether Python files are among them.
            files: exactly these instead.

        Raises:
            HubError: they are not there, or no safetensors weights are.
        """
        names = [file.name for file in self.files]
        lacking = [name for name in files if name not in names]
        if lacking:
            raise HubError(
                "absent", f"{self.weights}: it has no {lacking[0]}, see {endpoint()}/{self.weights}; {ANOTHER}"
            )
        if files:
            return self.pick(files)
        if not weights_among(name for name in names if "/" not in name):
            pickled = pickled_among(names)
            raise no_safetensors(self.weights, pickled, _conversion(self.weights) if pickled else None)
        return self.pick(needed(names, trust_remote_code))


def ask(weights: str, revision: str | None = None) -> Repository:
    """Asks the hub for a repository's files: one question, one attempt.

    Args:
        weights: hub id.
        revision: commit, tag or branch; None for the default branch.

    Raises:
        HubError: no answer within `PATIENCE`, or a refusal.
    """
    from huggingface_hub import HfApi, is_offline_mode
    from huggingface_hub.errors import HTTPError

    if is_offline_mode():
        raise unreachable(weights, revision, "HF_HUB_OFFLINE is set, so the hub is not asked")
    seconds = patience()
    try:
        info = within(
            seconds, lambda: HfApi().model_info(weights, revision=revision, files_metadata=True, timeout=seconds)
        )
    except (HTTPError, OSError, ValueError, KeyError, TypeError) as error:
        raise refusal(weights, revision, error) from error
    files = (
        RemoteFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else file.blob_id)
        for file in info.siblings or []
    )
    return Repository(weights, info.sha, bool(info.gated), tuple(files))


def patience() -> float:
    """Seconds to wait for the hub's answer."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_ETAG_TIMEOUT) if os.environ.get("HF_HUB_ETAG_TIMEOUT") else PATIENCE


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Does some work in a thread that is given up after a time: looking up a host's name has no time limit of its own.

    Raises:
        TimeoutError: it takes longer.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = work()
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if "error" in outcome:
        raise outcome["error"]
    if "value" not in outcome:
        raise TimeoutError(f"no answer within {seconds:g} s; HF_HUB_ETAG_TIMEOUT=30 waits longer")
    return outcome["value"]


def _conversion(weights: str) -> str | None:
    """The revision in which the hub's converter proposes safetensors; None where there is none or the hub is slow."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    def look() -> str | None:
        proposals = HfApi().get_repo_discussions(
            weights, author=CONVERTER, discussion_type="pull_request", discussion_status="open"
        )
        return next((f"refs/pr/{proposal.num}" for proposal in proposals), None)

    try:
        reference = within(patience(), look)
        return reference if reference and _has_weights(weights, reference) else None
    except (HTTPError, OSError, ValueError):
        return None


def _has_weights(weights: str, revision: str) -> bool:
    return bool(weights_among(file.name for file in ask(weights, revision).files))
