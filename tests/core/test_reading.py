from types import SimpleNamespace

import pytest

from core.reading import abstains, hemorrhage_if_head_ct, hemorrhage_left_open, hemorrhage_not_excluded, not_head_ct


@pytest.mark.parametrize(
    ("label", "flags", "excluded", "if_head_ct"),
    [
        ("hemorrhagic", (), True, False),  # it is the answer
        ("hemorrhagic", ("uncertain",), False, False),  # a best guess is no less alarming
        ("ischemic", ("uncertain",), True, False),
        ("ischemic", ("hemorrhage_not_excluded",), False, False),
        ("hemorrhagic", ("uncertain", "not_head_ct"), True, True),
        ("no_stroke", ("not_head_ct", "hemorrhage_not_excluded"), True, True),
        ("no_stroke", ("not_head_ct",), True, False),
    ],
)
def test_whether_a_hemorrhage_must_be_looked_for(label, flags, excluded, if_head_ct):
    answer = SimpleNamespace(label=label, flags=flags)
    assert hemorrhage_not_excluded(answer) != excluded
    assert hemorrhage_if_head_ct(answer) == if_head_ct
    assert hemorrhage_left_open(answer) == (not excluded or if_head_ct)
    assert not_head_ct(answer) == ("not_head_ct" in flags)
    assert abstains(answer) == ("uncertain" in flags)


@pytest.mark.parametrize("flag", ["coloured_mark", "contrast_agent", "window_too_wide"])
def test_a_guess_that_means_nothing_leaves_a_hemorrhage_open(flag):
    assert hemorrhage_left_open(SimpleNamespace(label="no_stroke", flags=("uncertain", flag)))
