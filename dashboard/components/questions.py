"""On which scans the Evaluation page's figures are asked."""

import re
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pandas as pd
import streamlit as st

from core.labels import counted
from core.manifest import BadBundle
from core.model_process import ModelStopped
from dashboard.components import frame, words
from services import tables
from services.models import NoSuchVersion, champion, is_demonstration, model_of
from services.overview import has_real_reviews, model_versions, readers, sources, version_to_ask
from services.questions import Question, unread_by_version
from services.reporting import LiveEvaluation, compare_versions
from services.rereading import read_stored
from services.review import held_back
from services.workspace import Workspace


def ask(ws: Workspace, versions: list[str]) -> Question:
    """The filters, and what they ask."""
    kinds = {champion(ws): " (serving)"}
    kinds |= {version: " (demonstration)" for version in versions if is_demonstration(ws, version)}
    which, kind, stream, more = st.columns([3, 2, 2, 1.4], vertical_alignment="bottom")
    version = which.selectbox(
        "Model version",
        versions,
        index=versions.index(version_to_ask(ws, versions)),
        format_func=lambda version: version + kinds.get(version, ""),
        key="evaluation_version",  # with a key a choice stays when what there is to choose changes
    )
    real = kind.segmented_control(
        "Scans",
        ["real", "synthetic demo"],
        default="real" if has_real_reviews(ws) else "synthetic demo",
        required=True,
        key="evaluation_scans",
    )
    verdicts = stream.segmented_control(
        "Verdicts",
        ["all", "read blind"],
        default="all",
        required=True,
        key="evaluation_verdicts",
        help="A reader who saw the model's answer tends to follow it. Verdicts given blind are free of that, unless "
        "who chose to read blind had seen the answer in a list.",
    )
    with more.popover("More filters", icon=":material/filter_list:", width="stretch"):
        reader = st.selectbox(
            "Reader", readers(ws), index=None, placeholder="all: the verdict that counts", key="evaluation_reader"
        )
        source = st.selectbox(
            "Source", sources(ws), index=None, placeholder="all", format_func=tables.source, key="evaluation_source"
        )
        since = st.date_input("Verdicts from", value=None, format="DD/MM/YYYY", key="evaluation_since")
        until = st.date_input("Verdicts to", value=None, format="DD/MM/YYYY", key="evaluation_until")
    chosen = [
        *([f"verdicts of {words.plain(reader)}"] if reader else []),
        *([f"scans from: {tables.source(source).lower()}"] if source else []),
        *([f"verdicts from {since:%d %b %Y}"] if since else []),
        *([f"verdicts to {until:%d %b %Y}"] if until else []),
    ]
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
        zone=words.zone(),
        without=held_back(ws, frame.reader()),
    )


def _midnight(day: date | None) -> datetime | None:
    """When the day begins where the viewer is."""
    return datetime.combine(day, time(), tzinfo=words.zone()) if day else None


def nothing(ws: Workspace, question: Question, live: LiveEvaluation) -> str:
    """Why there is no figure."""
    if question.since and question.before and question.since >= question.before:
        return "The first day of the verdicts is after the last: nothing can be between them."
    if live.not_blind:
        return (
            f"No reviewed scan passes these filters: of {counted(live.not_blind, 'scan')} no verdict was given blind."
        )
    why = " ".join(tables.left_out(live))
    if any((question.reader, question.source, question.since, question.before, question.blind_only)):
        return f"No reviewed scan passes these filters. {why}"
    if live.selection.unread_by_model and question.synthetic != is_demonstration(ws, question.version):
        return "Demo cases are read by demonstration models, and real scans by others: choose such a version above."
    if live.selection.unread_by_model:
        return f"This version has read none of the {live.selection.unread_by_model} reviewed scans. {why}"
    if why:
        return f"No reviewed scan of this kind counts yet. {why}"
    return "No reviewed scan of this kind yet. Figures appear with the first verdict."


def offer_reading(ws: Workspace, question: Question) -> None:
    """Let the version read the reviewed scans it has not read, so that its figures are on all of them."""
    if failed := st.session_state.pop("not_read", ""):
        st.error(failed)
    missing = unread_by_version(ws, question)
    label = f"Let {question.version} read {counted(len(missing), 'more scan')}"
    if missing and st.button(label, icon=":material/play_arrow:"):
        bar = st.progress(0.0, "Reading…")

        def progress(done: int, total: int) -> None:
            bar.progress(done / total, "Reading…")

        try:
            damaged = read_stored(ws, model_of(ws, question.version), missing, progress)
        except (BadBundle, NoSuchVersion, ModelStopped) as error:
            st.error(f"It stopped: {error}")
        else:
            st.session_state["not_read"] = "  \n".join(f"Scan {i} was not read: {why}" for i, why in damaged.items())
            st.rerun()


def compare(ws: Workspace, question: Question) -> tuple[str, pd.DataFrame, str] | None:
    """Another version on the same scans, where one is chosen: its name, what is gained over it, and what flatters."""
    others = [version for version in model_versions(ws, synthetic=question.synthetic) if version != question.version]
    other = st.selectbox("Compare with version", others, index=None, placeholder="none") if others else None
    if not other:
        return None
    found = compare_versions(ws, question, other)
    table, unfair = tables.gains(found.gains), tables.unfair(found, question.version, other)
    if unfair:
        st.warning(unfair, icon=":material/warning:")
    st.caption(f"What {question.version} gains over {other} on the scans both have read, paired:")
    words.table(table, empty="The two have read none of the same scans.")
    offer_reading(ws, replace(question, version=other))
    return other, table, unfair


def file_name(question: Question) -> str:
    """The version and what was asked, for a download's name."""
    parts = [
        question.version,
        "synthetic" if question.synthetic else "",
        "blind" if question.blind_only else "",
        question.reader or "",
        question.source or "",
        f"from {question.since:%Y-%m-%d}" if question.since else "",
        f"before {question.before:%Y-%m-%d}" if question.before else "",
    ]
    return re.sub(r"[^\w-]+", "-", " ".join(filter(None, parts)))
