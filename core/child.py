"""A process of our own making that answers questions, so that what it loads and what befalls it stay there.

Parent and child speak over two pipes in frames of a JSON head and a body of bytes: nothing that either says is
executed.
"""

import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

_ROOT = Path(__file__).resolve().parent.parent
_SIZES = struct.Struct("<QQ")  # bytes of the head, bytes of the body
_IMPORT_S = 60.0
"""A child may take this long to load what it needs."""

Frame = tuple[dict[str, Any], bytes]


class NotStarted(OSError):
    """A child could not be started, whatever it was to be asked."""


class Child:
    """A process that is started when first asked and again after it has ended. For one thread at a time."""

    def __init__(self, command: Sequence[str], *, threads: int | None = None, quiet: bool = False) -> None:
        """`command`: Python's arguments, such as ["-m", "core.decoder"]. `threads`: how many its libraries may use.
        `quiet`: what it prints is for nobody."""
        self._command = (sys.executable, *command)
        self._threads, self._quiet = threads, quiet
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Send a question. Raises OSError or EOFError where the child has gone, NotStarted if it does not start."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        send(self._process.stdin, head, body)

    def answer(self, seconds: float | None = None) -> Frame:
        """Its next frame. Raises TimeoutError after so many seconds, EOFError or OSError where it has gone."""
        assert self._process is not None
        assert self._process.stdout is not None
        return _receive(self._process.stdout, None if seconds is None else time.monotonic() + seconds)

    def start(self) -> dict[str, Any]:
        """Start it, and return the first thing it says. Raises NotStarted."""
        self.stop()
        try:
            self._begin()
            return self.answer(_IMPORT_S)[0]
        except (OSError, EOFError, ValueError) as error:
            self.stop()
            raise NotStarted(str(error)) from error

    def _begin(self) -> None:
        few = (
            {f"{name}_NUM_THREADS": str(self._threads) for name in ("OPENBLAS", "OMP", "MKL")} if self._threads else {}
        )
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if self._quiet else None,
            cwd=_ROOT,
            env={**os.environ, **few},
        )

    @property
    def pid(self) -> int | None:
        """Of the process, where there is one."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None


def serve(
    answers_to: Callable[[dict[str, Any], bytes], Iterable[Frame]],
    requests: IO[bytes],
    answers: IO[bytes],
    first: dict[str, Any],
) -> None:
    """The child's whole life: say `first`, then answer what is asked, until the parent goes."""
    send(answers, first)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            for frame in answers_to(*_receive(requests)):
                send(answers, *frame)


def pipes() -> tuple[IO[bytes], IO[bytes]]:
    """In the child: where questions come from and answers go to. What libraries print must not mix with the answers,
    so from here on standard output is standard error."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, out


def send(pipe: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    """One frame."""
    text = json.dumps(head).encode()
    pipe.write(_SIZES.pack(len(text), len(body)) + text)
    pipe.write(body)
    pipe.flush()


def _receive(pipe: IO[bytes], deadline: float | None = None) -> Frame:
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
