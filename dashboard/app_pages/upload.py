"""A batch of files comes in; each gets its line."""

import time
from collections import Counter

import pandas as pd
import streamlit as st

from dashboard import resources
from dashboard.components import frame, words
from services.files import files_in, unpacked
from services.intake import BatchInUse, Received, receive, undo
from services.review import case

NAMED = 12  # files with something to say about are named one by one, up to so many of a kind

st.title("Upload")
ws = resources.workspace()
predictor = frame.serving()
if predictor is None:
    st.stop()

st.write(
    "Axial brain CT: JPG, PNG, DICOM or NIfTI, any number of files, zips or a whole folder. What cannot be read is "
    "named; the rest goes through."
)
round_ = st.session_state.setdefault("upload_round", 0)
whole = st.segmented_control(
    "What to upload", ["Files or zips", "A folder"], default="Files or zips", label_visibility="collapsed"
)
files = st.file_uploader(
    "Scans",
    accept_multiple_files="directory" if whole == "A folder" else True,
    key=f"files-{whole}-{round_}",
    label_visibility="collapsed",
    max_upload_size=int(ws.settings.limits.zip_mb),
)


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


if files:
    began, lines, scan_ids = time.monotonic(), [], []
    progress = st.progress(0.0, "Reading…")
    total = sum(files_in(file.getvalue()) for file in files)
    incoming = (one for file in files for one in unpacked(file.name, file.getvalue(), limits=ws.settings.limits))
    for received in receive(ws, predictor, incoming, source="upload", actor=frame.reader()):
        lines.append(_line(received))
        if received.outcome == "stored":
            scan_ids.append(received.scan_id)
        left = (time.monotonic() - began) / len(lines) * (total - len(lines))
        so_far = ", ".join(f"{n} {outcome}" for outcome, n in Counter(line["Outcome"] for line in lines).items())
        progress.progress(min(1.0, len(lines) / total), f"{len(lines)} of {total}: {so_far}; about {left:.0f} s left")
    st.session_state["uploaded"] = (lines, scan_ids)
    st.session_state["upload_round"] = round_ + 1  # a new key lets the server forget the bytes
    st.rerun()

if notice := st.session_state.pop("upload_notice", None):
    st.success(notice)
if "uploaded" in st.session_state:
    lines, scan_ids = st.session_state["uploaded"]
    table = pd.DataFrame(lines)
    counts = table["Outcome"].value_counts()
    st.subheader(", ".join(f"{counts[name]} {name}" for name in ("stored", "duplicate", "refused") if name in counts))
    read_column, list_column, undo_column, _ = st.columns([1.2, 1.2, 1, 1])
    if scan_ids and read_column.button(f"Read these {len(scan_ids)} scans", type="primary", shortcut="S"):
        st.session_state["queue"] = scan_ids
        st.session_state.pop("scan", None)
        st.switch_page("app_pages/review.py")
    if scan_ids and list_column.button("Show them in the worklist", shortcut="L"):
        st.session_state["worklist_batch"] = case(ws, scan_ids[0], frame.reader()).scan.batch_id
        st.switch_page("app_pages/worklist.py")
    if scan_ids and undo_column.button("Undo this batch", help="Possible until something in it has been reviewed."):
        try:
            gone = undo(ws, scan_ids[0], actor=frame.reader())
        except BatchInUse as error:
            st.error(str(error))
        else:
            del st.session_state["uploaded"]
            frame.forget_queue()
            st.session_state["upload_notice"] = f"{gone} scans were taken back."
            st.rerun()
    refused = table[table["Outcome"] == "refused"]
    noted = table[(table["Outcome"] == "stored") & (table["Reason"] != "")]
    for icon, rows in ((":material/block:", refused), (":material/info:", noted)):
        for row in rows.head(NAMED).to_dict("records"):
            st.markdown(f"{icon} **{words.plain(row['File'])}**: {row['Reason']}")
        if len(rows) > NAMED:
            st.markdown(f"{icon} and {len(rows) - NAMED} more, in the table below.")
    if len(refused):
        st.download_button("Download the refusals", words.for_spreadsheets(refused), "refused.csv", "text/csv")
    st.dataframe(table, hide_index=True, width="stretch")
