from datetime import UTC, datetime
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reading import ENHANCED, HEMORRHAGE_NOT_EXCLUDED, MARKED, NOT_HEAD_CT, UNCERTAIN
from db.queries import ReadingRow, ScanRow
from services.ordering import ORDERS
from services.review import Case


def case(scan_id, patient, bleeds=None, *, flags=(), synthetic=False):
    """A scan whose reading, where it is not hidden, gives hemorrhage that probability."""
    scan = ScanRow(
        scan_id, f"{scan_id}", patient, patient, 1, None, False, "display", synthetic, False, 0, datetime.now(UTC), None
    )
    p = {"hemorrhagic": bleeds, "ischemic": 0.0, "no_stroke": 1 - bleeds} if bleeds is not None else {}
    sure = max(p.values(), default=0)
    reading = ReadingRow(scan_id, scan_id, "v", "no_stroke", sure, p, flags) if p else None
    return Case(scan, reading, reading is None, 0, False, None, "not read yet", None)


def in_order(name, cases):
    return [case.scan.id for case in sorted(cases, key=ORDERS[name](cases))]


def test_hemorrhage_first_goes_by_patient_and_then_by_slice():
    one_loud = [case(1, "a", 0.95), case(2, "a", 0.02), case(3, "a", 0.01)]  # 0.33 by the three that speak
    steady = [case(4, "b", 0.6), case(5, "b", 0.7), case(6, "b", 0.65), case(7, "b", 0.1)]  # 0.65
    none = [case(8, "c", 0.05)]
    assert in_order("hemorrhage first", one_loud + none + steady) == [5, 6, 4, 7, 1, 2, 3, 8]


def test_what_is_hidden_or_no_head_comes_last_and_says_nothing_of_its_patient():
    cases = [case(1, "a"), case(2, "b", 0.99, flags=(NOT_HEAD_CT,)), case(3, "b", 0.3), case(4, "c", 0.4)]
    assert in_order("hemorrhage first", cases) == [4, 3, 2, 1]
    assert in_order("hemorrhage first", [case(5, "d", 0.9, synthetic=True), *cases]) == [4, 3, 2, 1, 5]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.floats(0.01, 0.99))), max_size=9))
def test_every_order_keeps_all_scans_and_the_first_patient_is_the_most_suspicious(made):
    cases = [case(number, patient, bleeds) for number, (patient, bleeds) in enumerate(made)]
    for name in ORDERS:
        assert sorted(in_order(name, cases)) == list(range(len(cases)))
    told = {key: sorted(p for patient, p in made if patient == key and p)[-3:] for key in "abc"}
    means = {key: fmean(ps) for key, ps in told.items() if ps}
    if means:
        first = cases[in_order("hemorrhage first", cases)[0]]
        assert abs(means[first.scan.patient_key] - max(means.values())) < 1e-12


def test_certainty_orders_both_ways_with_what_is_hidden_last():
    cases = [case(1, "a", 0.5), case(2, "b"), case(3, "c", 0.1)]
    assert in_order("least certain first", cases) == [1, 3, 2]
    assert in_order("most certain first", cases) == [3, 1, 2]


def test_a_guess_that_means_nothing_is_certain_of_nothing():
    cases = [case(1, "a", 0.5), case(2, "b"), case(3, "c", 0.99, flags=(UNCERTAIN, ENHANCED)), case(4, "d", 0.9)]
    assert in_order("least certain first", cases) == [3, 1, 4, 2]
    assert in_order("most certain first", cases) == [4, 1, 3, 2]


def test_where_a_hemorrhage_is_to_be_looked_for_though_it_seems_no_head_ct_it_is_not_last():
    cases = [case(1, "a", 0.3), case(2, "b", 0.9, flags=(NOT_HEAD_CT, HEMORRHAGE_NOT_EXCLUDED))]
    assert in_order("hemorrhage first", cases) == [2, 1]


@pytest.mark.parametrize("bleeds", [0.01, 0.99])
def test_a_guess_that_means_nothing_leaves_a_hemorrhage_as_likely_as_not(bleeds):
    flags = ((UNCERTAIN, ENHANCED), (NOT_HEAD_CT, MARKED))
    cases = [
        case(1, "a", 0.4),
        case(2, "b", 0.6),
        *(case(3 + i, f"c{i}", bleeds, flags=of) for i, of in enumerate(flags)),
    ]
    assert in_order("hemorrhage first", cases) == [2, 3, 4, 1]


def test_what_may_be_no_head_ct_is_sure_of_nothing():
    cases = [case(1, "a", 0.5), case(2, "b", 0.99, flags=(NOT_HEAD_CT,))]
    assert in_order("most certain first", cases) == [1, 2]
