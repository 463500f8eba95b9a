"""How findings are written, the same on every page."""

import csv
import math
import re
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import streamlit as st

from core.intervals import Figure
from core.labels import HEMORRHAGIC, ISCHEMIC, in_words
from core.preprocess import WINDOWS
from core.reading import abstains, hemorrhage_left_open, is_meaningless, not_head_ct
from db.queries import ReadingRow, ScanRow
from services.review import Case
from services.tables import how_many, percent, source, with_interval

HIDDEN = "hidden until you have read it"
NO_HEAD = "Perhaps no head CT"


def finding(reading: ReadingRow) -> str:
    """ "Hemorrhagic, 87 %", or why there is no such answer; and whether a hemorrhage is left open."""
    return _said(reading) + ("; hemorrhage not excluded" if hemorrhage_left_open(reading) else "")


def _said(reading: ReadingRow) -> str:
    if not_head_ct(reading):
        return NO_HEAD
    if is_meaningless(reading):
        return "Abstains"
    share = f"{in_words(reading.label)}, {percent(reading.confidence)}"
    return f"Abstains ({share})" if abstains(reading) else share


def findings(label: str) -> str:
    """Several of what a label stands for, as they are spoken of."""
    return {HEMORRHAGIC: "hemorrhages", ISCHEMIC: "infarcts"}.get(label, "scans of this kind")


def model_column(case: Case) -> str:
    if case.hidden:
        return "hidden until you have read all of this patient's scans" if case.left else HIDDEN
    said = finding(case.reading) if case.reading else "no reading"
    return f"Earlier version: {said}" if case.outdated else said  # first, for the column may cut the rest off


def why_hidden(case: Case) -> str:
    """What a reader does to see the model's answer."""
    known = ""
    if case.shown and case.own_verdict is None:
        what = "the answer to this scan, or to another of this patient's," if case.scan.audit else "it"
        known = f" You have been shown {what} before, so your verdict will not count as blind."
    if not case.scan.audit:
        return f"Give your verdict first (you read blind first); then it is shown.{known}"
    if not case.left:
        return f"Give your verdict first (drawn for the blind audit); then it is shown.{known}"
    first = "Give your verdict first. " if case.own_verdict is None else ""
    return (
        f"{first}This patient was drawn for the blind audit: the answers are shown together, once you have read "
        f"{_others(case)}.{known}"
    )


def _others(case: Case) -> str:
    return f"{case.left} more of this patient's scans" if case.left > 1 else "one more of this patient's scans"


def shown_as(scan: ScanRow, window: str) -> str:
    """For the corner of a picture: the preset as screens in radiology write it, and whose sides are not known."""
    if scan.unit != "HU":
        return "window and sides as in the file"
    centre, width = WINDOWS[window]
    return f"W {width:g}  L {centre:g}" + ("" if scan.sides_known else "  ·  sides as in the file")


def stored_figure(figure: dict[str, float | None]) -> str:
    """`tables.with_interval` of a figure as a manifest keeps it."""
    return with_interval(_figure(figure))


def stored_how_many(figure: dict[str, float | None]) -> str:
    """`tables.how_many` of one."""
    return how_many(_figure(figure))


def _figure(figure: dict[str, float | None]) -> Figure:
    value, low, high = (math.nan if figure[key] is None else figure[key] for key in ("value", "low", "high"))
    patients = figure.get("patients")
    n = int(figure["n"] or 0)
    return Figure(value or 0.0, low or 0.0, high or 0.0, n, None if patients is None else int(patients))


def table(rows: pd.DataFrame, *, empty: str) -> None:
    """A table whose rows with a note are on few scans: grey, and the note says why."""
    if rows.empty:
        st.write(empty)
        return
    grey = rows.style.apply(lambda row: ["color: gray" if row["Note"] else ""] * len(row), axis=1)
    st.dataframe(grey, hide_index=True, width="stretch")


def batch(by: str, at: datetime) -> str:
    """What a batch is called."""
    return f"{source(by)}, {when(at)}"


def plain(text: str) -> str:
    """A file's name in Markdown: shown, never obeyed."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~:$&])", r"\\\1", "".join(c if c.isprintable() else " " for c in text))


def for_spreadsheets(rows: pd.DataFrame) -> str:
    """CSV whose cells no spreadsheet takes for a formula."""
    safe = rows.map(lambda cell: f"'{cell}" if str(cell)[:1] in "=+-@\t\r" and cell else cell)
    return safe.to_csv(index=False, quoting=csv.QUOTE_ALL)  # whatever a spreadsheet separates cells by


def zone() -> ZoneInfo:
    """The viewer's time zone."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def local(at: datetime) -> datetime:
    """The time in the viewer's zone."""
    return at.astimezone(zone())


def when(at: datetime) -> str:
    return f"{local(at):%d %b %Y, %H:%M}"
