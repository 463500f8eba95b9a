"""The backup that the README gives, as it stands there."""

import os
import re
import shutil
import sqlite3
import subprocess
import textwrap
import threading

import pytest

from core.settings import ROOT

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("bash", "sqlite3", "tar"))), reason="needs its commands")


@pytest.fixture
def place(tmp_path):
    """A checkout with a home in it, beside which the backup is put."""
    images = tmp_path / "checkout" / "var" / "images"
    images.mkdir(parents=True)
    (images / "a.png").write_bytes(b"pixels")
    (images.parent / "patient.key").write_bytes(b"k" * 32)
    with sqlite3.connect(images.parent / "second_read.sqlite") as log:
        log.execute("create table scans (id integer)")
        log.execute("insert into scans values (7)")
    log.close()
    return tmp_path


def back_up(place):
    [block] = re.findall(r"```\n(((?!```).)*sqlite3 -readonly.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    run = subprocess.run(
        ["bash", "-c", textwrap.dedent(f"  {block[0].strip()}\n")],
        cwd=place / "checkout",
        env=os.environ | {"HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    return run.returncode, run.stderr, place / "second-read-backup"


def test_it_waits_for_who_writes_and_has_all_but_the_key(place):
    writer = sqlite3.connect(place / "checkout" / "var" / "second_read.sqlite", check_same_thread=False)
    writer.execute("begin exclusive")
    writer.execute("insert into scans values (8)")
    timer = threading.Timer(1.5, writer.commit)
    timer.start()
    status, said, backup = back_up(place)
    timer.join()
    writer.close()
    assert status == 0, said
    assert sqlite3.connect(backup / "second_read.sqlite").execute("select id from scans").fetchall() == [(7,), (8,)]
    assert (backup / "images" / "a.png").read_bytes() == b"pixels"
    assert not (backup / "patient.key").exists()


def test_where_the_case_log_cannot_be_copied_it_fails_and_copies_nothing_else(place):
    (place / "checkout" / "var" / "second_read.sqlite").write_bytes(b"x" * 4096)
    status, said, backup = back_up(place)
    assert status, said
    assert not (backup / "images").exists()


@pytest.mark.parametrize("which", [0, 1])
def test_where_the_rest_cannot_be_copied_it_fails(place, monkeypatch, which):
    """Either tar: the one that packs, the one that unpacks."""
    (place / "bin").mkdir()
    tar = place / "bin" / "tar"
    tar.write_text(f'#!/bin/sh\n"{shutil.which("tar")}" "$@"\ncase "$*" in *{("-cf", "-xpf")[which]}*) exit 2;; esac\n')
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
    status, said, _ = back_up(place)
    assert status == 2, said
