"""Several processes give what one gives, in order, and one that is killed ends the run in a sentence."""

import argparse
import os
import signal

import pytest

from datasets.processes import each, workers
from utils.errors import UserError


def square(number):
    return number * number


def kill_the_process(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("num_workers", [0, 2, 1000])
def test_results_come_in_the_order_of_the_jobs(num_workers):
    assert list(each(square, range(9), num_workers)) == [square(number) for number in range(9)]


def test_no_jobs_are_no_results():
    assert list(each(square, [], 2)) == []


def test_a_killed_process_is_said():
    with pytest.raises(UserError, match="expected every process to finish, found one killed, .* take fewer"):
        list(each(kill_the_process, [1], 1))


@pytest.mark.parametrize("text", ["-1", "1.5", "many", ""])
def test_numbers_of_processes_are_whole_and_not_negative(text):
    assert workers("0") == 0
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 0 up"):
        workers(text)
