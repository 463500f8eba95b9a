"""On which scans the Evaluation page's figures are asked."""

from datetime import date, datetime, time, timedelta

import streamlit as st

from core.labels import in_words
from dashboard.components import words
from services.models import champion
from services.reporting import Question, has_real_reviews, readers, sources
from services.workspace import Workspace

_SOURCES = {"upload": "Upload page", "ingest": "command line", "demo": "demo cases"}


def ask(ws: Workspace, versions: list[str]) -> Question:
    """The filters, and what they ask."""
    serving = champion(ws)
    which, kind, stream, more = st.columns([3, 2, 2, 1.4], vertical_alignment="bottom")
    version = which.selectbox(
        "Model version",
        versions,
        index=versions.index(serving) if serving in versions else 0,
        format_func=lambda v: f"{v} (serving)" if v == serving else v,
    )
    real = kind.segmented_control(
        "Scans", ["real", "synthetic demo"], default="real" if has_real_reviews(ws) else "synthetic demo", required=True
    )
    verdicts = stream.segmented_control(
        "Verdicts",
        ["all", "read blind"],
        default="all",
        required=True,
        help="A reader who saw the model's answer tends to follow it. Only verdicts given blind are free of that.",
    )
    with more.popover("More filters", icon=":material/filter_list:", width="stretch"):
        reader = st.selectbox("Reader", readers(ws), index=None, placeholder="all: the verdict that counts")
        source = st.selectbox(
            "Source", sources(ws), index=None, placeholder="all", format_func=lambda s: _SOURCES.get(s, s)
        )
        since = st.date_input("Verdicts from", value=None, format="DD/MM/YYYY")
        until = st.date_input("Verdicts to", value=None, format="DD/MM/YYYY")
    chosen = [str(part) for part in (reader, source and _SOURCES.get(source, source), since, until) if part]
    if chosen:
        st.caption(f":material/filter_list: Only {', '.join(chosen)}")
    return Question(
        version,
        synthetic=real != "real",
        blind_only=verdicts == "read blind",
        reader=reader,
        source=source,
        since=_midnight(since),
        before=_midnight(until + timedelta(days=1)) if until else None,
    )


def _midnight(day: date | None) -> datetime | None:
    """When the day begins where the viewer is."""
    return datetime.combine(day, time(), tzinfo=words.zone()) if day else None


def gain_in_words(name: str) -> str:
    """ "auc hemorrhagic" -> "AUC, hemorrhagic" """
    figure, _, label = name.partition(" ")
    return f"{figure.upper()}, {in_words(label).lower()}" if label else figure.capitalize()
