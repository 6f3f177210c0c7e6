"""Why the hub does not give a network: one sentence that names the files, the reason and the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.checkpoints.files import faults
from models.checkpoints.hub import ANOTHER, cache_folder, cached, looked_at
from models.checkpoints.published import catalogue
from utils.errors import UserError


class HubError(UserError):
    """The hub does not give what was asked for.

    Attributes:
        kind: "unreachable", "gated", "absent", "pickled" or "refused".
        reason: why the hub cannot be reached; "" for the other kinds.
    """

    def __init__(self, kind: str, sentence: str, reason: str = "") -> None:
        super().__init__(sentence)
        self.kind = kind
        self.reason = reason


def refusal(weights: str, revision: str | None, error: Exception) -> HubError:
    """What went wrong with the hub, in one sentence."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return gated(weights)
    if isinstance(error, errors.RevisionNotFoundError):
        page = f"{endpoint()}/{weights}/commits/main"
        return HubError("absent", f"{weights}: it has no revision {revision!r}; {page} lists them")
    if isinstance(error, (errors.RepositoryNotFoundError, errors.HFValidationError)):
        folders = " or ".join(str(folder) for folder in looked_at(weights))
        return HubError(
            "absent",
            f"{weights}: the hub has no such model, or a private one that this login may not see, and there is no "
            f"folder {folders}; {ANOTHER}",
        )
    response = getattr(error, "response", None)
    if response is not None and response.status_code in (401, 403):
        return HubError(
            "refused",
            f"{weights}: the hub refuses it to this login ({words(error)}); renew it with `hf auth login`, or the "
            "token in HF_TOKEN",
        )
    if isinstance(error, (ValueError, KeyError, TypeError)) or (response is not None and response.status_code == 404):
        reason = f"{endpoint()} does not answer as a model hub (a login page of the network, or a wrong HF_ENDPOINT?)"
    elif response is not None:
        reason = f"{endpoint()} answers with an error ({words(error)})"
    else:
        reason = f"{endpoint()} cannot be reached ({words(error)})"
    return unreachable(weights, revision, reason)


def unreachable(weights: str, revision: str | None, reason: str) -> HubError:
    """What is not here, why it cannot be fetched, and how to get it."""
    storage = cache_folder(weights)
    here = cached(weights, revision)
    if here:
        what = (
            f"{weights}: it is here only in part ({'; '.join(faults(here.folder, of_the_hub=True))} in {here.folder})"
        )
    else:
        what = f"{weights}: it is not on this machine (no config.json, no safetensors weights in {storage})"
    if weights not in catalogue():
        what += f", nor is there a folder {' or '.join(str(folder) for folder in looked_at(weights))}"
    at = f" --revision {revision}" if revision else ""
    return HubError(
        "unreachable",
        f"{what}, and {reason}; `python -m models.fetch {weights}{at}` gets it where the hub can be reached, or copy "
        "that folder of the hub's cache from a machine that has it",
        reason,
    )


def gated(weights: str) -> HubError:
    """A licence stands before it."""
    known = catalogue().get(weights)
    instead = f"; not gated: {known.alternative}" if known and known.alternative else ""
    return HubError(
        "gated",
        f"{weights}: it is gated; accept its licence at {endpoint()}/{weights}, then log in with `hf auth login` (or "
        f"set HF_TOKEN) and try again{instead}",
    )


def no_safetensors(weights: str, pickled: Sequence[str], conversion: str | None) -> HubError:
    """What to do about a repository without safetensors.

    Args:
        weights: hub id.
        pickled: its weights in other formats; may be none.
        conversion: the revision that has safetensors, where somebody proposes one.
    """
    if not pickled:
        return HubError(
            "absent", f"{weights}: it holds no weights (*.safetensors), see {endpoint()}/{weights}; {ANOTHER}"
        )
    ways = [f"`python -m models.convert {weights}` makes safetensors of them once, without running code"]
    ways += [f"`revision: {conversion}` beside the weights takes the hub's own conversion"] if conversion else []
    return HubError(
        "pickled",
        f"{weights}: it has only pickled weights ({pickled[0]}), which can run code when opened and are never loaded "
        f"here; {', or '.join(ways)}",
    )


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT or https://huggingface.co."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def words(error: Exception) -> str:
    """The first sentence of an error, on one line; the status and the hub's own words where it answered."""
    response = getattr(error, "response", None)
    if response is not None:
        server = " ".join((getattr(error, "server_message", None) or "").split()).rstrip(".")
        return f"{response.status_code} {response.reason_phrase}{': ' if server else ''}{server}"
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text).split(". ")[0].rstrip(".:")
