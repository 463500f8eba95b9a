"""Plots of a report, for the Evaluation page and for evaluate.py. Colours are Okabe and Ito's, for all eyes."""

from pathlib import Path

import plotly.graph_objects as go

from core.evaluate import Report
from core.labels import HEMORRHAGIC, ISCHEMIC, NO_STROKE, in_words

COLOURS = {HEMORRHAGIC: "#D55E00", ISCHEMIC: "#0072B2", NO_STROKE: "#009E73"}
DASHES = {HEMORRHAGIC: "solid", ISCHEMIC: "dash", NO_STROKE: "dot"}
_FONT = 16


def confusion_figure(report: Report) -> go.Figure:
    """Rows: label, columns: model; each cell says its count and its share of the row."""
    names = [in_words(name) for name in report.classes]
    totals = report.confusion.sum(axis=1, keepdims=True)
    shares = report.confusion / totals.clip(min=1)
    text = [
        [f"<b>{count}</b><br>{share:.0%}" if total[0] else "–" for count, share in zip(row, share_row, strict=True)]
        for row, share_row, total in zip(report.confusion, shares, totals, strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            text=text,
            texttemplate="%{text}",
            hovertemplate="reviewed as %{y}<br>model says %{x}<br>%{text}<extra></extra>",
            colorscale="Blues",
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    figure.update_yaxes(title="Label", autorange="reversed")
    figure.update_xaxes(title="Model", side="top")
    return _styled(figure)


def roc_figure(report: Report) -> go.Figure:
    """One curve per class against the rest, with its area and interval."""
    figure = go.Figure(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", name="Chance", line={"color": "gray", "width": 1}, hoverinfo="skip"
        )
    )
    for name, curve in report.roc.items():
        auc = report.per_class[name].auc
        figure.add_scatter(
            x=curve.fpr,
            y=curve.tpr,
            mode="lines",
            name=f"{in_words(name)}: AUC {auc.value:.2f} ({auc.low:.2f}–{auc.high:.2f})",
            line={"color": COLOURS[name], "dash": DASHES[name], "width": 3},
            customdata=1 - curve.fpr,
            hovertemplate="sensitivity %{y:.2f}, specificity %{customdata:.2f}<extra></extra>",
        )
    figure.update_xaxes(title="1 − specificity", range=[-0.01, 1.01])
    figure.update_yaxes(title="Sensitivity", range=[-0.01, 1.01])
    figure.update_layout(legend={"x": 0.98, "y": 0.04, "xanchor": "right", "yanchor": "bottom"})
    return _styled(figure)


def _styled(figure: go.Figure) -> go.Figure:
    figure.update_layout(font={"size": _FONT}, margin={"l": 10, "r": 10, "t": 40, "b": 10}, height=430)
    return figure


def write_plots(report: Report, folder: Path) -> list[Path]:
    """confusion.html and roc.html in `folder`, each self-contained."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in (("confusion", confusion_figure(report)), ("roc", roc_figure(report))):
        path = folder / f"{name}.html"
        figure.write_html(path, include_plotlyjs=True)
        paths.append(path)
    return paths
