"""Which scan a reader is at, and what their click does. Session state holds ids and notices; facts are in the log."""

import streamlit as st

from core.labels import counted, in_words
from dashboard import resources
from dashboard.components import frame, words
from db.session import UnusableLog
from services.review import Case, NoSuchScan, ScanChanged, cases, new_click, queue, read_by_others, record


def current_queue() -> list[int]:
    """Ids of the scans to go through: those chosen on another page, else all nobody has read, after the one that a
    link names."""
    if "queue" not in st.session_state:
        everything = cases(resources.workspace(), frame.reader(), blind_first=frame.blind_first())
        ids, asked = queue(everything), st.session_state.get("scan")
        st.session_state["queue"] = ids if asked is None else [asked, *(scan_id for scan_id in ids if scan_id != asked)]
        st.session_state["unread_ones"] = True
    return list(st.session_state["queue"])


def current_scan() -> int | None:
    """The scan on the desk: the one asked for, else the first of the queue."""
    if st.session_state.get("scan") is None:
        ids = current_queue()
        st.session_state["scan"] = _first_of(ids) or next(iter(ids), None)
    chosen = st.session_state["scan"]
    if chosen is None:
        return None
    resources.desks().take(frame.reader(), chosen)
    return int(chosen)


def _first_of(ids: list[int]) -> int | None:
    """The first of these scans; in a list of what nobody had read when it was made, the first that no other reader has
    read since, or has before them."""
    if not st.session_state.get("unread_ones"):
        return next(iter(ids), None)
    ws, reader = resources.workspace(), frame.reader()
    return resources.desks().take_first(reader, ids, lambda scan_id: read_by_others(ws, scan_id, reader))


def step(offset: int, scan_id: int | None) -> None:
    """From this scan to the next (1) or the previous (-1) of the queue; past its end there is none, and before that its
    last. A click that comes from a scan that is no longer on the desk does nothing: one would be skipped unseen."""
    try:
        frame.take_reader()
        _step(offset, scan_id)
    except UnusableLog as error:
        kind, _ = st.session_state.get("notice") or ("", "")
        stored = "Your verdict is stored. " if kind == "stored" else ""
        st.session_state["notice"] = ("error", f"{stored}{error}")


def _step(offset: int, scan_id: int | None) -> None:
    ids, scan = current_queue(), st.session_state.get("scan")
    st.session_state.pop("place_lost", None)
    if scan != scan_id:
        return
    otherwise = len(ids) - 1 if scan is None and offset < 0 else 0
    place = ids.index(scan) + offset if scan in ids else otherwise
    if offset > 0:
        st.session_state["scan"] = _first_of(ids[place:])
    else:
        st.session_state["scan"] = ids[place] if 0 <= place < len(ids) else scan
    st.session_state["finished"] = st.session_state["scan"] is None
    if st.session_state["scan"] != scan:
        st.session_state.pop("revealed", None)


def look_at_brain(case: Case) -> None:
    """A bone window, in which brain is one grey, is not carried over to another patient's scan."""
    before = st.session_state.get("patient")
    if before not in (None, case.scan.patient_key) and st.session_state.get("window") == "Bone":
        del st.session_state["window"]
    st.session_state["patient"] = case.scan.patient_key


def just_revealed(case: Case) -> bool:
    """Whether the reader's own blind verdict has just shown the scan's answer. A key pressed in rhythm, meant for the
    next scan, would change that verdict: until they have gone on, a click does."""
    return case.own_verdict is not None and st.session_state.get("revealed") == case.scan.id


def click_id(scan_id: int, version: int) -> str:
    """One id per scan as it was shown, so that a click sent twice is filed once."""
    return str(st.session_state.setdefault(f"click-{scan_id}-{version}-{frame.reader()}", new_click()))


def settles(scan_id: int) -> str:
    """What session state calls this reader's choice that their next verdict settles a scan on which readers differ."""
    return f"adjudicate-{scan_id}-{frame.reader()}"


def file_verdict(scan_id: int, version: int, verdict: str, *, blind: bool, stay: bool) -> None:
    """Store the verdict, then on to the next scan; a blind one stays, to reveal the model's answer.

    A click that comes from the scan before, whose buttons the browser had not yet replaced, stores nothing, and says so
    unless it says again what is stored.
    """
    try:
        frame.take_reader()
        stored = _file(scan_id, version, verdict, blind=blind, stay=stay)
    except (ScanChanged, NoSuchScan) as error:
        st.session_state["notice"] = ("error", str(error))
    except UnusableLog as error:
        st.session_state["notice"] = ("error", f"Your verdict was not stored. {error}")
    else:
        if stored and not stay:
            step(1, scan_id)


def _file(scan_id: int, version: int, verdict: str, *, blind: bool, stay: bool) -> bool:
    """Whether it was stored."""
    st.session_state.pop("place_lost", None)
    if st.session_state.get("scan") != scan_id:
        _say_not_stored(scan_id, verdict)
        return False
    if stay:  # before it is stored: a second key may end this run right after
        st.session_state["revealed"] = scan_id
    record(
        resources.workspace(),
        scan_id,
        reader=frame.reader(),
        verdict=verdict,
        expected_version=version,
        click_id=click_id(scan_id, version),
        blind=blind,
        adjudication=bool(st.session_state.get(settles(scan_id))),
    )
    st.session_state["notice"] = ("stored", f"scan {scan_id}, {in_words(verdict)}")
    return True


def _say_not_stored(scan_id: int, verdict: str) -> None:
    before = cases(resources.workspace(), frame.reader(), ids=[scan_id])
    if before and (known := before[0].own_verdict) != verdict:
        kept = f"is stored as {in_words(known).lower()}" if known else "has no verdict of yours"
        late = f"{in_words(verdict).lower()} came after you had gone on"
        st.session_state["notice"] = ("error", f"Scan {scan_id} {kept}: {late}. Go back to change it.")


def say_ended() -> None:
    """That the list has been gone through, and what of it is unread."""
    ids = current_queue()
    gone_through = cases(resources.workspace(), frame.reader(), ids=ids)
    unread_ones = bool(st.session_state.get("unread_ones"))  # else a list that was chosen, to be read by this reader
    left = sum(
        case.own_verdict is None and (not unread_ones or case.verdict is None or case.scan.audit)
        for case in gone_through
    )
    if left:
        whose, why = (
            ("", "skipped, or before another reader")
            if unread_ones
            else (" of yours", "skipped, or before the one you began with")
        )
        st.info(
            f"This list is gone through. Without a verdict{whose} so far: {left} of {counted(len(ids), 'scan')} "
            f"({why}).",
            icon=":material/info:",
        )
    elif ids:
        st.success("This list is read to its end.", icon=":material/check:")
    else:
        st.info("No scan waits for a first reading.", icon=":material/info:")


def show_refusal() -> None:
    """Why the last click was not stored, once; that the list is another one, until the next click."""
    if st.session_state.get("place_lost"):
        st.warning(
            "The list that you were reading is not known any more, as after the server was started again: this is "
            "another one. What had been stored is stored; the key or click that led here is not.",
            icon=":material/sync_problem:",
        )
    kind, text = st.session_state.get("notice", (None, ""))
    if kind == "error":
        st.session_state.pop("notice")
        st.error(words.plain(text), icon=":material/sync_problem:")
    if kind == "info":
        st.session_state.pop("notice")
        st.info(text, icon=":material/visibility_off:")


def show_stored() -> None:
    """That the last verdict is stored, once and out of the way."""
    _, text = st.session_state.pop("notice", (None, ""))
    st.caption(f":material/check: Stored: {text}" if text else "Each verdict is stored at once.")
