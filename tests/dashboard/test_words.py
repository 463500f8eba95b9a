import pandas as pd

from dashboard.components import words


def test_a_file_name_in_markdown_is_shown_and_not_obeyed():
    assert words.plain("![x](https://example.org/p.png).jpg") == (
        "\\!\\[x\\]\\(https\\://example\\.org/p\\.png\\)\\.jpg"
    )
    assert words.plain("a\nb") == "a b"


def test_no_cell_of_a_csv_is_a_formula():
    rows = pd.DataFrame({"File": ["=HYPERLINK(1)", "a.jpg", ""], "Reason": ["-1", "+x", "@y"]})
    assert words.for_spreadsheets(rows).splitlines()[1:] == ["'=HYPERLINK(1),'-1", "a.jpg,'+x", ",'@y"]
