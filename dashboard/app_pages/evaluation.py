"""How good the model is on the scans readers have reviewed here, live."""

from datetime import UTC, datetime
from functools import partial

import streamlit as st

from core.labels import counted
from core.manifest import BadBundle
from dashboard import resources
from dashboard.components import confusion, frame, questions, words
from services import figures, tables
from services.evaluation_report import in_html
from services.exporting import exported
from services.models import NoSuchVersion, manifest_of, trained_elsewhere
from services.overview import model_versions
from services.reporting import FEW, at_operating_points, live_evaluation
from services.review import openable

st.title("Evaluation")
ws = resources.workspace()
frame.serving()
versions = model_versions(ws)
if not versions:
    st.write("No model is installed, and none has read a scan.")
    st.stop()

question = questions.ask(ws, versions)
live = live_evaluation(ws, question)
report = live.report
if report is None:
    st.write(questions.nothing(ws, question, live))
    if live.selection.unread_by_model:
        questions.offer_reading(ws, question)
    st.stop()
try:
    manifest = manifest_of(ws, question.version)
    points, abstain_below, trained_on = manifest.operating_points, manifest.abstain_below, frame.limits(manifest)
    if not (known := not trained_elsewhere(ws, manifest)):
        trained_on += (
            " It comes from another installation, or goes on from a model that does: it may have been trained on more "
            "of these patients than is known here."
        )
except (BadBundle, NoSuchVersion):
    points, abstain_below, trained_on, known = {}, None, "The record of this model version is gone.", False

st.markdown(
    f"**{counted(report.n, 'reviewed scan')} of {counted(report.patients or 0, 'patient')}**, "
    f"read by {question.version}. {trained_on} "
    f"95 % intervals, {report.interval}."
)
if question.synthetic:
    st.caption(":material/science: Synthetic demo cases: these figures say nothing about patients.")
if report.n < FEW:
    st.warning(
        f"Fewer than {FEW} scans: the figures may change a lot with the next few verdicts.", icon=":material/info:"
    )
notes = tables.notes(live)
for note in notes:
    if note.startswith("**"):
        st.warning(note, icon=":material/info:")
if live.selection.unread_by_model:
    questions.offer_reading(ws, question)
st.table(tables.overall(live).set_index("Figure"))
for note in notes:
    if not note.startswith("**"):
        st.caption(note)

reached = at_operating_points(live.rows, points)
left, right = st.columns([1, 1.3], gap="large")
with left:
    st.subheader("Confusion matrix")
    confusion.draw(report, live.rows)
with right:
    st.subheader("By class")
    st.table(tables.by_class(report, reached).set_index("Figure"))

places = [column for _ in range(2) for column in st.columns(2, gap="large")]
descriptions = (
    "ROC curves; their areas are in the table by class",
    "Precision over recall, each class against the rest",
    "How often the model is right, by confidence",
    "Share of wrong answers, by the share of scans answered",
)
curves = figures.curves(report, reached, abstain_below)
for place, (title, figure), description in zip(places, curves.items(), descriptions, strict=True):
    place.subheader(title)
    if figure:
        place.plotly_chart(figure, key=title, alt=description)
    else:
        place.write(figures.UNDRAWN)

st.subheader("Agreement")
words.table(tables.agreement(live.agreement), empty="Nobody has given a class yet.")
compared = questions.compare(ws, question)

st.subheader("Groups")
words.table(tables.groups(live.groups), empty="No group yet.")
st.caption(tables.GROUPS_ARE)

may_see, hidden = openable(ws, list(live.rows["scan_id"]), frame.reader(), blind_first=frame.blind_first())
if hidden:
    st.caption(f"The rows leave out {counted(hidden, 'scan')} that you have yet to read blind.")
html, csv = st.columns(2)
# here, for the download's thread knows neither the viewer's zone nor the reader
made, name = words.local(datetime.now(UTC)), f"evaluation-{questions.file_name(question)}"
taken_out = partial(exported, ws, actor=frame.reader())
html.download_button(
    "Download the report (HTML)",
    lambda: taken_out(
        in_html(
            live,
            made=made,
            points=points,
            abstain_below=abstain_below,
            trained_on=trained_on,
            compared=compared,
        ),
        file=f"{name}.html",
        scans=len(live.rows),
    ),
    f"{name}.html",
    "text/html",
    icon=":material/download:",
    on_click="ignore",
    width="stretch",
)
csv.download_button(
    "Download the rows (CSV)",
    lambda: taken_out(tables.rows_csv(live, may_see, known=known), file=f"{name}.csv", scans=len(may_see)),
    f"{name}.csv",
    "text/csv",
    icon=":material/download:",
    on_click="ignore",
    width="stretch",
)
