"""Reads files that strangers made in a process of its own, so that a decoder's crash, hang or hunger costs one file.

The child (`python -m core.decoder`) has a limit on its memory and knows no database and no network; the parent waits a
stated time for each answer, kills a child that does not give one, and starts another.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from core.child import Child, Frame, NotStarted, pipes, serve
from core.pseudonym import Pseudonym
from core.scan import Scan, UnreadableScan

T = TypeVar("T")
_COMMAND = ("-m", "core.decoder")
_FACTS = ("unit", "patient_key", "study_key", "meta", "series_key")
"""What is said of a scan beside its pixels."""


class Decoder:
    """`core.volume.read_all` in a child process. Safe to share between threads: one file at a time."""

    def __init__(self, *, seconds: float, memory_mb: float, command: Sequence[str] = _COMMAND) -> None:
        self._seconds = seconds
        # decoders print header bytes, a patient's name among them
        self._child = Child([*command, str(int(memory_mb))], threads=1, quiet=True)
        self._lock = threading.Lock()

    def read_all(
        self, data: bytes, name: str = "", *, pseudonym: Pseudonym | None = None, **limits: float
    ) -> Iterator[Scan]:
        """As `core.volume.read_all`, with its limits; also raises UnreadableScan where a slice takes too long or too
        much memory.

        Slices come one by one, so that a large volume never lies here whole. The child is held until the last.
        """
        head = {"name": name, "limits": limits, "secret": pseudonym.secret.hex() if pseudonym else None}
        with self._lock:
            ended = False
            try:
                self._guarded(lambda: self._child.ask(head, data))
                while True:
                    answer, body = self._guarded(lambda: self._child.answer(self._seconds))
                    ended = "refused" in answer or "end" in answer
                    if reason := answer.get("refused"):
                        raise UnreadableScan(reason)
                    if ended:
                        return
                    pixels = np.frombuffer(body, np.float32).reshape(answer["shape"]).copy()
                    yield Scan(pixels, **{name: answer[name] for name in _FACTS})
            finally:
                if not ended:  # slices nobody asked for any more must not answer the next question
                    self._child.stop()

    def _guarded(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except NotStarted as error:
            raise UnreadableScan(
                "The process that decodes files did not start, so this one was left out and is not to blame. Give this "
                "machine more memory, or raise limits.memory_mb in config.yaml, and send it again."
            ) from error
        except TimeoutError as error:
            raise UnreadableScan(
                f"Reading the file took longer than {self._seconds:g} s, so it was left out. Export it again."
            ) from error
        except (OSError, EOFError, ValueError) as error:
            raise UnreadableScan(
                "The file made its decoder stop: it is damaged, or made to do harm. Export the series again."
            ) from error

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._child.stop()

    def __del__(self) -> None:
        self._child.stop()


def answers_to(head: dict[str, Any], data: bytes) -> Iterator[Frame]:
    """A frame for each slice, then the end or why there are no more."""
    from core.volume import read_all  # the decoders, which only the child ever loads

    pseudonym = Pseudonym(bytes.fromhex(head["secret"])) if head["secret"] is not None else None
    try:
        for scan in read_all(data, head["name"], pseudonym=pseudonym, **head["limits"]):
            facts = {name: getattr(scan, name) for name in _FACTS}
            yield {**facts, "shape": scan.pixels.shape}, scan.pixels.tobytes()
    except UnreadableScan as error:
        yield {"refused": str(error)}, b""
    except MemoryError:
        yield {"refused": "Reading the file takes more memory than is allowed. Export single slices."}, b""
    except Exception:  # what a reader did not foresee costs its file, not this process
        yield {"refused": "The file is damaged, or says what cannot be. Export the series again."}, b""
    else:
        yield {"end": True}, b""


def limit_memory(megabytes: int) -> None:
    """Of this process, where the system can (Linux); elsewhere the time limit alone protects. macOS knows the limit,
    and refuses to set it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


if __name__ == "__main__":
    limit_memory(int(sys.argv[1]))
    import core.volume  # noqa: F401  # its imports are not the first file's time

    serve(answers_to, *pipes(), {"ready": True})
