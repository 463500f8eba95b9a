import pytest

from core.pseudonym import WrongKey
from core.settings import Settings
from services.workspace import open_workspace


def test_a_case_log_is_not_gone_on_with_under_another_key(tmp_path):
    settings = Settings(home=tmp_path)
    key = open_workspace(settings).pseudonym
    assert open_workspace(settings).pseudonym == key
    kept = (tmp_path / "patient.key").read_bytes()
    (tmp_path / "patient.key").unlink()
    with pytest.raises(WrongKey, match="is missing"):
        open_workspace(settings)
    assert not (tmp_path / "patient.key").exists(), "none is made in its place"
    (tmp_path / "patient.key").write_bytes(bytes(32))
    with pytest.raises(WrongKey, match="not the key"):
        open_workspace(settings)
    (tmp_path / "patient.key").write_bytes(kept[:7])
    with pytest.raises(WrongKey, match="holds 7 bytes"):
        open_workspace(settings)
    (tmp_path / "patient.key").write_bytes(kept)
    assert open_workspace(settings).pseudonym == key
