"""How a script ends: a mistake is one sentence, a bug keeps its traceback."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from utils.errors import UserError, run_script

ROOT = Path(__file__).resolve().parents[2]


def ends_with(error):
    def main():
        raise error

    return run_script(main)


def test_a_users_mistake_is_one_sentence(capsys):
    assert ends_with(UserError("expected a, found b")) == 2
    assert capsys.readouterr().err == "error: expected a, found b\n"
    assert run_script(lambda: "whatever") == 0


def test_a_gpu_too_small_is_no_bug(capsys):
    torch = pytest.importorskip("torch")
    assert ends_with(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("error: it does not fit into the GPU's memory (CUDA out of memory); ")
    assert "ROLE.dtype=bfloat16" in sentence and "--device cpu" in sentence


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("a bug")])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error), match="a bug"):
        ends_with(error)


def test_interrupted():
    assert ends_with(KeyboardInterrupt()) == 130


def test_a_full_disk_is_no_bug(capsys):
    assert ends_with(OSError(errno.ENOSPC, "No space left on device", "out/a.png")) == 2
    assert capsys.readouterr().err.startswith("error: the disk is full, no space is left for out/a.png; free some")
    with pytest.raises(OSError, match="Is a directory"):
        ends_with(IsADirectoryError(errno.EISDIR, "Is a directory", "out"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a/wav"), "for a/wav (permission denied)"),
        (PermissionError(errno.EPERM, "Operation not permitted", "a/wav"), "for a/wav (operation not permitted)"),
        (OSError(errno.EROFS, "Read-only file system", "a/wav"), "for a/wav (read-only file system)"),
        (PermissionError(errno.EACCES, "Permission denied"), "no permission (permission denied)"),
        (PermissionError(errno.EACCES, "Permission denied", "a\n\x1b[2J"), r"for a\n\x1b[2J (permission denied)"),
    ],
)
def test_a_permission_that_lacks_is_no_bug(capsys, error, reason):
    assert ends_with(error) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("error: there is no permission") and reason in sentence


def script(body: str, **options) -> subprocess.Popen:
    """A script that ends as ours do, in a process of its own."""
    code = f"import sys\nfrom utils.errors import run_script\ndef main():\n {body}\nsys.exit(run_script(main))"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, **options)


def test_sigterm_is_one_line_and_tidies_up():
    waiting = (
        "import time\n try:\n  print('here', flush=True), time.sleep(60)\n finally:\n  print('tidied', flush=True)"
    )
    with script(waiting, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (143, b"tidied\n", b"terminated\n")


HELP = "import argparse; argparse.ArgumentParser().parse_args(['-h'])"


@pytest.mark.parametrize(
    ("body", "unbuffered"),
    [("print('x' * 10**6)", ""), ("print('x')", ""), (HELP, ""), ("print('x')", "1"), ("print('x' * 10**6)", "1")],
)
def test_a_reader_that_has_gone_ends_it_quietly(body, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    with script(body, stdout=writer, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}) as process:
        os.close(writer)
        assert process.communicate()[1] == b""
    assert process.returncode == 141


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_what_a_terminal_has_no_letters_for_is_printed_as_its_code(encoding):
    body = "print('\\u72ac \\udcff'); raise __import__('utils.errors').errors.UserError('no \\u72ac')"
    with script(body, stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": encoding}) as process:
        out, err = process.communicate()
    letter = "\u72ac".encode(encoding, errors="backslashreplace")
    assert (process.returncode, out.rstrip(), err.rstrip()) == (2, letter + b" \\udcff", b"error: no " + letter)


def test_a_script_without_stdout_works():
    with script("print('x')", preexec_fn=lambda: os.close(1)) as process:
        assert process.communicate()[1] == b"" and process.returncode == 0
