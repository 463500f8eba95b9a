import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.labels import CLASSES, VERDICTS, in_words, parse_class, parse_split


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Hemorrhagic", "hemorrhagic"),
        ("HAEMORRHAGE", "hemorrhagic"),
        ("ischaemic", "ischemic"),
        ("Ischemic Stroke", "ischemic"),
        ("No stroke", "no_stroke"),
        ("normal", "no_stroke"),
        ("stroke", None),
        ("None", None),  # what programs write where nothing stands
        ("", None),
    ],
)
def test_class_names_are_known_in_their_usual_spellings(name, label):
    assert parse_class(name) == label


@pytest.mark.parametrize(
    ("name", "split"), [("Train", "train"), ("val", "validation"), ("TEST", "test"), ("misc", None)]
)
def test_split_names_are_known_in_their_usual_spellings(name, split):
    assert parse_split(name) == split


@given(st.sampled_from(CLASSES), st.sampled_from([str.upper, str.title, str.lower]))
def test_a_class_is_its_own_name_in_any_case(label, case):
    assert parse_class(case(label)) == label


def test_every_verdict_has_words():
    assert all(in_words(verdict) != verdict for verdict in VERDICTS)
