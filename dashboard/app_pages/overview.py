"""What waits, which model serves, and how often readers agreed with it."""

import streamlit as st

from core.labels import counted, in_words
from core.manifest import BadBundle
from dashboard import resources
from dashboard.components import frame, words
from services.demo import DEMO_READER, load_demo
from services.models import demonstration_model
from services.overview import overview

st.title("Overview")
ws = resources.workspace()
model = frame.serving()
now = overview(ws, frame.reader(), blind_first=frame.blind_first())

if not now.scans:
    st.subheader("The case log is empty")
    st.write("Upload your first scans, or load synthetic demo cases to look around.")
    upload, demo, _ = st.columns([1, 1, 3])
    if upload.button("Upload scans", type="primary", width="stretch"):
        st.switch_page("app_pages/upload.py")
    if model and demo.button("Load demo cases", width="stretch"):
        try:
            with st.spinner("Drawing and reading synthetic heads…"):
                load_demo(ws, demonstration_model(ws))
        except (BadBundle, OSError) as error:
            st.error(f"The demo cases were not all read. {error}", icon=":material/error:")
        else:
            st.rerun()
    st.stop()

waiting, read, agreement, scans = st.columns(4)
waiting.metric(
    "Waiting for you",
    now.waiting,
    border=True,
    help="Scans that nobody has read, and the other scans of patients drawn for the blind audit whom you have begun.",
)
read.metric("Reviewed", now.reviewed, border=True)
agreement.metric(
    "Agreed, on demo cases" if now.compared_on_demo else "Agreed, where it answered",
    f"{now.agreeing} of {now.comparable}",
    border=True,
    help="Of the reviewed scans with one class that the model answered, those whose verdict is the same. On the others "
    "it abstained, or took them for no head CT, or was trained on the patient, or you have yet to read them blind, or "
    "it has not read them (a version that begins to serve reads a scan when that is opened). Evaluation has more.",
)
scans.metric("Scans in the log", now.scans, border=True)

if now.waiting:
    uncertain = f", {now.uncertain_waiting} of them where the model abstains" if now.uncertain_waiting else ""
    wait = "waits" if now.waiting == 1 else "wait"
    st.write(f"**{counted(now.waiting, 'scan')} {wait} for you**{uncertain}.")
    if st.button("Start reading", type="primary", shortcut="S"):
        frame.forget_queue()
        st.switch_page("app_pages/review.py")
else:
    st.success("Nothing waits for you: every scan has been read.", icon=":material/check:")
if now.disputed:
    st.warning(
        f"Readers differ on {counted(now.disputed, 'scan')}. The worklist shows them under “readers differ”.",
        icon=":material/groups:",
    )
if now.synthetic:
    st.caption(
        f"{now.synthetic} of {counted(now.scans, 'scan')} are synthetic demo cases, some of which came with the "
        f"verdict of a made-up “{DEMO_READER}”. They never mix with real ones in figures."
    )

if model:
    manifest = model.manifest
    st.subheader("The model that serves")
    st.markdown(
        f"**{manifest.version}**, made {words.when(manifest.created_at)}. "
        f"It answers {', '.join(in_words(c).lower() for c in manifest.classes[:-1])} or "
        f"{in_words(manifest.classes[-1]).lower()}."
    )
    st.write(frame.limits(manifest))
