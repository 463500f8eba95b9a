"""Thin slices that come as single files: which become one scan, and that none is lost."""

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.formats import read
from core.labels import SPLITS
from core.pseudonym import unnamed
from core.reading import SEEN_IN_TRAINING
from core.scan import AVERAGED, Scan, UnreadableScan
from core.slabs import MANY
from db import queries
from services.arrivals import split_of
from services.intake import Incoming, receive
from services.models import promote, serving_model
from services.removal import undo
from services.rereading import read_stored
from services.review import cases
from services.series import together
from services.uploads import Upload
from services.workspace import stored_scan
from tests.conftest import changed_dicom, png
from tests.services.conftest import take


def thin(number, *, study="study", key="series", thickness=1.0, at=None):
    hu = np.full((32, 32), float(number), np.float32)
    hu[0, 0] = -1000
    place = float(number if at is None else at)
    return Scan(hu, "HU", "patient", study, {"SliceThickness": thickness, "position_mm": place}, key)


def numbered(scan, number):
    return replace(scan, meta=scan.meta | {"InstanceNumber": float(number)})


def put(files, slice_mm=5, known=()):
    return list(together(files, slice_mm, lambda hashes: set(hashes) & set(known)))


def names(found):
    return sorted(name for one in found for name in one.files)


def test_a_thin_series_becomes_slices_of_about_five_millimetres():
    slices = [thin(i) for i in range(60)]
    found = put([(f"I{i}", one) for i, one in enumerate(slices)])
    assert [one.files for one in found] == [tuple(f"I{5 * i + j}" for j in range(5)) for i in range(12)]
    assert [one.scan.pixels[1, 1] for one in found] == [5 * i + 2 for i in range(12)]
    assert {one.scan.meta[AVERAGED] for one in found} == {5}
    assert {one.scan.pixels.dtype for one in found} == {np.dtype(np.float32)}
    assert [digest for one in found for digest in one.parts] == [one.content_hash for one in slices]


@pytest.mark.parametrize("number", [lambda i: 60 - i, lambda i: i % 40, lambda i: 1])
def test_however_its_slices_are_numbered(number):
    found = put([(f"I{i}", numbered(thin(i), number(i))) for i in range(60)])
    assert [len(one.files) for one in found] == [5] * 12


def test_where_one_slice_has_no_number_none_counts():
    slices = [thin(0), *(numbered(thin(i), 7 * i % 60) for i in range(1, 60))]
    assert len(put([(f"I{i}", one) for i, one in enumerate(slices)])) == 12


@given(order=st.permutations(range(60)))
def test_in_whatever_order_its_files_come(order):
    found = put([(f"I{i}", thin(i)) for i in order])
    assert [sorted(one.files) for one in found] == [sorted(f"I{5 * i + j}" for j in range(5)) for i in range(12)]


def test_what_is_no_thin_slice_passes_at_once():
    thick = thin(3, thickness=5.0)
    problem = UnreadableScan("No.")
    found = put([("a", thin(1)), ("b", thick), ("c", problem)])
    assert found[:2] == [(("b",), thick, ()), (("c",), problem, ())]
    assert found[2].files == ("a",)


@pytest.mark.parametrize(
    "slices",
    [
        [thin(i) for i in range(MANY - 1)],
        [thin(i, thickness=3.0) for i in range(60)],
        [thin(i, key=None) for i in range(60)],
        [thin(i, key=f"series {i % 2}") for i in range(90)],
        [thin(i, at=i // 2) for i in range(120)],  # two phases
        [thin(i, at=i % 60 + 0.4 * (i >= 60)) for i in range(120)],  # one after the head had moved
        [numbered(thin(i, at=i % 60 + 0.5 * (i >= 60)), i) for i in range(120)],
        [Scan(one.pixels, "HU", "p", "s", {"SliceThickness": 1.0}, "series") for one in map(thin, range(60))],
        [Scan(one.pixels, "HU", "p", "s", {"position_mm": 1.0 * i}, "k") for i, one in enumerate(map(thin, range(60)))],
    ],
)
def test_what_stays_as_it_is(slices):
    found = put([(f"I{i}", one) for i, one in enumerate(slices)])
    assert names(found) == sorted(f"I{i}" for i in range(len(slices)))
    assert {one.scan.content_hash for one in found} == {one.content_hash for one in slices}
    assert {one.scan.pixels.dtype for one in found} == {np.dtype(np.float32)}
    assert not any(AVERAGED in one.scan.meta or one.parts for one in found)


def test_every_slice_is_a_scan_where_that_is_wanted():
    found = put([(f"I{i}", thin(i)) for i in range(60)], 0)
    assert [one.files for one in found] == [(f"I{i}",) for i in range(60)]


def test_densities_that_are_not_whole_stay_what_they_are():
    slices = [replace(thin(i), pixels=thin(i).pixels + np.float32(0.25)) for i in range(20)]
    found = put([(f"I{i}", one) for i, one in enumerate(slices)])
    assert [one.scan.content_hash for one in found] == [one.content_hash for one in slices]


def test_slices_that_the_log_has_stay_as_they_are_and_no_mean_holds_them():
    slices = [thin(i) for i in range(60)]
    known = [one.content_hash for one in slices[:8]]
    found = put([(f"I{i}", one) for i, one in enumerate(slices)], known=known)
    assert [one.files for one in found[:9]] == [(f"I{i}",) for i in range(8)] + [("I8", "I9")]
    assert names(found) == sorted(f"I{i}" for i in range(60))
    assert not set(known) & {digest for one in found for digest in one.parts}


def test_two_patients_are_never_one_scan():
    slices = [replace(thin(i), patient_key=f"patient {i % 2}") for i in range(120)]
    found = put([(f"{i % 2}", one) for i, one in enumerate(slices)])
    assert {one.scan.meta[AVERAGED] for one in found} == {2}, "of every second slice"
    for one in found:
        assert len(set(one.files)) == 1


def test_each_file_of_a_thin_series_is_answered_with_its_scan(ws, predictor, thin_series):
    received = take(ws, predictor, [*thin_series[::-1], ("a.png", png(1)), ("a.txt", b"nothing")])
    assert [one.file for one in received[:2]] == ["a.png", "a.txt"], "nothing waits for a series"
    of = {one.file: one for one in received}
    assert {of[name].outcome for name, _ in thin_series} == {"stored"}
    assert {of[name].reason for name, _ in thin_series} == {"The mean of 4 neighbouring thin slices."}
    for first in range(0, 60, 4):
        assert len({of[f"I{first + i:02}"].scan_id for i in range(4)}) == 1
    assert len({of[name].scan_id for name, _ in thin_series}) == 15
    for case in cases(ws, "r"):
        stored_scan(ws, case.scan.content_hash)  # raises where it is not what was received
    found = [case.scan for case in cases(ws, "r") if case.scan.in_mm]
    assert [scan.number for scan in found] == [5 * i + 1.875 for i in range(15)], "they lie in the middle"


@pytest.mark.parametrize("again", [slice(None), slice(7, 8), slice(0, 55)])
def test_a_slice_that_is_part_of_a_scan_is_not_stored_again(ws, predictor, thin_series, again):
    first = {one.file: one.scan_id for one in take(ws, predictor, thin_series)}
    for one in take(ws, predictor, thin_series[again]):
        assert (one.outcome, one.scan_id) == ("duplicate", first[one.file])
        assert one.reason == f"The same image is in the case log already, as part of scan {one.scan_id}."
        assert one.reading.scan_id == one.scan_id
    assert len(cases(ws, "r")) == 15
    stored = {path.stem for path in ws.images.root.glob("*/*.png")}
    assert stored == {case.scan.content_hash for case in cases(ws, "r")}, "no image that no scan names"


def test_two_neighbours_that_are_alike_are_parts_of_their_scan(ws, predictor, thin_series):
    name, _ = thin_series[6]
    same = pydicom.dcmread(io.BytesIO(thin_series[5][1]))
    same.ImagePositionPatient = [0, 0, 1.25 * 6]
    out = io.BytesIO()
    same.save_as(out)
    thin_series[6] = name, out.getvalue()
    received = take(ws, predictor, thin_series)
    assert len({one.scan_id for one in received}) == 15
    assert {one.outcome for one in take(ws, predictor, thin_series)} == {"duplicate"}


@pytest.mark.parametrize("aslant", [0.4, 60.0])
def test_slices_that_do_not_lie_one_upon_the_other_are_not_averaged(ws, predictor, thin_series, aslant):
    """As with a tilted gantry, or a series that was centred anew on its way."""
    moved = []
    for i, (name, data) in enumerate(thin_series):
        where = [0, aslant * i if aslant < 1 else aslant * (i >= 30), 1.25 * i]
        moved.append((name, changed_dicom(data, ImagePositionPatient=where)))
    assert len({one.scan_id for one in take(ws, predictor, moved)}) == 60


def test_what_came_in_two_parts_is_stored_once(ws, predictor, thin_series):
    take(ws, predictor, thin_series[:50])
    whole = take(ws, predictor, thin_series)
    assert [one.outcome for one in whole].count("duplicate") == 50
    assert len(cases(ws, "r")) == 13 + 3, "the slices at the cut are a scan of their own"


def test_of_a_batch_that_is_taken_back_the_slices_may_come_again(ws, predictor, thin_series):
    first = take(ws, predictor, thin_series)
    undo(ws, first[0].scan_id, actor="a")
    assert {one.outcome for one in take(ws, predictor, thin_series)} == {"stored"}
    assert len(cases(ws, "r")) == 15


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


def test_a_mean_of_slices_that_were_trained_on_is_known_to_have_been(ws, publish_untrained, thin_series):
    """`train.py` knows each file by itself, and has dealt one of them a part."""
    slices = [unnamed(read(data, name, pseudonym=ws.pseudonym).content_hash) for name, data in thin_series]
    dealt = next(part for part in SPLITS if part != split_of(ws.pseudonym.of("PatientID", "P1")))
    with ws.db.writing() as session:
        queries.add_patients(session, {slices[6]: dealt})
    versions = [publish_untrained(seed, patients={"train": [slices[6]]}) for seed in (0, 1)]
    promote(ws, versions[0], actor="a")
    received = take(ws, serving_model(ws), thin_series)
    promote(ws, versions[1], actor="a")
    read_stored(ws, serving_model(ws), {one.scan_id for one in received})
    with ws.db.reading() as session:
        for version in versions:
            readings = queries.readings(session, version=version)
            assert len(readings) == 15
            assert all(SEEN_IN_TRAINING in reading.flags for reading in readings.values())
        [key] = {scan.patient_key for scan in queries.scans(session)}
        assert queries.splits(session, [key]) == {key: dealt}
