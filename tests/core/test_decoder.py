import io
import os
import threading

import numpy as np
import pytest
from PIL import Image

from core.decoder import Decoder, limit_memory
from core.formats import read
from core.pseudonym import Pseudonym
from core.scan import UnreadableScan
from tests.conftest import dicom, png
from tests.core.test_formats import recoded
from tests.core.test_volume import multi_frame, nifti, volume

KEY = Pseudonym(b"k")
MISBEHAVES = """
import os, signal, sys, time
from core import decoder, volume
from core.child import pipes, serve
real = volume.read_all

def read_all(data, name, **limits):
    if data == b"hang":
        time.sleep(60)
    if data == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"talk":
        print("noise on stdout")
    if data == b"eat":
        bytearray(8 << 30)
    yield from real(data, name, **limits)

volume.read_all = read_all
decoder.limit_memory(int(sys.argv[1]))
serve(decoder.answers_to, *pipes(), {"ready": True})
"""


@pytest.fixture(scope="module")
def decoder():
    one = Decoder(seconds=20, memory_mb=2048)
    yield one
    one.close()


@pytest.fixture(scope="module")
def misbehaving():
    one = Decoder(seconds=2, memory_mb=2048, command=("-c", MISBEHAVES))
    yield one
    one.close()


@pytest.mark.parametrize(("data", "name"), [(png(1), "49 (3).png"), (dicom(2), "x")])
def test_it_reads_what_is_read_here(decoder, data, name):
    [there], here = decoder.read_all(data, name, pseudonym=KEY), read(data, name, pseudonym=KEY)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert (there.unit, there.patient_key, there.study_key) == (here.unit, here.patient_key, here.study_key)
    assert there.meta == here.meta
    assert there.content_hash == here.content_hash


def test_a_refusal_is_the_same_sentence(decoder):
    for data in (b"", b"nothing of the kind", png()[:200]):
        with pytest.raises(UnreadableScan) as here:
            read(data)
        with pytest.raises(UnreadableScan) as there:
            list(decoder.read_all(data))
        assert str(there.value) == str(here.value)


@pytest.mark.parametrize(
    ("data", "word"), [(b"crash", "made its decoder stop"), (b"hang", "longer than 2 s"), (b"eat", "more memory")]
)
def test_a_crash_a_hang_and_hunger_cost_only_their_file(misbehaving, data, word):
    [before] = misbehaving.read_all(png(1))
    with pytest.raises(UnreadableScan, match=word):
        list(misbehaving.read_all(data))
    [after] = misbehaving.read_all(png(1))
    np.testing.assert_array_equal(before.pixels, after.pixels)


def test_a_decoder_that_does_not_start_blames_no_file():
    broken = Decoder(seconds=2, memory_mb=2048, command=("-c", "raise SystemExit(1)"))
    for data in (png(1), b"nothing"):
        with pytest.raises(UnreadableScan, match="did not start, so this one was left out and is not to blame"):
            list(broken.read_all(data))


def test_what_a_decoder_prints_does_not_reach_the_answers(misbehaving):
    with pytest.raises(UnreadableScan, match="not a JPG, PNG, TIFF, BMP, GIF, WebP, DICOM or NIfTI"):
        list(misbehaving.read_all(b"talk"))
    assert len(list(misbehaving.read_all(png(1)))) == 1


def test_threads_may_share_it(decoder):
    found = {}

    def work(i):
        [scan] = decoder.read_all(png(i))
        found[i] = scan.content_hash

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: read(png(i)).content_hash for i in range(6)}


def test_the_child_ends_with_its_parent(decoder):
    list(decoder.read_all(png(1)))
    child = decoder._child.pid
    decoder.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_slices_nobody_waits_for_do_not_answer_the_next_question(decoder):
    with pytest.raises(UnreadableScan, match=r"more than 0\.01 MB"):
        list(decoder.read_all(nifti(volume(6)), megabytes=0.01))
    slices = decoder.read_all(nifti(volume(6)))
    next(slices)
    slices.close()
    [scan] = decoder.read_all(png(1))
    assert scan.content_hash == read(png(1)).content_hash


def mutated(data, rng):
    """A file with some bytes changed, a piece cut out, or a piece repeated."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 12))):
        out[int(rng.integers(len(out) if rng.random() < 0.5 else min(len(out), 600)))] = int(rng.integers(256))
    if rng.random() < 0.3:
        start = int(rng.integers(len(out)))
        del out[start : start + int(rng.integers(1, 400))]
    if rng.random() < 0.2:
        start = int(rng.integers(len(out)))
        out[start:start] = out[start : start + int(rng.integers(1, 4000))]
    return bytes(out)


def test_mutated_files_are_read_or_refused_and_nothing_else(decoder):
    """MUTATIONS=2000 in the environment tries more of them."""
    rng = np.random.default_rng(0)
    originals = [png(1), dicom(1), multi_frame(2), nifti(volume(2)), jpeg(), *compressed()]
    reasons, readable = [], 0
    for i in range(int(os.environ.get("MUTATIONS", "240"))):
        try:
            for scan in decoder.read_all(mutated(originals[i % len(originals)], rng)):
                assert np.isfinite(scan.pixels).all()
            readable += 1
        except UnreadableScan as error:
            reasons.append(str(error))
    assert all(reason.endswith((".", ").")) for reason in reasons)
    assert min(readable, len(reasons)) > 20, "both happen"


def jpeg():
    out = io.BytesIO()
    Image.open(io.BytesIO(png(2))).save(out, "JPEG", quality=90)
    return out.getvalue()


def compressed():
    """The same slice in compressed DICOM."""
    for name in ("RLE", "JPEG 2000", "JPEG lossless"):
        yield recoded(dicom(3), name)


def test_a_system_that_knows_the_limit_and_refuses_to_set_it_decodes_all_the_same(monkeypatch):
    """As macOS does."""

    def refuse(*args):
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr("resource.setrlimit", refuse)
    limit_memory(2048)
