"""What an upload has come to, kept while it runs: a page that is left or clicked on stops the run, not what it did."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.predict import Predictor
from dashboard.components import frame, words
from services.files import files_in, unpacked
from services.intake import Received, receive
from services.workspace import Workspace


@dataclass
class Upload:
    """One batch, so far."""

    lines: list[dict[str, str]] = field(default_factory=list)
    scan_ids: list[int] = field(default_factory=list)
    files: int = 0
    whole: bool = False

    def add(self, received: Received) -> None:
        if received.outcome == "stored" and received.scan_id is not None:
            self.scan_ids.append(received.scan_id)
        self.lines.append(_line(received))

    @property
    def counts(self) -> str:
        """As "3 stored, 1 refused"."""
        counts = Counter(line["Outcome"] for line in self.lines)
        return ", ".join(f"{counts[name]} {name}" for name in ("stored", "duplicate", "refused") if counts[name])


def take_in(ws: Workspace, predictor: Predictor, files: Sequence[Any], upload: Upload) -> None:
    """Take in what a browser sent, with a bar; goes on where an earlier run of the same files was stopped."""
    progress, began = st.progress(0.0, "Reading…"), time.monotonic()
    before = {line["File"] for line in upload.lines}
    done = len(upload.lines)
    upload.files = sum(files_in(file.getvalue()) for file in files)
    incoming = (one for file in files for one in unpacked(file.name, file.getvalue(), limits=ws.settings.limits))
    goes_on = upload.scan_ids[0] if upload.scan_ids else None
    for received in receive(ws, predictor, incoming, source="upload", actor=frame.reader(), goes_on=goes_on):
        if received.outcome == "stored" or received.file not in before:
            upload.add(received)
        fresh, total = len(upload.lines) - done, max(upload.files, len(upload.lines))  # a volume holds many
        left = (time.monotonic() - began) / max(1, fresh) * (total - len(upload.lines))
        say = f"; about {left:.0f} s left" if left else ""
        progress.progress(len(upload.lines) / total, f"{len(upload.lines)} of {total}: {upload.counts}{say}")
    upload.whole = True


def _line(received: Received) -> dict[str, str]:
    reading = received.reading
    answer = ""
    if reading:
        answer = words.HIDDEN if received.audit or frame.blind_first() else words.finding(reading)
    return {
        "File": received.file,
        "Outcome": received.outcome,
        "Model": answer,
        "Reason": received.reason or "",
    }
