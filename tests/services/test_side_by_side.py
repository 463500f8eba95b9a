"""Trainings in processes of their own."""

import os
import signal

import pytest
import torch

from services.side_by_side import side_by_side


def test_every_part_is_done_in_another_process_and_tells_of_it():
    in_memory, told = {1: 10, 2: 20, 3: 30}, []
    side_by_side(
        lambda part, tell: tell(part, in_memory[part], os.getpid(), 0.0, None),
        [3, 1, 2],
        lambda *message: told.append(message),
        processes=2,
    )
    assert sorted((part, value) for part, value, *_ in told) == [(1, 10), (2, 20), (3, 30)]
    assert os.getpid() not in {process for _, _, process, *_ in told}


def test_a_single_part_computes_as_it_would_among_others():
    """As the last one that is missing when a run is gone on with: other threads, other sums, another network."""
    threads = []
    for parts in ([1, 2], [1]):
        side_by_side(
            lambda part, tell: tell(part, torch.get_num_threads(), 0, 0.0, None), parts, lambda *m: threads.append(m[1])
        )
    assert threads == [1, 1, 1]


def test_with_one_process_the_parts_follow_each_other_here():
    told = []
    side_by_side(
        lambda part, tell: tell(part, 0, os.getpid(), 0.0, None), [2, 1], lambda *m: told.append(m), processes=1
    )
    assert [(part, process) for part, _, process, *_ in told] == [(2, os.getpid()), (1, os.getpid())]


def test_what_a_part_raises_is_raised_here():
    def work(part, tell):
        if part == 2:
            raise ValueError("The train part has 0 scans.")

    with pytest.raises(ValueError, match="The train part has 0 scans"):
        side_by_side(work, [1, 2, 3], lambda *message: None, processes=2)


def test_a_process_that_the_system_ends_is_said_in_a_sentence():
    with pytest.raises(ChildProcessError, match="want of memory"):
        side_by_side(
            lambda part, tell: os.kill(os.getpid(), signal.SIGKILL), [1, 2], lambda *message: None, processes=2
        )


def test_nothing_to_do_is_nothing():
    side_by_side(lambda part, tell: pytest.fail("no part"), [], lambda *message: None)
