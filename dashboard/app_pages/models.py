"""The versions: what each was trained on, its figures, which one serves, and how to change that."""

import pandas as pd
import streamlit as st

from core.labels import HEMORRHAGIC, counted, in_words
from core.manifest import BadBundle, Calibration, Manifest
from dashboard import resources
from dashboard.components import frame, words
from db.session import UnusableLog
from services import jobs
from services.corrections import by_part, labelled_scans, runs, to_keep, too_few
from services.models import NoSuchVersion, ServesNoMore, Version, list_versions, promote, rollback, way_back
from services.tables import percent

st.title("Models")
ws = resources.workspace()
model = frame.serving()
serving = model.manifest.version if model else None  # as this page shows it: what a click means to replace
_IN_THE_WAY = (BadBundle, NoSuchVersion, ServesNoMore, UnusableLog, OSError)
"""What may keep a version from being let serve."""


def _promote(version: str, instead_of: str | None) -> None:
    try:
        promote(ws, version, actor=frame.reader(), instead_of=instead_of)
    except _IN_THE_WAY as error:
        st.session_state["models_notice"] = str(error)


def _rollback(instead_of: str | None) -> None:
    try:
        rollback(ws, actor=frame.reader(), instead_of=instead_of)
    except _IN_THE_WAY as error:
        st.session_state["models_notice"] = str(error)


def _calibrated(calibration: Calibration, *, simulated: bool) -> str:
    if not calibration.scans:
        return "not calibrated"
    of = f" of {counted(calibration.patients, 'patient')}" if calibration.patients else ""
    with_ = ", simulated ones among them" if simulated else ""
    return f"calibrated on {counted(calibration.scans, 'scan')}{of}{with_}"


def _operating_points(manifest: Manifest) -> None:
    """At which probability a finding is found as often as was asked, and what that gave where it was settled."""
    made = manifest.settled_on_simulated
    for name, point in manifest.operating_points.items():
        means = "counts as not excluded" if name == HEMORRHAGIC else "(Review makes no use of it) counts as found"
        with_it = ""
        if made:
            with_it = " (scans with it are simulated)" if name in made else " (simulated scans among the others)"
        st.caption(
            f"{in_words(name)} {means} from {percent(point.threshold)} on: on the scans that this threshold was "
            f"chosen on{with_it}, a sensitivity of {_with_n(point.sensitivity)} "
            f"and a specificity of {_with_n(point.specificity)}."
        )


def _with_n(figure: dict[str, float | None]) -> str:
    return f"{words.stored_figure(figure)} ({words.stored_how_many(figure)})"


def _card(version: Version) -> None:
    with st.container(border=True):
        head, action = st.columns([4, 1], vertical_alignment="center")
        state = "**serves now**" if version.serving else "ships with the code" if version.shipped else "candidate"
        head.markdown(f"#### {version.name}\n{state}")
        manifest = version.manifest
        if manifest is None:
            st.error(version.problem)
            return
        takes_its_place = manifest.demonstration and model is not None and not model.manifest.demonstration
        if not version.serving and not (manifest.demonstration and version.shipped) and not takes_its_place:
            action.button(
                "Let it serve", key=f"promote-{version.name}", on_click=_promote, args=(version.name, serving)
            )
        st.write(frame.limits(manifest))
        rows = [
            {
                "Part": split,
                "Scans": report["n"],
                "Patients": report["patients"],
                "Accuracy": words.stored_figure(report["accuracy"]),
                **{f"{in_words(name)} AUC": words.stored_figure(f["auc"]) for name, f in report["per_class"].items()},
            }
            for split, report in manifest.metrics.items()
        ]
        if rows:
            kind = "synthetic images" if manifest.demonstration else "the data it was made from"
            st.caption(f"Measured on {kind} when it was trained, 95 % intervals over patients:")
            st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
        _operating_points(manifest)
        if version.card:
            with st.expander("Model card: data, figures, where it fails, what it must not be used for"):
                st.markdown(version.card)
        threshold = manifest.abstain_below
        st.caption(
            f"{manifest.arch}, made {words.when(manifest.created_at)}; "
            + _calibrated(manifest.calibration, simulated=bool(manifest.settled_on_simulated))
            + (f"; abstains below {percent(threshold)} confidence" if threshold is not None else "; answers every scan")
            + ("; does not flag" if manifest.false_flags is None else "; flags")
            + " images that are no head CT"
            + (
                ""
                if HEMORRHAGIC in manifest.operating_points
                else "; no probability from which hemorrhage counts as not excluded"
            )
            + (f"; trained on from {manifest.parent}" if manifest.parent else "")
        )


if notice := st.session_state.pop("models_notice", None):
    st.error(notice)
st.subheader("Learn from the corrections")
items = labelled_scans(ws)
problem = too_few(ws, items, to_keep(model.manifest), model.manifest) if model else too_few(ws, items)
start, back, words_column = st.columns([1, 1, 3], vertical_alignment="center")
running = jobs.retraining(ws)
start.button(
    "Retrain",
    type="primary",
    disabled=bool(problem) or running,
    width="stretch",
    on_click=jobs.start_retraining,
    args=(ws,),
)
back.button(
    "Roll back",
    disabled=way_back(ws) is None,
    width="stretch",
    on_click=_rollback,
    args=(serving,),
    help="Let the version that served before serve again.",
)
patients = counted(len({item.patient_key for item in items}), "patient")
words_column.write(problem or f"{counted(len(items), 'reviewed scan')} of {patients}: enough to train on.")
if items:
    st.caption("  \n".join(by_part(items)))


@st.fragment(run_every=2 if running else None)
def _progress() -> None:
    if running and not jobs.retraining(ws):
        st.rerun(scope="app")
    if log := jobs.retraining_log(ws):
        with st.expander("Retraining runs…" if running else "What the last retraining said", expanded=running):
            st.code(log, language=None)
    for place, run in enumerate(runs(ws)[:3]):
        began, ended = words.when(run.started_at), f" to {words.when(run.ended_at)}" if run.ended_at else ""
        outcome = run.decision or ("running" if running and not place else "interrupted")
        st.write(f"{began}{ended}: **{outcome}**. {run.reason or ''}")


_progress()

st.subheader("Versions")
for version in list_versions(ws):
    _card(version)
