import numpy as np
import pytest

from core.evaluate import evaluate
from services.figures import reliability_figure, risk_coverage_figure

CLASSES = ("hemorrhagic", "no_stroke")


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 80)
    p = np.stack([sure, 1 - sure], axis=1)
    labels = ["hemorrhagic" if right else "no_stroke" for right in rng.uniform(size=80) < sure]
    return evaluate(labels, p, CLASSES, patients=[f"p{i}" for i in range(80)])


def test_a_chart_of_confidence_speaks_in_per_cent(report):
    points = reliability_figure(report).data[1]
    assert list(points.x) == pytest.approx([100 * one.confidence for one in report.reliability])
    assert list(points.y) == pytest.approx([100 * one.accuracy.value for one in report.reliability])
    assert points.hovertemplate.startswith("says %{x:.0f} %, right in %{y:.0f} %")


def test_the_line_stands_where_the_model_begins_to_abstain(report):
    curve = report.risk_coverage
    figure = risk_coverage_figure(report, abstain_below=0.8)
    line = figure.layout.shapes[0]
    answered = 100 * curve.coverage[curve.confidence >= 0.8].max()
    assert line.x0 == line.x1 == pytest.approx(answered)
    assert figure.data[0].x[-1] == pytest.approx(100)
    assert figure.data[0].y[-1] == pytest.approx(100 * (1 - report.accuracy.value))
    assert figure.layout.annotations[0].text == f"sure enough: {answered:.0f} %<br>(what it flags included)"


def test_a_calibration_error_of_few_patients_is_said_to_have_no_interval():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 80)
    labels = ["hemorrhagic" if right else "no_stroke" for right in rng.uniform(size=80) < sure]
    few = evaluate(labels, np.stack([sure, 1 - sure], axis=1), CLASSES, patients=[f"p{i % 12}" for i in range(80)])
    assert reliability_figure(few).data[1].name.endswith("(no interval)")
