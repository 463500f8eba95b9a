"""What a browser sends is taken in by a thread of its own: who sent it may read the first scans while the rest come."""

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator

from core.labels import counted
from core.model_process import ModelStopped
from core.reading import Model
from db.session import UnusableLog
from services.files import files_in, unpacked
from services.intake import BatchGone, Incoming, Outcome, Received, receive
from services.workspace import Workspace

Sent = Iterable[tuple[str, bytes]]
"""Name and content of files, zips among them."""


class Upload:
    """One batch, on its way in or in. May be looked at from any thread; only its own changes it."""

    def __init__(self, ws: Workspace, model: Model, sent: Sent, *, actor: str) -> None:
        """Nothing happens before `start`."""
        sent = list(sent)
        self.token = uuid.uuid4().hex  # tells it from every other
        self.received: list[Received] = []
        self.problem: str | None = None  # why it ended before its end
        self.files = sum(files_in(data) for _, data in sent)
        self._began, self._stopped, self._cut_short = time.monotonic(), threading.Event(), False
        self._thread = threading.Thread(target=self._take_in, args=(ws, model, sent, actor), daemon=True)

    def start(self) -> None:
        """Begin to take in."""
        self._thread.start()

    def _take_in(self, ws: Workspace, model: Model, sent: Sent, actor: str) -> None:
        try:
            for received in receive(ws, model, self._incoming(ws, sent), source="upload", actor=actor):
                self.received.append(received)
        except (BatchGone, ModelStopped, UnusableLog, OSError) as error:
            self.problem = str(error)
        except Exception:  # it must be said on the page, which a thread's traceback is not
            logging.getLogger(__name__).exception("an upload ended before its end")
            self.problem = "An error of this program ended it; the server's log says which."

    def _incoming(self, ws: Workspace, sent: Sent) -> Iterator[Incoming]:
        for name, data in sent:
            for incoming in unpacked(name, data, limits=ws.settings.limits):
                if self._stopped.is_set():
                    self._cut_short = True
                    return
                yield incoming

    def stop(self) -> None:
        """Take in no further file; those at hand are stored."""
        self._stopped.set()

    def wait(self) -> None:
        """Until it has ended."""
        self._thread.join()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def whole(self) -> bool:
        """Whether it has come to its end, and was not ended before."""
        return not (self.running or self.problem or self._cut_short)

    @property
    def expected(self) -> int:
        """How many lines there will be, as far as can be known: a volume holds many scans."""
        return max(self.files, len(self.received))

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before the first file is in."""
        done = len(self.received)
        return (time.monotonic() - self._began) / done * (self.expected - done) if done else None

    @property
    def scan_ids(self) -> list[int]:
        """Of what was stored, each once: several files of a thin series are one scan."""
        return self._ids("stored")

    @property
    def ids_of_duplicates(self) -> list[int]:
        """Scans that were in the log before, each once."""
        return self._ids("duplicate")

    def _ids(self, outcome: Outcome) -> list[int]:
        ids = [one.scan_id for one in list(self.received) if one.outcome == outcome and one.scan_id is not None]
        return list(dict.fromkeys(ids))

    @property
    def counts(self) -> str:
        """As "3 stored, 1 refused", or "256 stored as 32 scans"."""
        counts, scans = Counter(one.outcome for one in list(self.received)), len(self.scan_ids)
        fewer = f" as {counted(scans, 'scan')}" if scans < counts["stored"] else ""
        said: dict[Outcome, str] = {"stored": f"stored{fewer}", "duplicate": "duplicate", "refused": "refused"}
        return ", ".join(f"{counts[name]} {words}" for name, words in said.items() if counts[name])
