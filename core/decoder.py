"""Reads files that strangers made in a process of its own, so that a decoder's crash, hang or hunger costs one file.

The child (`python -m core.decoder`) has a limit on its memory and knows no database and no network; the parent waits a
stated time for each answer, kills a child that does not give one, and starts another. They speak over two pipes in
frames of a JSON head and a body of bytes: nothing that the child says is executed.
"""

import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from core.pseudonym import Pseudonym
from core.scan import Scan, UnreadableScan

T = TypeVar("T")
_SIZES = struct.Struct("<QQ")  # bytes of the head, bytes of the body
_CHILD = (sys.executable, "-m", "core.decoder")
_ROOT = Path(__file__).resolve().parent.parent


class Decoder:
    """`core.volume.read_all` in a child process. Safe to share between threads: one file at a time."""

    def __init__(self, *, seconds: float, memory_mb: float, command: Sequence[str] = _CHILD) -> None:
        self._seconds, self._memory_mb, self._command = seconds, memory_mb, tuple(command)
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def read_all(
        self, data: bytes, name: str = "", *, pseudonym: Pseudonym | None = None, megapixels: float = 16
    ) -> Iterator[Scan]:
        """As `core.volume.read_all`; also raises UnreadableScan where a slice takes too long or too much memory.

        Slices come one by one, so that a large volume never lies here whole. The child is held until the last.
        """
        head = {"name": name, "megapixels": megapixels, "secret": pseudonym.secret.hex() if pseudonym else None}
        with self._lock:
            ended = False
            try:
                self._guarded(lambda: self._ask(head, data))
                while True:
                    answer, body = self._guarded(self._answer)
                    ended = "refused" in answer or "end" in answer
                    if reason := answer.get("refused"):
                        raise UnreadableScan(reason)
                    if ended:
                        return
                    pixels = np.frombuffer(body, np.float32).reshape(answer["shape"]).copy()
                    yield Scan(pixels, answer["unit"], answer["patient_key"], answer["study_key"], answer["meta"])
            finally:
                if not ended:  # slices nobody asked for any more must not answer the next question
                    self._stop()

    def _guarded(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except TimeoutError as error:
            raise UnreadableScan(
                f"Reading the file took longer than {self._seconds:g} s, so it was left out. Export it again."
            ) from error
        except (OSError, EOFError, ValueError) as error:
            raise UnreadableScan(
                "The file made its decoder stop: it is damaged, or made to do harm. Export the series again."
            ) from error

    def _ask(self, head: dict[str, Any], body: bytes) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            child = self._child = self._start()
        assert child.stdin is not None
        _send(child.stdin, head, body)

    def _answer(self) -> tuple[dict[str, Any], bytes]:
        assert self._child is not None
        assert self._child.stdout is not None
        return _receive(self._child.stdout, time.monotonic() + self._seconds)

    def _start(self) -> subprocess.Popen[bytes]:
        few = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
        child = subprocess.Popen(
            [*self._command, str(int(self._memory_mb))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders print header bytes, a patient's name among them
            cwd=_ROOT,
            env={**os.environ, **few},
        )
        assert child.stdout is not None
        _receive(child.stdout, time.monotonic() + max(60.0, self._seconds))  # imports are not the file's time
        return child

    def _stop(self) -> None:
        if self._child:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._child = None

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._stop()

    def __del__(self) -> None:
        self._stop()


def _send(pipe: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    text = json.dumps(head).encode()
    pipe.write(_SIZES.pack(len(text), len(body)) + text)
    pipe.write(body)
    pipe.flush()


def _receive(pipe: IO[bytes], deadline: float | None = None) -> tuple[dict[str, Any], bytes]:
    """One frame. Raises TimeoutError after the deadline, EOFError where the other side has gone."""
    head_size, body_size = _SIZES.unpack(_exactly(pipe, _SIZES.size, deadline))
    head = json.loads(_exactly(pipe, head_size, deadline))
    return head, _exactly(pipe, body_size, deadline)


def _exactly(pipe: IO[bytes], size: int, deadline: float | None) -> bytes:
    parts, missing = [], size
    while missing:
        if deadline is not None and not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(pipe.fileno(), min(missing, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """The child's whole life: read what is asked for, until the parent goes."""
    from core.volume import read_all  # the decoders, which only the child ever loads

    _send(answers, {"ready": True})
    with contextlib.suppress(EOFError):
        while True:
            head, data = _receive(requests)
            for answer in _answers(read_all, head, data):
                _send(answers, *answer)


def _answers(
    read_all: Callable[..., Iterator[Scan]], head: dict[str, Any], data: bytes
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """A frame for each slice, then the end or why there are no more."""
    pseudonym = Pseudonym(bytes.fromhex(head["secret"])) if head["secret"] is not None else None
    try:
        for scan in read_all(data, head["name"], pseudonym=pseudonym, megapixels=head["megapixels"]):
            facts = {name: getattr(scan, name) for name in ("unit", "patient_key", "study_key", "meta")}
            yield {**facts, "shape": scan.pixels.shape}, scan.pixels.tobytes()
    except UnreadableScan as error:
        yield {"refused": str(error)}, b""
    except MemoryError:
        yield {"refused": "Reading the file takes more memory than is allowed. Export single slices."}, b""
    except Exception:  # what a reader did not foresee costs its file, not this process
        yield {"refused": "The file is damaged, or says what cannot be. Export the series again."}, b""
    else:
        yield {"end": True}, b""


def _limit_memory(megabytes: int) -> None:
    """Where the system can (Linux, macOS); elsewhere the time limit alone protects."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


if __name__ == "__main__":
    _limit_memory(int(sys.argv[1]))
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a decoder prints must not mix with the answers
    serve(sys.stdin.buffer, out)
