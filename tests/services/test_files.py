"""What lies under a path."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from core.settings import Limits
from services.files import files_in, incoming, landed, unpacked
from services.intake import receive
from services.models import serving_model
from tests.conftest import dicom, png
from tests.core.test_volume import nifti, volume


def test_a_folder_that_is_closed_is_named_and_costs_no_other(tmp_path, monkeypatch):
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png())
    real = os.scandir

    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = {one.file: one.problem for one in incoming([tmp_path], limits=Limits())}
    assert found[f"{tmp_path}/open/a.png"] is None
    assert "cannot be opened" in found[f"{tmp_path}/shut"]
    seen = {}
    landed(tmp_path, seen)
    assert landed(tmp_path, seen) == [tmp_path / "open" / "a.png"]


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    [found] = incoming([tmp_path], limits=Limits())
    assert "is a link" in found.problem


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "z.png").write_bytes(png())
    found = {Path(one.file).name: one.problem for one in incoming([tmp_path], limits=Limits())}
    assert "no file but a pipe" in found["pipe"]
    assert found["z.png"] is None


def test_a_link_to_another_folder_is_named_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "a.png").write_bytes(png())
    found = {Path(one.file).name: one.problem for one in incoming([tmp_path / "in"], limits=Limits())}
    assert found["a.png"] is None
    assert "not followed" in found["again"]


def test_folders_and_zips_are_walked_and_every_file_is_named(tmp_path):
    import zipfile

    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.png").write_bytes(png())
    with zipfile.ZipFile(tmp_path / "in" / "pack.zip", "w") as archive:
        archive.writestr("x/b.png", png(2))
        archive.writestr("__MACOSX/x/._b.png", b"litter")
    (tmp_path / "empty").mkdir()
    found = list(incoming([tmp_path / "in", tmp_path / "empty", tmp_path / "no.png"], limits=Limits(file_mb=1)))
    assert [f.file for f in found] == [
        f"{tmp_path}/in/deep/a.png",
        f"{tmp_path}/in/pack.zip/x/b.png",
        f"{tmp_path}/empty",
        f"{tmp_path}/no.png",
    ]
    assert [f.problem for f in found[:2]] == [None, None]
    assert "no file" in found[2].problem
    assert "no such file" in found[3].problem


def test_a_zip_that_lies_about_its_size_is_cut_off(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.png", b"\0" * 3_000_000)
    [found] = incoming([tmp_path / "bomb.zip"], limits=Limits(file_mb=1))
    assert "limit" in found.problem
    assert found.data == b""


def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def encrypted():
    """As far as its headers say: bit 0 of the flags, in the file's own and in the directory's."""
    data = bytearray(zipped(a=png(1)))
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(header) + flags] |= 1
    return bytes(data)


def packed_by(method):
    """As far as its headers say."""
    data = bytearray(zipped(a=png(1)))
    for header, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(header) + at] = method
    return bytes(data)


def test_a_zip_from_a_browser_is_what_is_in_it():
    data = zipped(**{"a/b/1.png": png(1), "2.dcm": dicom(2), "__MACOSX/x": b"", "a/": b""})
    members = list(unpacked("case.zip", data, limits=Limits()))
    assert [one.file for one in members] == ["case.zip/a/b/1.png", "case.zip/2.dcm"]
    assert members[0].data == png(1)
    assert files_in(data) == 2
    [plain] = unpacked("x.png", png(1), limits=Limits())
    assert (plain.data, files_in(png(1))) == (png(1), 1)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (zipped(), "holds no file"),
        (zipped(a=b"0" * 3_000_000), "limit is 1 MB"),
        (zipped(a=png(1)).replace(png(1)[40:60], b"x" * 20), "is damaged"),
        (encrypted(), "without a password"),
        (packed_by(9), "packed in a way not known here. Pack it as a plain zip."),  # Deflate64
    ],
)
def test_a_zip_that_cannot_be_used_says_why(data, word):
    [found] = unpacked("case.zip", data, limits=Limits(file_mb=1))
    assert word in found.problem


@pytest.mark.parametrize("mark", ["[Content_Types].xml", "META-INF/manifest.xml"])
def test_an_office_document_is_no_zip_of_scans(mark):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(mark, "<Types/>")
        archive.writestr("word/media/image1.png", png())
    [found] = unpacked("letter.docx", out.getvalue(), limits=Limits())
    assert (found.file, found.data) == ("letter.docx", b"")
    assert "document of an office program" in found.problem
    assert files_in(out.getvalue()) == 1


def test_a_zip_without_its_end_is_handed_on_as_a_file_that_cannot_be_read(ws):
    whole = zipped(a=png(1))
    [found] = unpacked("case.zip", whole[:-30], limits=Limits())
    [received] = receive(ws, serving_model(ws), [found], source="upload", actor="a")
    assert (received.outcome, received.file) == ("refused", "case.zip")
    assert received.reason


def test_a_file_that_may_hold_many_slices_may_be_larger(tmp_path):
    data = nifti(volume())
    (tmp_path / "a.nii").write_bytes(data)
    (tmp_path / "b.jpg").write_bytes(b"\xff" * len(data))
    limits = Limits(file_mb=len(data) / 2e6, volume_mb=len(data) / 0.5e6)
    for found in (
        incoming([tmp_path], limits=limits),
        unpacked("z", zipped(a=data, b=b"\xff" * len(data)), limits=limits),
    ):
        good, bad = found
        assert (good.data, good.problem) == (data, None)
        assert "limits.file_mb" in bad.problem
    [bad] = incoming([tmp_path / "a.nii"], limits=Limits(volume_mb=len(data) / 2e6))
    assert "limits.volume_mb" in bad.problem


def test_a_drop_folder_gives_each_file_once_when_it_has_come_to_rest(tmp_path):
    seen = {}
    (tmp_path / "a.png").write_bytes(b"1")
    (tmp_path / "b.png.part").write_bytes(b"1")
    assert landed(tmp_path, seen) == [], "it may still be growing"
    (tmp_path / "a.png").write_bytes(b"12")
    assert landed(tmp_path, seen) == []
    assert landed(tmp_path, seen) == [tmp_path / "a.png"]
    assert landed(tmp_path, seen) == []
    (tmp_path / "b.png.part").rename(tmp_path / "b.png")
    assert landed(tmp_path, seen) == []
    assert landed(tmp_path, seen) == [tmp_path / "b.png"]
    os.utime(tmp_path / "a.png", ns=(1, 1))  # another file of that name
    assert landed(tmp_path, seen) == []
    assert landed(tmp_path, seen) == [tmp_path / "a.png"]


def test_an_image_with_a_zip_at_its_end_is_the_image(tmp_path):
    data = png(1) + zipped(a=b"x")
    (tmp_path / "a.png").write_bytes(data)
    [found] = incoming([tmp_path], limits=Limits())
    assert found.data == data
    [found] = unpacked("a.png", data, limits=Limits())
    assert found.data == data
