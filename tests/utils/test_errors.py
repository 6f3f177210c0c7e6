"""How a script ends: a mistake is one sentence, a bug keeps its traceback."""

import errno

import pytest

from utils.errors import UserError, run_script


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
