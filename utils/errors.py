"""What a user can get wrong, said in one sentence, and how a script ends on it."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable

USER_ERROR_CODE = 2  # the code argparse exits with on a wrong argument
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
INTERRUPTED_CODE, UNREAD_CODE, TERMINATED_CODE = 130, 141, 143  # 128 + SIGINT, SIGPIPE, SIGTERM: what shells expect


class UserError(Exception):
    """A mistake in what the user gave: the message says what was expected, what was found and what to do."""


class NotFinite(UserError):
    """Numbers of a network, said in words, that are not finite: whatever they decided would be chance."""

    def __init__(self, whose: str) -> None:
        out = "keep weights in bfloat16 or float32 (--set ROLE.dtype=bfloat16), or get them again if they are damaged"
        super().__init__(f"expected finite numbers from {whose}, found some that are infinite or not-a-number; {out}")


class Terminated(KeyboardInterrupt):
    """SIGTERM came; whatever tidies up after Ctrl-C tidies up after it."""


def _terminate(number: int, frame: object) -> None:
    raise Terminated


def run_script(main: Callable[[], object]) -> int:
    """Runs a script's `main` and turns its end into an exit code.

    Args:
        main: takes no argument; its return value is dropped.

    Returns:
        0 when `main` returns, 2 after a `UserError` (its sentence goes to stderr, without a traceback) and where a
        GPU's memory, the disk's space or a permission did not suffice or a name is too long, 130 after Ctrl-C, 143
        after SIGTERM, and 141 where nobody reads what is printed any more. Any other exception is a bug and keeps its
        traceback. Letters that a terminal does not have are printed as their codes.
    """
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            main()
        finally:
            print(end="", flush=True)  # not when Python ends, where a reader that has gone would be complained about
    except UserError as error:
        return _refuse(str(error))
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which not every script has imported
            raise
        out = "close what else uses the GPU, try --set ROLE.dtype=bfloat16, take a smaller config, or add --device cpu"
        return _refuse(f"it does not fit into the GPU's memory ({str(error).split('. ')[0]}); {out}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where what still waits can go
        return UNREAD_CODE
    except OSError as error:
        where = f" for {error.filename}" if error.filename else ""
        if error.errno in DISK_FULL:
            return _refuse(f"the disk is full, no space is left{where}; free some and run the same command again")
        if error.errno in REFUSED:
            why = f"there is no permission{where} ({error.strerror.lower()})"
            return _refuse(f"{why}; give it with chmod or chown, or name another place")
        if error.errno == errno.ENAMETOOLONG:
            return _refuse(f"the name {error.filename} is too long for a file; give a shorter one")
        raise
    except Terminated:
        print("terminated", file=sys.stderr)
        return TERMINATED_CODE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_CODE
    return 0


def _refuse(sentence: str) -> int:
    """Prints what is wrong on one line: letters that would break it or command the terminal become their codes."""
    shown = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in sentence)
    print(f"error: {''.join(shown)}", file=sys.stderr)
    return USER_ERROR_CODE


def first_sentence(error: Exception) -> str:
    """What a library says went wrong, on one line."""
    return " ".join(str(error).split()).split(". ")[0].rstrip(".:")
