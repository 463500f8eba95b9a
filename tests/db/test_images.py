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


def test_a_write_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        ImageStore(tmp_path).put("ab12", b"pixels")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


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
