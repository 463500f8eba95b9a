"""The Evaluation page as one HTML file that needs nothing but itself."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from html import escape

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from core.manifest import OperatingPoint
from services import figures, tables
from services.reporting import LiveEvaluation, at_operating_points

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; display: block; overflow-x: auto; }
td, th { padding: .35rem .7rem; text-align: left; }
tr { border-bottom: 1px solid #ccc; } .few td { color: #6b6b6b; font-style: italic; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 1rem; }
.plots > * { min-width: 0; }
.note { background: #f2f2f2; padding: .5rem .8rem; margin: .3rem 0; }
"""


def in_html(
    live: LiveEvaluation,
    *,
    made: datetime,
    points: Mapping[str, OperatingPoint],
    abstain_below: float | None,
    trained_on: str,
    compared: tuple[str, pd.DataFrame, str] | None = None,
) -> str:
    """Every figure of the page with its n and interval, and what has to be known about them.

    Raises ValueError where there is no figure.
    """
    report = live.report
    if report is None:
        raise ValueError("no reviewed scan answers the question: there is nothing to report")
    question = live.question
    asked = [
        f"model {question.version}",
        "synthetic demo cases, which say nothing about patients" if question.synthetic else "real scans",
        "verdicts given blind only" if question.blind_only else "all verdicts",
        f"verdicts of {question.reader}" if question.reader else "the verdict that counts",
        f"source: {tables.source(question.source).lower()}" if question.source else "all sources",
    ]
    if question.since or question.before:
        since = f"{question.since:%d %b %Y}" if question.since else "the first verdict"
        asked.append(
            f"verdicts from {since}"
            + (f" to {question.before - timedelta(days=1):%d %b %Y}" if question.before else "")
        )
    reached = at_operating_points(live.rows, points)
    drawn = figures.curves(report, reached, abstain_below)
    return "\n".join(
        [
            "<!doctype html><html lang='en'><meta charset='utf-8'><title>Second Read: evaluation</title>",
            f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script>",
            f"<h1>Evaluation of {escape(question.version)}</h1>",
            f"<p>{escape(', '.join(asked))}. Made {made:%d %b %Y, %H:%M %Z}. "
            f"95 % intervals, {escape(report.interval)}.</p>",
            "<p><strong>Not a medical device.</strong> For research and quality improvement.</p>",
            f"<p>{escape(trained_on)}</p>",
            *(f"<p class='note'>{_bold(escape(note))}</p>" for note in tables.notes(live)),
            "<h2>Overall</h2>",
            _table(tables.overall(live)),
            "<h2>By class</h2>",
            _table(tables.by_class(report, reached)),
            "<h2>Confusion matrix</h2>",
            _table(tables.confusion(report)),
            "<h2>Curves</h2><div class='plots'>",
            *(f"<section><h3>{escape(title)}</h3>{_plot(figure)}</section>" for title, figure in drawn.items()),
            "</div>",
            "<h2>Groups</h2>",
            _table(tables.groups(live.groups)),
            f"<p>{tables.GROUPS_ARE}</p>",
            "<h2>Agreement</h2>",
            _table(tables.agreement(live.agreement)),
            *_compared(question.version, compared),
            "</html>",
        ]
    )


def _compared(version: str, compared: tuple[str, pd.DataFrame, str] | None) -> list[str]:
    if compared is None:
        return []
    other, table, unfair = compared
    return [
        f"<h2>Gained by {escape(version)} over {escape(other)}, on the scans both have read</h2>",
        *([f"<p class='note'>{_bold(escape(unfair))}</p>"] if unfair else []),
        _table(table),
    ]


def _bold(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)


def _plot(figure: go.Figure | None) -> str:
    if figure is None:
        return f"<p>{figures.UNDRAWN}</p>"
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config={"responsive": True}))


def _table(table: pd.DataFrame) -> str:
    """Rows that carry a note are those on few scans: grey and said."""
    if table.empty:
        return "<p>None yet.</p>"
    head = "".join(f"<th>{escape(str(name))}</th>" for name in table.columns)
    body = []
    for row in table.to_dict("records"):
        cells = "".join(f"<td>{escape(str(value))}</td>" for value in row.values())
        body.append(f"<tr{' class=few' if row.get('Note') else ''}>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"
