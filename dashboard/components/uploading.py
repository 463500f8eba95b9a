"""What an upload has come to, kept while it runs: a page that is left or clicked on stops the run, not what it did."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.predict import Predictor
from dashboard.components import frame, words
from services.files import files_in, unpacked
from services.intake import Received, receive
from services.review import cases
from services.workspace import Workspace


@dataclass
class Upload:
    """One batch, so far."""

    received: list[Received] = field(default_factory=list)
    files: int = 0
    whole: bool = False

    @property
    def scan_ids(self) -> list[int]:
        """Of what was stored."""
        return [one.scan_id for one in self.received if one.outcome == "stored" and one.scan_id is not None]

    @property
    def counts(self) -> str:
        """As "3 stored, 1 refused"."""
        counts = Counter(one.outcome for one in self.received)
        return ", ".join(f"{counts[name]} {name}" for name in ("stored", "duplicate", "refused") if counts[name])

    def lines(self, ws: Workspace) -> list[dict[str, str]]:
        """A line a file, with what this session's reader may know now of the model's answers."""
        ids = {one.scan_id for one in self.received if one.scan_id is not None}
        found = {case.scan.id: case for case in cases(ws, frame.reader(), blind_first=frame.blind_first(), ids=ids)}
        return [_line(one, found) for one in self.received]


def take_in(ws: Workspace, predictor: Predictor, files: Sequence[Any], upload: Upload) -> None:
    """Take in what a browser sent, with a bar; goes on where an earlier run of the same files was stopped."""
    progress, began = st.progress(0.0, "Reading…"), time.monotonic()
    before, done = {one.file for one in upload.received}, len(upload.received)
    upload.files = sum(files_in(file.getvalue()) for file in files)
    incoming = (one for file in files for one in unpacked(file.name, file.getvalue(), limits=ws.settings.limits))

    def add(chunk: Iterable[Received]) -> None:
        """All that has just been stored, before anything is drawn, for that may be the end of this run."""
        upload.received += [one for one in chunk if one.outcome == "stored" or one.file not in before]

    goes_on = next(iter(upload.scan_ids), None)
    for _ in receive(ws, predictor, incoming, source="upload", actor=frame.reader(), goes_on=goes_on, tell=add):
        count, total = len(upload.received), max(upload.files, len(upload.received))  # a volume holds many
        left = (time.monotonic() - began) / max(1, count - done) * (total - count)
        say = f"; about {left:.0f} s left" if left else ""
        progress.progress(count / total, f"{count} of {total}: {upload.counts}{say}")
    upload.whole = True


def _line(received: Received, found: dict[int, Any]) -> dict[str, str]:
    case = found.get(received.scan_id or 0)
    answer = ""
    if case and case.hidden:
        answer = words.HIDDEN
    elif case and case.reading:
        answer = words.finding(case.reading)
    return {
        "File": received.file,
        "Outcome": received.outcome,
        "Model": answer,
        "Reason": received.reason or "",
    }
