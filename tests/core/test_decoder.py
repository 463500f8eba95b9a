import os
import sys
import threading

import numpy as np
import pytest

from core.decoder import Decoder
from core.pseudonym import Pseudonym
from core.scan import UnreadableScan, read
from tests.conftest import dicom, png

KEY = Pseudonym(b"k")
MISBEHAVES = """
import os, signal, sys, time
from core import decoder, scan
real = decoder.read

def read(data, name, **limits):
    if data == b"hang":
        time.sleep(60)
    if data == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"talk":
        print("noise on stdout")
    if data == b"eat":
        bytearray(8 << 30)
    return real(data, name, **limits)

decoder.read = read
decoder._limit_memory(int(sys.argv[1]))
out = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
decoder.serve(sys.stdin.buffer, out)
"""


@pytest.fixture
def decoder():
    one = Decoder(seconds=20, memory_mb=2048)
    yield one
    one.close()


@pytest.fixture
def misbehaving():
    one = Decoder(seconds=2, memory_mb=2048, command=(sys.executable, "-c", MISBEHAVES))
    yield one
    one.close()


@pytest.mark.parametrize(("data", "name"), [(png(1), "49 (3).png"), (dicom(2), "x")])
def test_it_reads_what_is_read_here(decoder, data, name):
    there, here = decoder.read(data, name, pseudonym=KEY), read(data, name, pseudonym=KEY)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert (there.unit, there.patient_key, there.study_key) == (here.unit, here.patient_key, here.study_key)
    assert there.meta == here.meta
    assert there.content_hash == here.content_hash


def test_a_refusal_is_the_same_sentence(decoder):
    for data in (b"", b"nothing of the kind", png()[:200]):
        with pytest.raises(UnreadableScan) as here:
            read(data)
        with pytest.raises(UnreadableScan) as there:
            decoder.read(data)
        assert str(there.value) == str(here.value)


@pytest.mark.parametrize(
    ("data", "word"), [(b"crash", "made its decoder stop"), (b"hang", "longer than 2 s"), (b"eat", "more memory")]
)
def test_a_crash_a_hang_and_hunger_cost_only_their_file(misbehaving, data, word):
    before = misbehaving.read(png(1))
    with pytest.raises(UnreadableScan, match=word):
        misbehaving.read(data)
    after = misbehaving.read(png(1))
    np.testing.assert_array_equal(before.pixels, after.pixels)


def test_what_a_decoder_prints_does_not_reach_the_answers(misbehaving):
    with pytest.raises(UnreadableScan, match="not a JPG, PNG or DICOM"):
        misbehaving.read(b"talk")
    misbehaving.read(png(1))


def test_threads_may_share_it(decoder):
    found = {}

    def work(i):
        found[i] = decoder.read(png(i)).content_hash

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: read(png(i)).content_hash for i in range(6)}


def test_the_child_ends_with_its_parent(decoder):
    decoder.read(png(1))
    child = decoder._child.pid
    decoder.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
