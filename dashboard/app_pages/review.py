"""One scan at a time: look, confirm or correct, next."""

from contextlib import suppress

import streamlit as st

from core.preprocess import WINDOWS
from core.reading import is_meaningless, not_head_ct
from core.scan import UnreadableScan
from dashboard import resources
from dashboard.components import frame, panel, reading_desk, viewer, words
from db.images import ImageMissing
from services.rereading import ensure_reading
from services.review import NoSuchScan
from services.review import case as get_case

ws = resources.workspace()
model = frame.serving()
reading_desk.show_refusal()
scan_id = None if st.session_state.get("finished") else reading_desk.current_scan()

if scan_id is None:
    st.title("Review")
    reading_desk.say_ended()
    reading_desk.show_stored()
    st.write("Scans that another reader has read wait in the worklist for a second reading.")
    st.button("Look for scans nobody has read", type="primary", on_click=frame.forget_queue)
    if reading_desk.current_queue():
        st.button("Back to the last scan", shortcut="Left", on_click=reading_desk.step, args=(-1, None))
    st.stop()

try:  # all that takes time comes before the first element, so that picture and answer change together
    if model:
        with frame.model_may_stop():
            ensure_reading(ws, model, scan_id)
    case = get_case(ws, scan_id, frame.reader(), blind_first=frame.blind_first())
    reading_desk.look_at_brain(case)
    chosen = st.session_state.get("window", "Brain")
    pixels = resources.scan_png(case.scan.content_hash, chosen)
    around = resources.neighbours(case.scan, chosen)
    heat = (
        resources.heat_png(case.reading.id, case.scan.content_hash, case.reading.model_version)
        if case.reading and not not_head_ct(case.reading) and not is_meaningless(case.reading)
        else None
    )
except (ImageMissing, NoSuchScan, UnreadableScan) as error:
    if isinstance(error, NoSuchScan):
        st.error(str(error))
    else:
        st.error(f"Scan {scan_id}: {error}")
        with suppress(NoSuchScan):  # its batch has just been taken back
            panel.lost(get_case(ws, scan_id, frame.reader(), blind_first=frame.blind_first()))
    st.button("Next scan", shortcut="Right", on_click=reading_desk.step, args=(1, scan_id))
    st.stop()

frame.note_seen(case)
ids = reading_desk.current_queue()
picture, beside = st.columns([2.4, 1], gap="medium")

with picture:
    title, window = st.columns([1.35, 1], vertical_alignment="center")
    place = f"{ids.index(scan_id) + 1} of {len(ids)} · " if scan_id in ids else ""
    title.markdown(f"**{place}{case.title}** · scan {scan_id}" + (" · synthetic" if case.scan.synthetic else ""))
    if case.scan.unit == "HU":
        window.segmented_control(
            "Window",
            list(WINDOWS),
            default="Brain",
            required=True,
            key="window",
            label_visibility="collapsed",
            persist_state="session",
        )
    right = ", the patient's right at the image's left" if case.scan.sides_known else ""
    description = f"Axial CT slice{right}, {case.title}, {words.model_column(case)}"
    viewer.draw(
        pixels,
        heat,
        around,
        key=f"viewer-{scan_id}",
        window=words.shown_as(case.scan, chosen),
        presets=case.scan.unit == "HU",
        sides_known=case.scan.sides_known,
        description=description,
        verdict_keys="".join(panel.KEYS.values()),
    )

with beside:
    # what comes and goes in here would take the keys of the buttons below for a moment, or move them
    with st.container(key=frame.STEADY):
        panel.alarm(case)
        panel.answer(case)
        panel.own_verdict(case)
        panel.settle(case)
    with st.container():
        panel.verdict_buttons(case)
    back, forward = st.columns(2)
    next_label = "Next" if case.own_verdict else "Skip"
    for column, label, key, shortcut, offset in (
        (back, "Back", "back", "Left", -1),
        (forward, next_label, "next", "Right", 1),
    ):
        column.button(
            label, key=key, shortcut=shortcut, width="stretch", on_click=reading_desk.step, args=(offset, scan_id)
        )
    reading_desk.show_stored()
    panel.reservations(case)
    panel.remarks(case)
    panel.past(case)
