import importlib.util
import math

from core.intervals import Figure
from core.settings import ROOT

_SPEC = importlib.util.spec_from_file_location("console", ROOT / "scripts" / "console.py")
console = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(console)


def test_a_figure_without_an_interval_says_so():
    line = console.figure_line("Accuracy", Figure(0.5, math.nan, math.nan, 4, 2))
    assert line.split(None, 1) == ["Accuracy", "0.5000  (no interval, n = 4, 2 patients)"]
    assert "(0.3000 to 0.7000, n = 4)" in console.figure_line("Accuracy", Figure(0.5, 0.3, 0.7, 4))
    assert "not defined here" in console.figure_line("Recall", Figure(math.nan, math.nan, math.nan, 0))


def test_a_user_whose_name_is_too_long_for_the_case_log_is_called_by_its_beginning(monkeypatch):
    monkeypatch.setenv("LOGNAME", "a" * 100)
    assert console.user() == "a" * 80
