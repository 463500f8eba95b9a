"""The confusion matrix as buttons: each cell opens the scans behind it."""

import pandas as pd
import streamlit as st

from core.evaluate import Report
from core.labels import counted, in_words
from dashboard import resources
from dashboard.components import frame
from db.session import UnusableLog
from services.review import openable
from services.tables import counted_share


def draw(report: Report, rows: pd.DataFrame) -> None:
    """Rows: label, columns: model. `rows` are the scans the report is on."""
    widths = [1.3, *(1.0 for _ in report.classes)]
    head = st.columns(widths, gap="xsmall", vertical_alignment="bottom")
    head[0].caption("Reviewed as ↓, best guess →")
    for column, called in zip(head[1:], report.classes, strict=True):
        column.markdown(f":small[**{in_words(called)}**]", text_alignment="center")
    for label, counts in zip(report.classes, report.confusion, strict=True):
        line = st.columns(widths, gap="xsmall", vertical_alignment="center")
        line[0].markdown(f"**{in_words(label)}**  \n{counted(int(counts.sum()), 'scan')}")
        for column, called, count in zip(line[1:], report.classes, counts, strict=True):
            share = f" · {counted_share(count / counts.sum())}" if counts.sum() else ""
            column.button(
                f"{count}{share}",
                key=f"cell-{label}-{called}",
                type="primary" if label == called and count else "secondary",
                width="stretch",
                disabled=not count,
                help=f"Open the scans reviewed as {in_words(label).lower()}, called {in_words(called).lower()}",
                on_click=_open,
                args=([int(i) for i in rows.loc[(rows.label == label) & (rows.prediction == called), "scan_id"]],),
            )
    st.caption("Filled: best guess and label agree. A cell opens its scans.")
    if notice := st.session_state.pop("evaluation_notice", None):
        st.warning(notice)
    if st.session_state.pop("open_review", False):
        st.switch_page("app_pages/review.py")


def _open(scan_ids: list[int]) -> None:
    """Make the cell's scans the list to go through; those hidden from this reader stay hidden."""
    try:
        frame.take_reader()
        shown, hidden = openable(resources.workspace(), scan_ids, frame.reader(), blind_first=frame.blind_first())
    except UnusableLog as error:
        st.session_state["evaluation_notice"] = str(error)
        return
    if not shown:
        st.session_state["evaluation_notice"] = (
            f"{counted(hidden, 'scan')} of this cell: give your own blind verdict first, for this cell shows the "
            "model's answer."
        )
        return
    frame.go_through(shown, shown[0], by_answer=True)
    st.session_state["open_review"] = True
    if hidden:
        st.session_state["notice"] = (
            "info",
            f"Of that cell, {counted(hidden, 'more scan')} left out until your own blind verdict.",
        )
