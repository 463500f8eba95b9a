"""More thin slices in one batch than may wait: which series end, and that none is lost, stored twice or mixed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import series
from services.review import cases
from services.series import together
from tests.conftest import changed_dicom
from tests.services.conftest import take
from tests.services.test_series import names, thin

MOST = 100
"""So many slices may wait here."""


def put(files, limit=MOST):
    """What comes of (name, slice), and how many waited at most."""
    waiting, most, found = 0, 0, []

    def coming():
        nonlocal waiting, most
        for one in files:
            waiting += 1
            most = max(most, waiting)
            yield one

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "HELD_BYTES", limit * 32 * 32 * 2)
        for one in together(coming(), 5, lambda hashes: ()):
            waiting -= len(one.files)
            found.append(one)
    assert names(found) == sorted(name for name, _ in files)
    return found, most


def of(key, numbers):
    """(name, slice) of one series, no slice of which is another one's."""
    brightness = 1000 * (ord(key) - ord("A"))
    return [(f"{key}{i:03}", thin(brightness + i, key=key, at=i)) for i in numbers]


def sizes(found, key):
    """Of how many slices the scans of a series are."""
    return [len(one.files) for one in found if one.files[0].startswith(key)]


@pytest.mark.parametrize(("several", "each"), [(5, 60), (3, 90), (9, 50)])
def test_series_that_come_one_after_the_other_are_all_put_together(several, each):
    found, most = put([one for key in "ABCDEFGHI"[:several] for one in of(key, range(each))])
    assert [sizes(found, key) for key in "ABCDEFGHI"[:several]] == [[5] * (each // 5)] * several
    assert most <= MOST + 2


@given(order=st.permutations(range(150)))
def test_a_series_too_long_to_wait_for_stays_as_it_is_in_whatever_order_it_comes(order):
    found, most = put(of("S", range(60)) + of("L", order))
    assert sizes(found, "S") == [5] * 12
    assert sizes(found, "L") == [1] * 150
    assert most <= MOST + 2


@given(order=st.permutations(range(150)), cut=st.integers(0, 150))
def test_whatever_comes_between_the_slices_of_a_series_none_is_lost_and_only_neighbours_are_one_scan(order, cut):
    long = of("L", order)
    found, most = put(long[:cut] + of("S", range(60)) + long[cut:])
    assert most <= MOST + 2
    for one in found:
        assert len({name[0] for name in one.files}) == 1
        numbers = [int(name[1:]) for name in one.files]
        assert max(numbers) - min(numbers) < 7


@pytest.mark.parametrize("several", [2, 3, 4])
def test_series_whose_slices_alternate_are_put_together_but_where_they_were_cut(several):
    files = [one for slices in zip(*(of(key, range(250)) for key in "ABCD"[:several]), strict=True) for one in slices]
    found, most = put(files, 190 * several)
    assert most <= 190 * several + 2
    assert len([one for one in found if len(one.files) == 5]) > 0.8 * several * 250 / 5
    for one in found:
        numbers = [int(name[1:]) for name in one.files]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_slice_that_comes_again_after_its_series_has_ended_is_a_duplicate(ws, predictor, thin_series, monkeypatch):
    """Also where the scan that it is part of is stored with it at once."""
    monkeypatch.setattr(series, "HELD_BYTES", 80 * 96 * 96 * 2)
    monkeypatch.setattr(ws.settings.limits, "batch_size", 100)
    other = [
        (f"O{i:02}", changed_dicom(data, SeriesInstanceUID="1.2.3.5", RescaleIntercept=10 + i % 4))
        for i, (_, data) in enumerate(thin_series)
    ]
    received = take(ws, predictor, [*thin_series, *other, ("copy", thin_series[7][1])])
    of = {one.file: one for one in received}
    assert len(received) == 121
    assert [one.file for one in received if one.outcome == "duplicate"] == ["copy"]
    assert of["copy"].scan_id == of["I07"].scan_id
    assert len(cases(ws, "r")) == 30
