import hashlib
import json

import numpy as np
import pytest

from core import manifest as manifests
from core.manifest import BadBundle, Calibration


def test_the_pointer_survives_damage_as_no_pointer(tmp_path):
    manifests.point_to(tmp_path, [("a", "1"), ("b", "2")])
    assert manifests.pointer(tmp_path) == [("a", "1"), ("b", "2")]
    for text in ("", "{", "[]", '{"order": 3}', '{"order": ["a"]}'):
        (tmp_path / "serving.json").write_text(text)
        assert manifests.pointer(tmp_path) == []
        assert manifests.pointer_unreadable(tmp_path)
    (tmp_path / "serving.json").unlink()
    assert not manifests.pointer_unreadable(tmp_path), "nothing has been promoted"


def test_a_manifest_of_another_kind_is_refused(tmp_path):
    folder = tmp_path / "v"
    folder.mkdir()
    text = json.dumps({"format": 1}).encode()
    (folder / "manifest.json").write_bytes(text)
    (folder / "manifest.sha256").write_text(hashlib.sha256(text).hexdigest())
    with pytest.raises(BadBundle, match="not one this version"):
        manifests.read_manifest(folder)


def test_probabilities_are_the_softmax_of_what_calibration_leaves_of_the_logits():
    logits = np.array([[2.0, 0.0, -2.0], [800.0, 0.0, 0.0]], np.float32)
    p = Calibration(temperature=2.0, bias=(0.0, 1.0, 0.0)).probabilities(logits)
    np.testing.assert_allclose(p[0], np.exp([1.0, 1.0, -1.0]) / np.exp([1.0, 1.0, -1.0]).sum())
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p.dtype == np.float64
