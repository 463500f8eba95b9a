import os
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import bundle
from core import manifest as manifests
from core.labels import CLASSES
from core.manifest import BadBundle
from core.network import build
from core.settings import ROOT
from tests.conftest import bundle_facts


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    network = build("stroke_cnn", CLASSES)
    manifest = bundle.publish(models, network, bundle_facts())
    return models, manifest, network


def test_a_bundle_rebuilds_the_network_that_was_published(published):
    models, manifest, network = published
    loaded = bundle.load(models / manifest.version)
    x = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.network(x).logits, network.eval()(x).logits)
    assert loaded.manifest == manifest
    assert loaded.manifest.classes == CLASSES


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["weights.safetensors", "manifest.json"]), place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_single_flipped_bit_is_found(published, name, place, bit):
    models, manifest, _ = published
    path = models / manifest.version / name
    good = path.read_bytes()
    bad = bytearray(good)
    bad[int(place * len(bad))] ^= 1 << bit
    path.write_bytes(bad)
    try:
        with pytest.raises(BadBundle):
            bundle.load(models / manifest.version)
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("bit", range(8))
def test_a_bit_flipped_in_the_manifests_hash_is_found(published, bit):
    models, manifest, _ = published
    path = models / manifest.version / "manifest.sha256"
    good = path.read_bytes()
    path.write_bytes(bytes([good[0] ^ 1 << bit]) + good[1:])
    try:
        with pytest.raises(BadBundle):
            bundle.load(models / manifest.version)
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json", "manifest.sha256"])
def test_a_bundle_with_a_file_missing_is_refused(published, name):
    models, manifest, _ = published
    path = models / manifest.version / name
    path.rename(path.with_suffix(".gone"))
    try:
        with pytest.raises(BadBundle):
            bundle.load(models / manifest.version)
    finally:
        path.with_suffix(".gone").rename(path)


def test_the_same_weights_published_twice_are_two_versions(tmp_path):
    network = build("stroke_cnn", CLASSES)
    first, second = (bundle.publish(tmp_path, network, bundle_facts()) for _ in range(2))
    assert first.version != second.version
    assert [path.name for path in manifests.versions(tmp_path)] == sorted([first.version, second.version])


def test_a_publication_killed_at_any_step_leaves_no_version(tmp_path):
    """The process dies inside each of the writes in turn, as with a pulled plug."""
    program = """
import os, sys
from pathlib import Path
import core.bundle as bundle
from core.labels import CLASSES
from core.network import build
from tests.conftest import bundle_facts
die_at, count, write = int(sys.argv[2]), 0, bundle.write
def dying(path, data):
    global count
    count += 1
    if count == die_at:
        path.write_bytes(data[: len(data) // 2])
        os._exit(9)
    write(path, data)
bundle.write = dying
bundle.publish(Path(sys.argv[1]), build("stroke_cnn", CLASSES), bundle_facts())
"""
    for die_at in (1, 2, 3):
        result = subprocess.run([sys.executable, "-c", program, str(tmp_path), str(die_at)], cwd=ROOT, check=False)
        assert result.returncode == 9
        assert manifests.versions(tmp_path) == []
    for left in tmp_path.glob(".*.tmp"):
        os.utime(left, (time.time() - 2 * bundle.STALE_S,) * 2)
    bundle.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_bundles_are_whole_and_small():
    [demonstration] = manifests.versions(ROOT / "bundles" / "demonstration")
    assert bundle.load(demonstration).manifest.demonstration
    [serving] = manifests.versions(ROOT / "bundles" / "serving")
    manifest = bundle.load(serving).manifest
    assert not manifest.demonstration
    assert manifest.classes == CLASSES
    assert manifest.calibration.scans > 1000
    assert {"hemorrhagic", "ischemic"} <= set(manifest.operating_points)
    assert manifest.false_flags == 0.03
    for folder in (demonstration, serving):
        assert sum(path.stat().st_size for path in folder.iterdir()) < 12e6
