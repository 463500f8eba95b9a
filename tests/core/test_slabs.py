"""Thin slices put together: what becomes one scan, what stays by itself, and what the mean is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.scan import AVERAGED, Scan, from_stored, to_stored
from core.slabs import MANY, put_together, slabs


@pytest.mark.parametrize(
    ("step", "own", "together"),
    [
        (0.625, 0, 8), (1.0, 1.0, 5), (1.25, 0.5, 4), (2.5, 2.5, 2), (2.9, 0, 2), (3.0, 0, 1), (3.3, 0, 1),
        (2.5, 3.0, 1), (5.0, 5.0, 1), (7.0, 0, 1), (0.625, 1.25, 7), (0.5, 1.0, 9), (1.0, 2.0, 4), (1.25, 5.0, 1),
    ],
)  # fmt: skip
def test_thin_slices_reach_over_about_five_millimetres(step, own, together):
    groups = slabs([step * i for i in range(together * 60)], 5, own)
    assert {len(group) for group in groups} == {together}
    if together > 1:
        assert (together - 1) * step + max(step, own) == pytest.approx(5, abs=1.5)


@given(
    step=st.sampled_from([0.4, 0.5, 0.625, 0.75, 1.0, 1.25, 2.0, 2.5]),
    begin=st.floats(-900, 900).map(lambda place: round(place, 2)),
    cut=st.integers(MANY, 200),
)
def test_a_series_sent_in_parts_becomes_the_same_scans_but_at_the_cut(step, begin, cut):
    places = [begin + step * i for i in range(200 + MANY)]
    whole = {tuple(places[group.start : group.stop]) for group in slabs(places, 5)}
    first, second = places[:cut], places[cut:]
    parts = {tuple(part[group.start : group.stop]) for part in (first, second) for group in slabs(part, 5)}
    assert len(parts - whole) <= 2
    assert len(whole - parts) <= 1


@given(
    places=st.lists(st.integers(1, 400), min_size=1, max_size=300, unique=True),
    thick=st.floats(0, 12),
    own=st.floats(0, 6),
)
def test_every_slice_is_in_one_scan_in_its_order(places, thick, own):
    groups = slabs([float(place) for place in sorted(places)], thick, own)
    assert [number for group in groups for number in group] == list(range(len(places)))
    assert all(len(group) for group in groups)


@given(gaps=st.lists(st.sampled_from([0.5, 1.0, 1.0, 1.2, 7.0]), min_size=MANY, max_size=200))
def test_slices_far_apart_are_never_one_scan(gaps):
    places = np.concatenate([[0.0], np.cumsum(gaps)]).tolist()
    for group in slabs(places, 5):
        assert places[group.stop - 1] - places[group.start] < 6


def test_a_head_cut_finely_below_and_coarsely_above_is_thick_throughout():
    places = [1.0 * i for i in range(60)] + [60 + 5.0 * i for i in range(14)]
    assert [len(group) for group in slabs(places, 5)] == [5] * 12 + [1] * 14


@pytest.mark.parametrize(
    ("places", "thick", "own"),
    [
        (np.arange(MANY - 1.0), 5, 0),  # few: somebody chose them
        (np.arange(100.0), 0, 0),  # it is not wanted
        (np.arange(100.0), 5, 5),  # thick slices that overlap
        (np.repeat(np.arange(50.0), 2), 5, 0),  # two series in one file
        ([], 5, 0),
        ([3.0], 5, 0),
    ],
)
def test_what_stays_by_itself(places, thick, own):
    assert [len(group) for group in slabs(list(places), thick, own)] == [1] * len(places)


def shifted(by, count=60, step=1.0):
    """Places of a stack, and of the same taken again after it had moved, in order, with their numbers."""
    both = [step * i for i in range(count)] + [step * i + by for i in range(count)]
    order = np.argsort(both)
    return [both[at] for at in order], order


@pytest.mark.parametrize("by", [0.05, 0.1, 0.25, 0.4, 0.6, 10.3, 40.4])
def test_two_acquisitions_that_lie_between_one_another_are_not_averaged(by):
    places, order = shifted(by)
    assert {len(group) for group in slabs(places, 5)} == {1}
    for numbers in (order, order[::-1], order % 60, np.where(order < 60, order, 200 - order)):
        assert {len(group) for group in slabs(places, 5, 1, numbers.tolist())} == {1}


@pytest.mark.parametrize("by", [0.5, 30.5, 56.5])
def test_acquisitions_that_lie_in_the_middle_between_one_another_are_known_by_their_numbers(by):
    places, order = shifted(by)
    assert {len(group) for group in slabs(places, 5, 1, order.tolist())} == {1}


def test_an_acquisition_of_another_spacing_between_another_is_not_averaged():
    places = sorted([1.0 * i for i in range(100)] + [1.3 * i + 0.17 for i in range(75)])
    assert {len(group) for group in slabs(places, 5)} == {1}


EVEN = [0.625 * i for i in range(160)]


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        list(range(160)),
        list(range(160))[::-1],
        [0] * 160,
        [*range(90), *range(70)],
        [*range(60), *range(60), *range(40)],
        [*range(90), *range(159, 89, -1)],
    ],
)
def test_numbers_that_are_of_one_stack(numbers):
    """Also where all are alike, or begin anew for the vertex."""
    assert {len(group) for group in slabs(EVEN, 5, 0.625, numbers)} == {8}


@pytest.mark.parametrize(
    "places",
    [
        [round(place, 1) for place in EVEN],  # 0.6 or 0.7 apart
        (np.array(EVEN) + np.random.default_rng(0).uniform(-0.05, 0.05, 160)).tolist(),
        [place for i, place in enumerate(EVEN) if i % 10 != 3],
        [place for i, place in enumerate(EVEN) if not 40 < i < 70],
        [2.5 * i for i in range(40)] + [100 + 5.0 * i for i in range(20)],
        [0.625 * i for i in range(40)] + [25 + 1.25 * i for i in range(60)],
    ],
)
def test_places_that_are_of_one_stack(places):
    """Rounded, with some slices missing, or with another spacing above."""
    sizes = [len(group) for group in slabs(places, 5, 0, range(len(places)))]
    assert max(sizes) > 1
    assert sum(size > 1 for size in sizes) * 5 > 0.4 * (places[-1] - places[0])


def scan(number, **meta):
    hu = np.full((32, 32), 30.0, np.float32)
    hu[0, 0] = number
    return Scan(hu, "HU", "patient", "study", {"format": "NIfTI", "position_mm": 2.5 * number, **meta})


def test_a_mean_is_of_whole_densities_and_lies_in_the_middle():
    [mean] = put_together([range(0, 4)], scan)
    assert mean.pixels.dtype == np.float32
    assert mean.pixels[0, 0] == 2  # of 0, 1, 2 and 3: 1.5
    assert (mean.pixels.ravel()[1:] == 30).all()
    assert mean.meta == {"format": "NIfTI", "position_mm": 3.75, AVERAGED: 4}
    assert (mean.unit, mean.patient_key, mean.study_key) == ("HU", "patient", "study")


def test_a_mean_is_the_same_when_it_comes_back_from_the_store():
    """-0.2 HU is rounded to -0, which is kept as 0."""
    below = [Scan(np.where(np.eye(32), 40, -low).astype(np.float32), "HU") for low in (0, 0, 0, 1)]
    [mean] = put_together([range(0, 4)], below.__getitem__)
    assert np.signbit(mean.pixels).any(), "else this tests nothing"
    assert from_stored(to_stored(mean)).content_hash == mean.content_hash


def test_a_mean_is_not_as_thick_as_a_header_says_of_its_slices():
    [mean] = put_together([range(0, 4)], lambda number: scan(number, SliceThickness=1.25))
    assert "SliceThickness" not in mean.meta


def test_what_one_slice_says_its_mean_says():
    [mean] = put_together([range(0, 3)], lambda number: scan(number, **({"burned_in": 1.0} if number == 1 else {})))
    assert mean.meta["burned_in"] == 1


def test_slices_that_hold_nothing_are_not_averaged_in():
    scans = list(put_together([range(0, 2), range(2, 4), range(4, 6)], lambda i: scan(i) if i in (1, 4, 5) else None))
    assert [one.pixels[0, 0] for one in scans] == [1, 4]  # 4.5, to the even one
    assert [one.meta.get(AVERAGED) for one in scans] == [None, 2]
