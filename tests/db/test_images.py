import errno
import os

import pytest

from db.images import ImageMissing, ImageStore


def test_what_is_put_can_be_got(tmp_path):
    store = ImageStore(tmp_path)
    store.put("ab12", b"pixels")
    assert store.get("ab12") == b"pixels"
    store.put("ab12", b"other")
    assert store.get("ab12") == b"pixels", "a name is written once"
    with pytest.raises(ImageMissing):
        store.get("ff00")


def test_an_image_that_cannot_be_read_is_missing_and_says_why(tmp_path):
    store = ImageStore(tmp_path)
    store.path("ab12").mkdir(parents=True)
    with pytest.raises(ImageMissing, match="cannot be read"):
        store.get("ab12")


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        (errno.ENOSPC, "The disk is full: make room on it."),
        (errno.EACCES, "Let whoever runs this write there."),
        (errno.EIO, "See to that folder and to its disk."),
    ],
)
@pytest.mark.parametrize("write", [lambda s: s.put("ab12", b"pixels"), lambda s: s.note("log", ["ab12"])])
def test_a_write_that_fails_leaves_no_file_and_says_where_why_and_what_to_do(
    tmp_path, monkeypatch, write, code, way_out
):
    def fails(_descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Images cannot be stored") as said:
        write(ImageStore(tmp_path))
    assert str(said.value) == (
        f"Images cannot be stored in {tmp_path} ({os.strerror(code)}). {way_out} What is stored stays."
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_store_that_cannot_be_made_says_so_too(tmp_path):
    (tmp_path / "images").write_bytes(b"")
    with pytest.raises(OSError, match=r"cannot be stored in .*images \(.*\)\. See to that folder"):
        ImageStore(tmp_path / "images").put("ab12", b"pixels")


def test_a_temporary_file_that_cannot_be_removed_hides_no_note(tmp_path):
    store = ImageStore(tmp_path)
    note = store.note("log", ["ab12"])
    locked = store.path("ab12").with_name(".ab12.tmp")
    locked.mkdir(parents=True)
    assert store.notes("log", -1) == [note]
    assert locked.exists()


def test_images_are_their_owners_alone_in_a_folder_that_others_may_open(tmp_path):
    for number, write in enumerate((lambda s: s.put("ab12", b"pixels"), lambda s: s.note("log", ["ab12"]))):
        tmp_path.chmod(0o755)
        store = ImageStore(tmp_path / f"images{number}")
        write(store)
        assert store.root.stat().st_mode & 0o777 == 0o700


def test_a_store_of_before_is_closed_to_others(tmp_path):
    store = ImageStore(tmp_path / "images")
    store.keep_private()
    assert not store.root.exists(), "there is nothing to close"
    store.put("ab12", b"pixels")
    store.root.chmod(0o2755)
    store.keep_private()
    assert store.root.stat().st_mode & 0o7777 == 0o2700
    assert store.get("ab12") == b"pixels"
