"""A model that reads scans in a process of its own: whoever asks it never loads PyTorch, and waits for nobody's turn
with the interpreter."""

import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.child import Child, Frame, NotStarted, pipes, send, serve
from core.manifest import BadBundle, read_manifest
from core.reading import Reading
from core.scan import Scan

if TYPE_CHECKING:
    from core.predict import Predictor

_COMMAND = ("-m", "core.model_process")


class ModelStopped(BadBundle):
    """The model's process gave no answer, whatever became of its bundle meanwhile: no other version may answer in its
    place."""


class ModelProcess:
    """`core.predict.Predictor` in a child process. Safe to share between threads: one batch at a time."""

    def __init__(self, folder: Path, *, command: Sequence[str] = _COMMAND) -> None:
        """Verify the bundle in `folder` and load it there. Raises BadBundle, ModelStopped where no process starts."""
        self.manifest = read_manifest(folder)
        self._child = Child([*command, str(folder.resolve())])
        self._lock = threading.Lock()
        try:
            problem = self._child.start().get("bad")
        except NotStarted as error:
            raise ModelStopped(
                f"The process that loads {folder.name} did not start. Give this machine more memory, and try again."
            ) from error
        if problem:
            raise BadBundle(problem)

    def read(self, scans: Sequence[Scan]) -> list[Reading]:
        """As `Predictor.read`. Raises ModelStopped where its process does not live to answer, as one the system stops
        for want of memory."""
        if not scans:
            return []
        with self._lock:
            try:
                return self._read(scans)
            except (OSError, EOFError):
                pass  # it may have been stopped while nobody asked: a new one is asked once
            try:
                if problem := self._child.start().get("bad"):
                    raise ModelStopped(problem)
                return self._read(scans)
            except (OSError, EOFError) as error:
                raise ModelStopped(
                    f"The process of {self.manifest.version} stopped before it had read the scans. Give this machine "
                    "more memory, or lower limits.batch_size in config.yaml."
                ) from error

    def _read(self, scans: Sequence[Scan]) -> list[Reading]:
        readings, whole = [], False
        try:
            head = [
                {"shape": s.pixels.shape, "unit": s.unit, "patient_key": s.patient_key, "meta": s.meta} for s in scans
            ]
            self._child.ask({"scans": head}, b"".join(np.ascontiguousarray(s.pixels, np.float32).data for s in scans))
            for _ in scans:
                answer, heat = self._child.answer()
                if "failed" in answer:
                    whole = True  # there is no more to come
                    raise ModelStopped(f"{self.manifest.version} failed over these scans: {answer['failed']}.")
                readings.append(_reading(answer, heat))
            whole = True
        finally:
            if not whole:  # an answer nobody waits for must not answer the next question
                self._child.stop()
        return readings

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._child.stop()

    def __del__(self) -> None:
        if hasattr(self, "_child"):
            self._child.stop()


def _reading(answer: dict[str, Any], heat: bytes) -> Reading:
    shape, box = answer.pop("shape"), answer.pop("heat_box")
    x0, y0, x1, y1 = box
    flags = tuple(answer.pop("flags"))
    return Reading(
        **answer, heat=np.frombuffer(heat, np.uint8).reshape(shape).copy(), heat_box=(x0, y0, x1, y1), flags=flags
    )


def answers_to(predictor: "Predictor", head: dict[str, Any], body: bytes) -> Iterator[Frame]:
    """In the child: a frame for each scan's reading."""
    scans, begin = [], 0
    for one in head["scans"]:
        pixels = np.frombuffer(body, np.float32, int(np.prod(one["shape"])), begin).reshape(one["shape"])
        begin += pixels.nbytes
        scans.append(Scan(pixels, one["unit"], one["patient_key"], meta=one["meta"]))
    try:
        readings = predictor.read(scans)
    except Exception as error:  # to be said to who asked; the process can go on
        logging.getLogger(__name__).exception("a model failed over a batch")
        yield {"failed": f"{type(error).__name__}: {error}"}, b""
        return
    for reading in readings:
        facts = {name: value for name, value in vars(reading).items() if name != "heat"}
        yield {**facts, "shape": reading.heat.shape}, reading.heat.tobytes()


def main() -> None:
    """The child's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, and the child ends with it
    requests, answers = pipes()
    from core.bundle import load
    from core.predict import Predictor

    try:
        predictor = Predictor(load(Path(sys.argv[1])))
    except BadBundle as error:
        send(answers, {"bad": str(error)})
        return
    serve(partial(answers_to, predictor), requests, answers, {"ready": True})


if __name__ == "__main__":
    main()
