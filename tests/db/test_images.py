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


def test_a_write_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        ImageStore(tmp_path).put("ab12", b"pixels")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
