"""`train.py` where a class is only simulated: no figure counts simulated scans among real ones. Not every head is one
that an infarct is simulated into."""

import json
import re

import pandas as pd
import pytest

from core import bundle
from core.labels import HEMORRHAGIC, NO_STROKE
from tests.conftest import png, run

RECIPE = """
arch: lesion_cnn
head: strongest
width: 8
image_size: 96
window: [40, 80]
crop: head
epochs: 1
batch_size: 12
simulation: {per_slice: 4}
"""


@pytest.fixture
def asked(home, tmp_path):
    """Hemorrhages, scans without stroke, and a recipe that simulates the infarcts."""
    number = 0
    for part, count in (("train", 6), ("validation", 3), ("test", 3)):
        for label in (HEMORRHAGIC, NO_STROKE):
            folder = tmp_path / "data" / part / label
            folder.mkdir(parents=True)
            for _ in range(count):
                number += 1
                (folder / f"{number} (1).png").write_bytes(png(number, label))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return ("--data", tmp_path / "data", "--recipe", tmp_path / "recipe.yaml")


def by_class(report):
    """How many scans of each class a report is of."""
    return [sum(row) for row in report["confusion"]]


def test_the_figures_of_a_training_are_of_its_real_scans_and_those_of_simulated_ones_say_so(home, asked):
    said = run("train", *asked, "--split", "folders")
    assert "test: 6 scans of 6 patients" in said.stderr
    assert re.search(r"^test: accuracy .* 6 scans of 6 patients$", said.stdout, re.MULTILINE)
    published = bundle.load(home / "models" / said.stdout.split()[-1]).manifest.metrics
    for part in ("validation", "test"):
        real, simulated = published.pop(part), published.pop(f"{part}, simulated ischemic scans or none")
        assert by_class(real) == [3, 0, 3]
        hemorrhages, made, none = by_class(simulated)
        assert (hemorrhages, none) == (0, 3)
        assert 1 <= made <= 3
    assert not published
    assert re.search("epoch 1: .* validation, simulated scans among it: loss .* accuracy", said.stderr)


def test_the_figures_of_folds_are_of_real_scans_and_those_of_simulated_ones_say_so(asked, tmp_path):
    out, table = tmp_path / "folds.json", tmp_path / "folds.csv"
    said = run("train", *asked, "--folds", 2, "--json", out, "--predictions", table).stdout
    real = pd.read_csv(table, keep_default_na=False).query("synthetic == ''")
    assert len(real) == 24
    figures = json.loads(out.read_text())
    hemorrhages, made, none = by_class(figures.pop("simulated ischemic scans or none"))
    assert (hemorrhages, none) == (0, 12)
    assert 1 <= made <= 12
    assert {what: by_class(report) for what, report in figures.items()} == {
        "scans": [12, 0, 12],
        "before calibration": [12, 0, 12],
        "patients": [12, 0, 12],
    }
    assert "simulated ischemic scans or none:\n" in said
    assert f"The models answered {real['answered'].sum()} of 24 scans" in said
