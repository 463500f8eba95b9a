"""An upload while it runs, and what has become of each of its files."""

import time
from collections.abc import Callable
from typing import Any, NoReturn

import pandas as pd
import streamlit as st

from core.labels import counted
from dashboard.components import frame, words
from services.arrivals import ANOTHER_PATIENT_NOTE, BURNED_IN_NOTE
from services.intake import Received
from services.ordering import in_place
from services.removal import BatchInUse, taken_back, undo
from services.review import cases
from services.uploads import Upload
from services.workspace import Workspace

LOOK_S = 0.3
STALE = 40
"""Elements of the page as it was, which would stand below a running upload until it has ended."""
NAMED = 3
"""Files of which the same is said are named, so many of them."""
_NOTICE = "batch_notice"


def running(ws: Workspace, upload: Upload) -> None:
    """An upload under way, and what can be done meanwhile; at its end the page is drawn anew.

    By a loop, which a click ends: the reruns of a fragment that runs by the clock would end the page gone to next.
    """
    bar, here = st.progress(0.0), upload.scan_ids
    read, stop, _ = st.columns([1.4, 1, 2])
    if here and read.button("Read those already here", type="primary", shortcut="S"):
        read_all(ws, here)
    if stop.button("Stop", help="What is stored stays stored."):
        upload.stop()
    st.caption("You may go on meanwhile: leaving this page does not stop it.")
    for _ in range(STALE):
        st.empty()
    while upload.running and bool(here) == bool(upload.scan_ids):
        bar.progress(*_so_far(upload))
        time.sleep(LOOK_S)
    st.rerun()


def read_all(ws: Workspace, scan_ids: list[int]) -> None:
    """To the scans of an upload, slice by slice: files come in any order."""
    frame.go_through(in_place(ws, scan_ids))
    st.switch_page("app_pages/review.py")


def _so_far(upload: Upload) -> tuple[float, str]:
    """How far a bar reaches, and what stands above it. Nobody knows how many scans a volume holds."""
    done, left = len(upload.received), upload.seconds_left
    if done >= upload.files:
        return 0.95, f"{done} so far: {upload.counts}"
    say = f": {upload.counts}; about {left:.0f} s left" if left else ""
    return done / max(1, upload.files), f"{done} of {upload.files}{say}"


def undo_button(ws: Workspace, scan_id: int) -> None:
    """Takes back the batch that a scan came with, asked once more, and draws the page anew with a word on it."""
    with st.popover("Undo this batch", width="stretch"):
        st.write(
            "All scans that came with it leave the case log, for every reader. Possible until one of them has been "
            "reviewed or somebody else has uploaded it too."
        )
        if not st.button("Take the batch back", type="primary"):
            return
    try:
        gone = undo(ws, scan_id, actor=frame.reader())
    except (BatchInUse, OSError) as error:
        _say_next(st.error, str(error))
    frame.forget_queue()
    _say_next(st.success, f"{counted(gone, 'scan')} taken back.")


def _say_next(how: Callable[[str], object], what: str) -> NoReturn:
    """Draws the page anew with a word on it, across the page."""
    st.session_state[_NOTICE] = how, what
    st.rerun()


def forget_if_taken_back(ws: Workspace, upload: Upload) -> None:
    """The page does not speak any more of an upload whose batch has been taken back, here or elsewhere."""
    if taken_back(ws, upload.scan_ids):
        frame.forget_upload()
        st.session_state.setdefault(_NOTICE, (st.success, "The batch that was uploaded here last has been taken back."))
        st.rerun()


def notice() -> None:
    """What the last click here has done."""
    if said := st.session_state.pop(_NOTICE, None):
        how, what = said
        how(what)


def lines(ws: Workspace, upload: Upload) -> list[dict[str, str]]:
    """A line a file, with what this session's reader may know now of the model's answers."""
    ids = {one.scan_id for one in upload.received if one.scan_id is not None}
    found = {case.scan.id: case for case in cases(ws, frame.reader(), blind_first=frame.blind_first(), ids=ids)}
    return [_line(one, found) for one in upload.received]


def noted(table: pd.DataFrame) -> pd.DataFrame:
    """Of `lines`, the stored files of which there is something to say, and those that were there already under another
    patient."""
    another = table["Reason"].str.contains(ANOTHER_PATIENT_NOTE, regex=False)
    return table[(table["Outcome"] == "stored") & (table["Reason"] != "") | (table["Outcome"] == "duplicate") & another]


def told(rows: pd.DataFrame) -> list[str]:
    """What there is to say of files, of `lines`, as Markdown, whom they name first: the same is said once for all of
    which it is true."""
    said = []
    private_first = rows.sort_values(
        "Reason", key=lambda why: ~why.str.contains(BURNED_IN_NOTE, regex=False), kind="stable"
    )
    for reason, files in private_first.groupby("Reason", sort=False)["File"]:
        names = ", ".join(words.plain(name) for name in files.head(NAMED))
        more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        said.append(f"**{names}{more}**: {words.plain(str(reason))}")
    return said


def _line(received: Received, found: dict[int, Any]) -> dict[str, str]:
    case = found.get(received.scan_id or 0)
    return {
        "File": received.file,
        "Outcome": received.outcome,
        "Model": words.model_column(case) if case else "",
        "Reason": received.reason or "",
    }
