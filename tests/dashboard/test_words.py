import csv
from types import SimpleNamespace

import pandas as pd
import pytest

from dashboard.components import words


def test_a_file_name_in_markdown_is_shown_and_not_obeyed():
    assert words.plain("![x](https://example.org/p.png).jpg") == (
        "\\!\\[x\\]\\(https\\://example\\.org/p\\.png\\)\\.jpg"
    )
    assert words.plain("a\nb") == "a b"


def test_no_cell_of_a_csv_is_a_formula():
    rows = pd.DataFrame({"File": ["=HYPERLINK(1)", "a.jpg", ""], "Reason": ["-1", "+x", "@y"]})
    written = words.for_spreadsheets(rows)
    assert written.splitlines()[1:] == ['"\'=HYPERLINK(1)","\'-1"', '"a.jpg","\'+x"', '"","\'@y"']
    by_semicolons = words.for_spreadsheets(pd.DataFrame({"File": ["a;=1+1"]}))
    assert list(csv.reader(by_semicolons.splitlines(), delimiter=";")) == [["File"], ["a;=1+1"]]


@pytest.mark.parametrize(
    ("unit", "sides_known", "said"),
    [
        ("HU", True, "W 80  L 40"),
        ("HU", False, "W 80  L 40  ·  sides as in the file"),
        ("display", False, "window and sides as in the file"),
    ],
)
def test_the_corner_of_a_picture_says_what_of_it_is_as_sent(unit, sides_known, said):
    assert words.shown_as(SimpleNamespace(unit=unit, sides_known=sides_known), "Brain") == said


@pytest.mark.parametrize(("audit", "said"), [(True, "or to another of this patient's"), (False, "shown it before")])
def test_who_has_been_shown_an_answer_is_told_that_they_do_not_read_blind(audit, said):
    case = SimpleNamespace(scan=SimpleNamespace(audit=audit), shown=True, own_verdict=None, left=0)
    assert said in words.why_hidden(case)
    assert "will not count as blind" in words.why_hidden(case)
