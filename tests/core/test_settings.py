import pytest
from pydantic import ValidationError

from core.settings import ROOT, Settings


def test_config_yaml_gives_the_defaults_and_the_environment_overrides_them(monkeypatch, tmp_path):
    assert Settings().home_dir == ROOT / "var"
    assert Settings().training.arch == "stroke_cnn"
    monkeypatch.setenv("STROKE_HOME", str(tmp_path))
    monkeypatch.setenv("STROKE_TRAINING__EPOCHS", "3")
    assert Settings().home_dir == tmp_path
    assert Settings().url == f"sqlite:///{tmp_path / 'second_read.sqlite'}"
    assert Settings().training.epochs == 3
    monkeypatch.setenv("STROKE_DATABASE_URL", "sqlite:///elsewhere.sqlite")
    assert Settings().url == "sqlite:///elsewhere.sqlite"


def test_a_setting_that_makes_no_sense_is_refused(monkeypatch):
    monkeypatch.setenv("STROKE_REVIEW__AUDIT_SHARE", "3")
    with pytest.raises(ValidationError, match="audit_share"):
        Settings()
