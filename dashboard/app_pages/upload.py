"""A batch of files comes in; each gets its line."""

import pandas as pd
import streamlit as st

from core.labels import counted
from dashboard import resources
from dashboard.components import frame, words
from dashboard.components.uploading import (
    forget_if_taken_back,
    lines,
    noted,
    notice,
    read_all,
    running,
    told,
    undo_button,
)
from services.review import NoSuchScan, case
from services.uploads import Upload

SAID = 12  # sentences about files of a kind

st.title("Upload")
ws = resources.workspace()
model = frame.serving()
if model is None:
    st.write("No scan can be taken in until a model serves: Models, or whoever runs this, can let one serve.")
else:
    st.write(
        "Axial brain CT: JPG, PNG, TIFF, BMP, GIF, WebP, DICOM or NIfTI, any number of files, zips or a whole folder. "
        "What cannot be read is named; the rest goes through. Stay on this page until the browser has sent them."
    )
upload = frame.last_upload()
if upload and upload.running:
    running(ws, upload)
    st.stop()
if upload:
    forget_if_taken_back(ws, upload)

if model is not None:
    whole = st.segmented_control(
        "What to upload", ["Files or zips", "A folder"], default="Files or zips", label_visibility="collapsed"
    )
    files = st.file_uploader(
        "Scans",
        accept_multiple_files="directory" if whole == "A folder" else True,
        key=f"files-{whole}-{frame.uploads_begun()}",
        label_visibility="collapsed",
        max_upload_size=int(ws.settings.limits.upload_mb),
    )
    if files:
        sent = [(file.name, file.getvalue()) for file in files]
        frame.begin_upload(Upload(ws, model, sent, actor=frame.reader()))
        st.rerun()

notice()
if st.session_state.pop("upload_forgotten", False):
    st.info(
        "The server no longer knows the files of this upload one by one: it has been started again since. What was "
        "stored is in the worklist, under its batch; upload whatever is not: what is there already is not stored twice."
    )
if upload and upload.problem:
    st.error(f"**The upload stopped.** {upload.problem}", icon=":material/error:")
if upload and upload.received:
    scan_ids, table = upload.scan_ids, pd.DataFrame(lines(ws, upload))
    here = scan_ids or upload.ids_of_duplicates
    st.subheader(upload.counts)
    if not upload.whole:
        st.warning(
            f"It ended after {len(upload.received)} of {counted(upload.expected, 'file')}. What is listed is stored; "
            "upload the rest again.",
            icon=":material/warning:",
        )
    read_column, list_column, undo_column, _ = st.columns([1.2, 1.2, 1, 1])
    if here and read_column.button(f"Read {counted(len(here), 'scan')}", type="primary", shortcut="S"):
        read_all(ws, here)
    if scan_ids and list_column.button("Show them in the worklist", shortcut="L"):
        try:
            frame.list_batch(case(ws, scan_ids[0], frame.reader()).scan.batch_id)
        except NoSuchScan:
            st.error("This batch has been taken back meanwhile.")
        else:
            st.switch_page("app_pages/worklist.py")
    if scan_ids:
        with undo_column:
            undo_button(ws, scan_ids[0])
    refused = table[table["Outcome"] == "refused"]
    for icon, rows in ((":material/block:", refused), (":material/info:", noted(table))):
        said = told(rows)
        for sentence in said[:SAID]:
            st.markdown(f"{icon} {sentence}")
        if len(said) > SAID:
            st.markdown(f"{icon} More is said in the table below.")
    if len(refused):
        st.download_button("Download the refusals", words.for_spreadsheets(refused), "refused.csv", "text/csv")
    st.dataframe(table, hide_index=True, width="stretch")
