"""Several trainings at a time, each in a process of its own: with a network as small as ours, two processes of one
thread train more than one process of two."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from threading import Thread
from typing import Any

import torch

from services.crossvalidation import Tell

Work = Callable[[int, Tell], None]
"""Told (part, whom to tell)."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(work: Work, parts: Sequence[int], tell: Tell, processes: int | None = None) -> None:
    """`work` for every part, in the order given, as many at a time as there are cores or `processes`.

    The processes are forks of this one, so that they share what it has in memory, and compute with one thread, as
    torch's own data loaders do; a single part too, for another number of threads gives another network. Where a system
    cannot fork, on a GPU, or with `processes` 1, the parts follow each other in this one. What a part raises is raised
    here, ChildProcessError where the system ends one; parts that have not begun are then left.
    """
    count = min(len(parts), processes or cores())
    forks = "fork" in multiprocessing.get_all_start_methods() and not torch.cuda.is_available()
    if not parts or processes == 1 or not forks:
        for part in parts:
            work(part, tell)
        return
    fork = multiprocessing.get_context("fork")
    said: SimpleQueue[Any] = fork.SimpleQueue()
    listener = Thread(target=_listen, args=(said, tell), daemon=True)
    ended = False
    with ProcessPoolExecutor(count, mp_context=fork, initializer=_begin, initargs=(work, said)) as pool:
        futures = [pool.submit(_one, part) for part in parts]
        listener.start()
        try:
            for future in futures:
                future.result()
        except BrokenProcessPool as error:
            ended = True  # it may have held the queue's lock, which nobody would get any more
            raise ChildProcessError(
                "The system ended a training's process, as it does for want of memory. Trainings that had ended before "
                "are kept: the same command goes on from them."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
            if not ended:
                said.put(None)
                listener.join()


def _listen(said: "SimpleQueue[Any]", tell: Tell) -> None:
    while (message := said.get()) is not None:
        tell(*message)


_inherited: list[tuple[Work, "SimpleQueue[Any]"]] = []
"""In a forked process: what is to be done there, and where to tell of it. Neither can be pickled."""


def _begin(work: Work, said: "SimpleQueue[Any]") -> None:
    torch.set_num_threads(1)
    _inherited.append((work, said))


def _one(part: int) -> None:
    work, said = _inherited[-1]
    work(part, lambda *message: said.put(message))
