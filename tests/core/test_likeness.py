import io

import numpy as np
from PIL import Image

from core.formats import read
from core.likeness import HASH_DISTANCE, NEAR_DIFFERENCE, appearance, distances
from core.phantom import phantom
from core.preprocess import WINDOWS, windowed
from tests.conftest import display_scan


def grey(seed):
    return display_scan(windowed(phantom("hemorrhagic", seed, 256), WINDOWS["Brain"]) * 255)


def saved_again(scan, side, quality):
    out = io.BytesIO()
    Image.fromarray(scan.pixels.astype(np.uint8)).resize((side, side)).save(out, "JPEG", quality=quality)
    return read(out.getvalue())


def test_a_copy_stays_alike_through_size_and_jpeg():
    for seed in range(6):
        scan = grey(seed)
        mine, copy = appearance(scan), appearance(saved_again(scan, 200, 80))
        assert distances(mine.bits, copy.bits[None])[0] <= HASH_DISTANCE
        assert mine.difference(copy) < NEAR_DIFFERENCE


def test_other_heads_are_not_alike():
    looks = [appearance(grey(seed)) for seed in range(12)]
    for i, one in enumerate(looks):
        for other in looks[i + 1 :]:
            near = distances(one.bits, other.bits[None])[0] <= HASH_DISTANCE
            assert not (near and one.difference(other) < NEAR_DIFFERENCE)
