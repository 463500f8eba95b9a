"""Thin slices that come as single files: which become one scan, and that none is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.scan import AVERAGED, Scan, UnreadableScan
from core.slabs import MANY
from services import series
from services.intake import Incoming, receive
from services.models import serving_model
from services.review import cases
from services.series import together
from services.uploads import Upload
from tests.conftest import changed_dicom, dicom, png
from tests.services.conftest import take


def thin(number, *, study="study", key="series", thickness=1.0, at=None):
    hu = np.full((32, 32), float(number), np.float32)
    hu[0, 0] = -1000
    place = float(number if at is None else at)
    return Scan(hu, "HU", "patient", study, {"SliceThickness": thickness, "position_mm": place}, key)


def names(found):
    return sorted(name for of, _ in found for name in of)


def test_a_thin_series_becomes_slices_of_about_five_millimetres():
    found = list(together([(f"I{i}", thin(i)) for i in range(60)], 5))
    assert [of for of, _ in found] == [tuple(f"I{5 * i + j}" for j in range(5)) for i in range(12)]
    assert [scan.pixels[1, 1] for _, scan in found] == [5 * i + 2 for i in range(12)]
    assert {scan.meta[AVERAGED] for _, scan in found} == {5}


@given(order=st.permutations(range(60)))
def test_in_whatever_order_its_files_come(order):
    found = list(together([(f"I{i}", thin(i)) for i in order], 5))
    assert [sorted(of) for of, _ in found] == [sorted(f"I{5 * i + j}" for j in range(5)) for i in range(12)]


def test_what_is_no_thin_slice_passes_at_once():
    thick = thin(3, thickness=5.0)
    coming = together(iter([("a", thin(1)), ("b", thick), ("c", UnreadableScan("No."))]), 5)
    assert next(coming) == (("b",), thick)
    names, problem = next(coming)
    assert names == ("c",)
    assert isinstance(problem, UnreadableScan)
    assert next(coming)[0] == ("a",)


@pytest.mark.parametrize(
    "slices",
    [
        [thin(i) for i in range(MANY - 1)],
        [thin(i, thickness=3.0) for i in range(60)],
        [thin(i, key=None) for i in range(60)],
        [thin(i, key=f"series {i % 2}") for i in range(90)],
        [thin(i, at=i // 2) for i in range(120)],  # two phases
        [Scan(one.pixels, "HU", "p", "s", {"SliceThickness": 1.0}, "series") for one in map(thin, range(60))],
        [Scan(one.pixels, "HU", "p", "s", {"position_mm": 1.0 * i}, "k") for i, one in enumerate(map(thin, range(60)))],
    ],
)
def test_what_stays_as_it_is(slices):
    found = list(together([(f"I{i}", one) for i, one in enumerate(slices)], 5))
    assert names(found) == sorted(f"I{i}" for i in range(len(slices)))
    assert {scan.content_hash for _, scan in found} == {one.content_hash for one in slices}
    assert not any(AVERAGED in scan.meta for _, scan in found)


def test_every_slice_is_a_scan_where_that_is_wanted():
    assert [of for of, _ in together([(f"I{i}", thin(i)) for i in range(60)], 0)] == [(f"I{i}",) for i in range(60)]


def test_two_patients_are_never_one_scan():
    slices = [thin(i, study=f"study {i % 2}", at=i // 2) for i in range(120)]
    for of, _ in together([(f"{i % 2}", one) for i, one in enumerate(slices)], 5):
        assert len(set(of)) == 1


def test_more_than_may_wait_does_not_wait(monkeypatch):
    monkeypatch.setattr(series, "HELD_PIXELS", 100 * 32 * 32)
    waiting, most = 0, 0

    def coming():
        nonlocal waiting, most
        for i in range(400):
            waiting += 1
            most = max(most, waiting)
            yield f"I{i}", thin(i, key=f"series {i % 3}")

    found = []
    for of, scan in together(coming(), 5):
        waiting -= len(of)
        found.append((of, scan))
    assert most <= 101
    assert names(found) == sorted(f"I{i}" for i in range(400))


@pytest.fixture
def thin_series():
    """(name, content) of 60 slices in 12 groups that are alike but for a little brightness."""
    slices = []
    for i in range(60):
        header = {"SliceThickness": "1.25", "SeriesInstanceUID": "1.2.3.4"}
        where = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, 1.25 * i]}
        slices.append((f"I{i:02}", changed_dicom(dicom(i // 4), RescaleIntercept=i % 4, **header, **where)))
    return slices


def test_each_file_of_a_thin_series_is_answered_with_its_scan(ws, predictor, thin_series):
    received = take(ws, predictor, [*thin_series[::-1], ("a.png", png(1)), ("a.txt", b"nothing")])
    assert [one.file for one in received[:2]] == ["a.png", "a.txt"], "nothing waits for a series"
    of = {one.file: one for one in received}
    assert {of[name].outcome for name, _ in thin_series} == {"stored"}
    assert {of[name].reason for name, _ in thin_series} == {"The mean of 4 neighbouring thin slices."}
    for first in range(0, 60, 4):
        assert len({of[f"I{first + i:02}"].scan_id for i in range(4)}) == 1
    assert len({of[name].scan_id for name, _ in thin_series}) == 15
    found = [case.scan for case in cases(ws, "r") if case.scan.in_mm]
    assert [scan.number for scan in found] == [5 * i + 1.875 for i in range(15)], "they lie in the middle"
    again = take(ws, predictor, thin_series)
    assert {one.outcome for one in again} == {"duplicate"}
    assert {one.scan_id for one in again} == {one.scan_id for one in received[2:]}


def test_the_same_thin_slice_twice_is_a_duplicate(ws, predictor, thin_series):
    name, data = thin_series[0]
    assert [one.outcome for one in take(ws, predictor, [(name, data), ("copy", data)])] == ["stored", "duplicate"]


def test_a_copy_in_a_thin_series_does_not_keep_it_from_being_put_together(ws, predictor, thin_series):
    received = take(ws, predictor, [*thin_series, ("copy", thin_series[7][1])])
    assert len({one.scan_id for one in received}) == 15
    assert len(received) == 61


def test_an_upload_counts_its_scans(ws, thin_series):
    upload = Upload(ws, serving_model(ws), thin_series, actor="a")
    upload.start()
    upload.wait()
    assert upload.counts == "60 stored as 15 scans"
    assert len(upload.scan_ids) == 15


def test_what_came_before_a_series_that_ends_early_is_stored(ws, predictor, thin_series):
    def broken():
        yield from (Incoming(name, data) for name, data in thin_series[:50])
        yield Incoming("lost", problem="The file cannot be opened.")

    received = list(receive(ws, predictor, broken(), source="upload", actor="a"))
    assert sorted(one.outcome for one in received) == ["refused"] + ["stored"] * 50
