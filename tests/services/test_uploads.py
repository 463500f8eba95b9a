import errno

import pytest

from db.session import UnusableLog
from services import uploads
from services.models import serving_model
from services.uploads import Upload
from tests.conftest import png


def sent(n, first=0):
    return [(f"{i}.png", png(first + i)) for i in range(n)]


def test_it_takes_in_what_was_sent_and_says_how_far_it_is(ws):
    upload = Upload(ws, serving_model(ws), [*sent(3), ("a.txt", b"no image")], actor="a")
    assert upload.expected == 4
    upload.start()
    upload.wait()
    assert [one.outcome for one in upload.received] == ["stored"] * 3 + ["refused"]
    assert upload.counts == "3 stored, 1 refused"
    assert upload.whole
    assert len(upload.scan_ids) == 3
    assert upload.seconds_left == 0


def test_stopped_it_takes_in_no_further_file_and_keeps_what_it_has(ws, monkeypatch):
    real = uploads.unpacked

    def stopped_at_the_third(name, data, *, limits):
        yield from real(name, data, limits=limits)
        if name == "2.png":
            upload.stop()

    monkeypatch.setattr(uploads, "unpacked", stopped_at_the_third)
    upload = Upload(ws, serving_model(ws), sent(9), actor="a")
    upload.start()
    upload.wait()
    assert upload.counts == "3 stored"
    assert not upload.whole
    assert upload.problem is None


def test_stopped_after_its_last_file_it_is_whole(ws):
    upload = Upload(ws, serving_model(ws), sent(2), actor="a")
    upload.start()
    upload.wait()
    upload.stop()
    assert upload.whole


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("The disk is full."), "disk is full"),
        (UnusableLog("Another program holds it."), "holds it"),
        (KeyError("x"), "log"),
    ],
)
def test_what_ends_it_is_said(ws, monkeypatch, error, said):
    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(uploads, "unpacked", fails)
    upload = Upload(ws, serving_model(ws), sent(1), actor="a")
    upload.start()
    upload.wait()
    assert said in upload.problem
    assert not upload.whole


def test_a_full_disk_ends_it_with_where_and_what_to_do(ws, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("db.images.os.fsync", full)
    upload = Upload(ws, serving_model(ws), sent(1), actor="a")
    upload.start()
    upload.wait()
    assert f"cannot be stored in {ws.images.root} (No space left on device). The disk is full" in upload.problem
