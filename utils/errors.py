"""What a user can get wrong, said in one sentence, and how a script ends on it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

USER_ERROR_CODE = 2  # the code argparse exits with on a wrong argument
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED_CODE = 130  # 128 + SIGINT, what shells expect


class UserError(Exception):
    """A mistake in what the user gave: the message says what was expected, what was found and what to do."""


def run_script(main: Callable[[], object]) -> int:
    """Runs a script's `main` and turns its end into an exit code.

    Args:
        main: takes no argument; its return value is dropped.

    Returns:
        0 when `main` returns, 2 after a `UserError` (its sentence goes to stderr, without a traceback) and where a
        GPU's memory or the disk's space did not suffice, 130 after Ctrl-C. Any other exception is a bug and keeps its
        traceback.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR_CODE
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which not every script has imported
            raise
        said = first_sentence(error)
        print(
            f"error: it does not fit into the GPU's memory ({said}); keep the weights in half precision with --set "
            "ROLE.dtype=bfloat16, run fewer methods at once, take a smaller config, or --device cpu",
            file=sys.stderr,
        )
        return USER_ERROR_CODE
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        where = f" for {error.filename}" if error.filename else ""
        said = f"error: the disk is full, no space is left{where}; free some and run the same command again"
        print(said, file=sys.stderr)
        return USER_ERROR_CODE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_CODE
    return 0


def first_sentence(error: Exception) -> str:
    """What a library says went wrong, on one line."""
    return " ".join(str(error).split()).split(". ")[0].rstrip(".:")
