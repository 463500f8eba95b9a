"""Plots of a report, for pages, downloads and commands. Colours are Okabe and Ito's, for all eyes."""

from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go

from core.evaluate import Report
from core.intervals import Figure
from core.labels import HEMORRHAGIC, ISCHEMIC, NO_STROKE, in_words
from services.tables import counted_share, with_interval

COLOURS = {HEMORRHAGIC: "#D55E00", ISCHEMIC: "#0072B2", NO_STROKE: "#009E73"}
DASHES = {HEMORRHAGIC: "solid", ISCHEMIC: "dash", NO_STROKE: "dot"}
_FONT = 16
_GUIDE = {"color": "gray", "width": 1}


def confusion_figure(report: Report) -> go.Figure:
    """Rows: label, columns: model; each cell says its count and its share of the row."""
    names = [in_words(name) for name in report.classes]
    totals = report.confusion.sum(axis=1, keepdims=True)
    shares = report.confusion / totals.clip(min=1)
    text = [
        [f"<b>{n}</b><br>{counted_share(share)}" if total[0] else "–" for n, share in zip(row, of, strict=True)]
        for row, of, total in zip(report.confusion, shares, totals, strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares, x=names, y=names, text=text, texttemplate="%{text}", colorscale="Blues", zmin=0, zmax=1,
            hovertemplate="reviewed as %{y}<br>model says %{x}<br>%{text}<extra></extra>",
            showscale=False, xgap=2, ygap=2,
        )
    )  # fmt: skip
    figure.update_yaxes(title="Label", autorange="reversed")
    figure.update_xaxes(title="Model", side="top")
    return _styled(figure)


def roc_figure(report: Report, reached: Mapping[str, tuple[Figure, Figure]] | None = None) -> go.Figure:
    """One curve per class against the rest, with its area and interval, and where its operating point lies on these
    scans: `reached`, sensitivity and specificity."""
    figure = go.Figure(
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="Chance", line=_GUIDE, hoverinfo="skip", showlegend=False)
    )
    for name, curve in report.roc.items():
        figure.add_scatter(
            x=curve.fpr,
            y=curve.tpr,
            mode="lines",
            name=f"{in_words(name)}: AUC {with_interval(report.per_class[name].auc)}",
            line=_line(name),
            customdata=1 - curve.fpr,
            hovertemplate="sensitivity %{y:.2f}, specificity %{customdata:.2f}<extra></extra>",
        )
        if reached and name in reached:
            sensitivity, specificity = (figure_.value for figure_ in reached[name])
            figure.add_scatter(
                x=[1 - specificity],
                y=[sensitivity],
                mode="markers",
                cliponaxis=False,
                name=f"{in_words(name)}: operating point",
                marker={
                    "size": 14,
                    "color": COLOURS[name],
                    "symbol": "diamond",
                    "line": {"width": 2, "color": "white"},
                },
                customdata=[specificity],
                hovertemplate="sensitivity %{y:.2f}, specificity %{customdata:.2f}<extra></extra>",
            )
    figure.update_xaxes(title="1 − specificity", range=[-0.01, 1.01])
    figure.update_yaxes(title="Sensitivity", range=[-0.01, 1.01])
    return _styled(figure, legend_below=True)


def pr_figure(report: Report) -> go.Figure:
    """Precision over recall, one curve per class, with its average precision."""
    figure = go.Figure()
    for name, curve in report.pr.items():
        average = with_interval(report.per_class[name].average_precision)
        figure.add_scatter(
            x=curve.recall,
            y=curve.precision,
            mode="lines",
            name=f"{in_words(name)}: average precision {average}",
            line=_line(name),
            hovertemplate="recall %{x:.2f}, precision %{y:.2f}<extra></extra>",
        )
    figure.update_xaxes(title="Recall (sensitivity)", range=[-0.01, 1.01])
    figure.update_yaxes(title="Precision", range=[-0.01, 1.01])
    return _styled(figure, legend_below=True)


def reliability_figure(report: Report) -> go.Figure:
    """How often the model was right, by how sure it said it was; on the diagonal it means what it says."""
    bins = report.reliability
    ideal = go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line=_GUIDE, hoverinfo="skip", showlegend=False)
    figure = go.Figure(ideal)
    figure.add_scatter(
        x=[100 * one.confidence for one in bins],
        y=[100 * one.accuracy.value for one in bins],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [100 * (one.accuracy.high - one.accuracy.value) for one in bins],
            "arrayminus": [100 * (one.accuracy.value - one.accuracy.low) for one in bins],
        },
        mode="markers",
        cliponaxis=False,
        marker={"size": 11, "color": COLOURS[ISCHEMIC]},
        customdata=[one.accuracy.n for one in bins],
        hovertemplate="says %{x:.0f} %, right in %{y:.0f} % of %{customdata} scans<extra></extra>",
        name=f"Scans by confidence; calibration error {with_interval(report.ece)}",
        showlegend=True,
    )
    least = min([45, *(100 * one.confidence - 2 for one in bins)])  # room for the whole first point
    figure.update_xaxes(title="Confidence", ticksuffix=" %", range=[least, 101])
    figure.update_yaxes(title="Right", ticksuffix=" %", range=[-1, 101])
    return _styled(figure, legend_below=True)


def risk_coverage_figure(report: Report, abstain_below: float | None = None) -> go.Figure:
    """Share of wrong answers were only the surest given; the vertical line is where this model begins to be
    too unsure to answer; on some of the surer ones it abstains for other reasons."""
    curve = report.risk_coverage
    figure = go.Figure(
        go.Scatter(
            x=100 * curve.coverage,
            y=100 * curve.risk,
            mode="lines",
            line={"color": COLOURS[HEMORRHAGIC], "width": 3},
            customdata=100 * curve.confidence,
            hovertemplate="%{x:.0f} % answered, %{y:.1f} % of them wrong, confidence from %{customdata:.0f} %"
            "<extra></extra>",
            name="Wrong among the answers",
            showlegend=True,
        )
    )
    if abstain_below is not None:
        answered = float(curve.coverage[curve.confidence >= abstain_below].max(initial=0))
        side = "top left" if answered > 0.5 else "top right"
        said = f"sure enough: {counted_share(answered)}<br>(what it flags included)"
        figure.add_vline(
            x=100 * answered, line_dash="dash", line_color="gray", annotation_text=said, annotation_position=side
        )
    figure.update_xaxes(title="Share of scans answered, the surest first", ticksuffix=" %", range=[-1, 101])
    top = 100 * max(0.1, float(curve.risk.max()) * 1.1)
    figure.update_yaxes(title="Wrong", ticksuffix=" %", range=[-0.5, top])
    return _styled(figure, legend_below=True)


def curves(
    report: Report, reached: Mapping[str, tuple[Figure, Figure]], abstain_below: float | None
) -> dict[str, go.Figure | None]:
    """Title -> curve of a report; None where it needs scans with and without the finding. `reached`: see
    `roc_figure`."""
    return {
        "ROC, each class against the rest": roc_figure(report, reached) if report.roc else None,
        "Precision and recall": pr_figure(report) if report.pr else None,
        "Is the confidence right?": reliability_figure(report),
        "What abstaining buys": risk_coverage_figure(report, abstain_below),
    }


UNDRAWN = "This curve needs scans with and without the finding."


def _line(name: str) -> dict[str, object]:
    return {"color": COLOURS[name], "dash": DASHES[name], "width": 3}


def _styled(figure: go.Figure, *, legend_below: bool = False) -> go.Figure:
    figure.update_layout(font={"size": _FONT}, margin={"l": 10, "r": 10, "t": 30, "b": 10}, height=430)
    figure.update_xaxes(automargin=True, title_standoff=10)
    figure.update_yaxes(automargin=True, title_standoff=10)
    if legend_below:
        figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"}, height=500)
    return figure


def write_plots(report: Report, folder: Path) -> list[Path]:
    """confusion, roc, pr, reliability and risk-coverage in `folder`, each a self-contained HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "confusion": confusion_figure(report),
        "roc": roc_figure(report),
        "pr": pr_figure(report),
        "reliability": reliability_figure(report),
        "risk-coverage": risk_coverage_figure(report),
    }
    paths = []
    for name, figure in drawn.items():
        path = folder / f"{name}.html"
        figure.write_html(path, include_plotlyjs=True)
        paths.append(path)
    return paths
