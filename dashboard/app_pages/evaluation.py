"""How good the model is on the scans readers have reviewed here, live."""

import pandas as pd
import streamlit as st

from core.labels import in_words
from dashboard import resources
from dashboard.components import frame, words
from services.figures import confusion_figure, roc_figure
from services.models import champion
from services.reporting import live_evaluation, model_versions

FEW = 30

st.title("Evaluation")
ws = resources.workspace()
frame.serving()
versions = model_versions(ws)
if not versions:
    st.write("No scan has been read by a model yet. Upload scans first.")
    st.stop()

serving = champion(ws)
which, scans, verdicts = st.columns([2, 2, 2])
version = which.selectbox(
    "Model version",
    versions,
    index=versions.index(serving) if serving in versions else 0,
    format_func=lambda v: f"{v} (serving)" if v == serving else v,
)
real = live_evaluation(ws, version)
kind = scans.segmented_control(
    "Scans", ["real", "synthetic demo"], default="real" if len(real.rows) else "synthetic demo", required=True
)
stream = verdicts.segmented_control(
    "Verdicts",
    ["all", "read blind"],
    default="all",
    required=True,
    help="A reader who saw the model's answer tends to follow it. Only verdicts given blind are free of that.",
)
result = live_evaluation(ws, version, synthetic=kind != "real", blind_only=stream == "read blind")
report = result.report
if report is None:
    st.write("No reviewed scan of this kind yet. Figures appear with the first verdict.")
    st.stop()

st.markdown(
    f"**{report.n} reviewed scans of {report.patients} patients**, read by {version}. "
    f"95 % intervals: {report.interval}."
)
if kind != "real":
    st.caption(":material/science: Synthetic demo cases: these figures say nothing about patients.")
if report.n < FEW:
    st.warning(
        f"Fewer than {FEW} scans: the figures may change a lot with the next few verdicts.", icon=":material/info:"
    )
if result.seen_in_training:
    st.warning(
        f"{result.seen_in_training} of these scans are of patients the model was trained on; they flatter it.",
        icon=":material/history:",
    )
if stream == "all" and not result.rows["blind"].all():
    st.caption("Most verdicts here were given with the model's answer in view. “read blind” shows those that were not.")

tiles = st.columns(3)
for tile, (name, figure) in zip(
    tiles,
    (
        ("Accuracy", report.accuracy),
        ("Balanced accuracy", report.balanced_accuracy),
        ("F1, mean of classes", report.macro_f1),
    ),
    strict=True,
):
    tile.metric(f"{name}, n = {figure.n}", words.with_interval(figure), border=True)

left, right = st.columns(2)
left.subheader("Confusion matrix")
left.plotly_chart(confusion_figure(report), key="confusion")
right.subheader("ROC, each class against the rest")
if report.roc:
    right.plotly_chart(roc_figure(report), key="roc")
else:
    right.write("A ROC needs scans with and without the finding.")

st.subheader("By class")
st.dataframe(
    pd.DataFrame(
        {
            "Class": in_words(name),
            "Scans": figures.recall.n,
            "Called so": figures.precision.n,
            "Precision": words.with_interval(figures.precision),
            "Recall (sensitivity)": words.with_interval(figures.recall),
            "Specificity": words.with_interval(figures.specificity),
            "F1": words.with_interval(figures.f1),
            "AUC": words.with_interval(figures.auc),
        }
        for name, figures in report.per_class.items()
    ),
    hide_index=True,
    width="stretch",
)
if result.unlabelled:
    st.caption(f"Left out: {result.unlabelled} reviewed scans called unsure or unusable, or on which readers differ.")
st.download_button(
    "Download the rows (CSV)",
    result.rows.to_csv(index=False),
    f"evaluation-{version}.csv",
    "text/csv",
    icon=":material/download:",
)
