import subprocess
import sys
import tomllib

import pytest
import yaml

from core.settings import ROOT, Augmentation, BadSettings, LastStage, Recipe, Settings


def test_config_yaml_gives_the_defaults_and_the_environment_overrides_them(monkeypatch, tmp_path):
    assert Settings().home_dir == ROOT / "var"
    said = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert said["training"]["epochs"] != Recipe().epochs, "else it may not be the file that is read"
    assert Settings().training.epochs == said["training"]["epochs"]
    assert Settings().training.augmentation.rotation == said["training"]["augmentation"]["rotation"]
    monkeypatch.setenv("STROKE_HOME", str(tmp_path))
    monkeypatch.setenv("STROKE_TRAINING__EPOCHS", "3")
    assert Settings().home_dir == tmp_path
    assert Settings().url == f"sqlite:///{tmp_path / 'second_read.sqlite'}"
    assert Settings().training.epochs == 3


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sqlite:///logs/a.sqlite", f"sqlite:///{ROOT}/logs/a.sqlite"),
        ("sqlite+pysqlite:///a.sqlite", f"sqlite+pysqlite:///{ROOT}/a.sqlite"),
        *[
            (url, url)
            for url in ("sqlite:////a/b.sqlite", "sqlite://", "sqlite:///:memory:", "sqlite:///file:a?uri=true")
        ],
        ("postgresql+psycopg:///second_read", "postgresql+psycopg:///second_read"),
    ],
)
def test_a_case_log_is_the_same_one_wherever_a_command_is_called_from(said, meant, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROKE_DATABASE_URL", said)
    assert Settings().url == meant


def test_the_server_takes_what_the_upload_page_offers_to_take():
    server = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]
    limits = Settings().limits
    assert server["maxUploadSize"] >= limits.upload_mb >= max(limits.zip_mb, limits.volume_mb)


def test_a_setting_that_makes_no_sense_is_refused(monkeypatch):
    monkeypatch.setenv("STROKE_REVIEW__AUDIT_SHARE", "3")
    with pytest.raises(BadSettings, match=r"review\.audit_share: Input should be less than or equal to 1"):
        Settings()
    monkeypatch.setenv("STROKE_REVIEW__AUDIT_SHARE", "0.1")
    monkeypatch.setenv("STROKE_REVIEW", "often")
    with pytest.raises(BadSettings, match="cannot be read"):
        Settings()
    monkeypatch.delenv("STROKE_REVIEW")
    for name in ("STROKE_BLIND_FIRST", "STROKE_REVIEW_BLIND_FIRST", "STROKE_REVEIW__BLIND_FIRST"):
        monkeypatch.setenv(name, "true")
        with pytest.raises(BadSettings, match=f"no setting {name}"):
            Settings()
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STROKE_CALIBRATION__SENSITIVITY", '{"haemorrhagic": 0.99}'),
        ("STROKE_CALIBRATION__SENSITIVITY", '{"hemorrhagic": 95}'),
        ("STROKE_CALIBRATION__SENSITIVITY", '{"hemorrhagic": 0}'),
        ("STROKE_TRAINING__WINDOW", "[40, 0]"),
    ],
)
def test_what_would_cost_a_training_or_its_guard_is_refused_before(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings):
        Settings()


def test_the_first_epochs_may_show_smaller_images():
    recipe = Recipe(image_size=192, first_size=160, first_share=0.7, epochs=10)
    assert [recipe.size_in(epoch) for epoch in range(1, 11)] == [160] * 7 + [192] * 3
    assert recipe.input_spec.size == 192, "what it reads"
    assert Recipe(image_size=96, first_size=160).size_in(1) == 96, "never larger"
    assert {Recipe(image_size=96, epochs=5).size_in(epoch) for epoch in range(1, 6)} == {96}


def test_a_last_stage_goes_on_at_the_full_size_with_ranges_of_its_own():
    hard = Augmentation(motion=0.3)
    stage = LastStage(epochs=3, learning_rate=1e-4, augmentation=hard)
    [_, longer] = Recipe(augmentation=hard, last_stage=LastStage(epochs=3)).stages
    assert longer.augmentation == hard, "as before, where none is named"
    recipe = Recipe(image_size=192, first_size=160, epochs=10, last_stage=stage)
    first, last = recipe.stages
    assert (first.epochs, first.augmentation, first.last_stage) == (10, Augmentation(), None)
    assert (last.epochs, last.learning_rate, last.augmentation, last.last_stage) == (3, 1e-4, hard, None)
    assert (first.size_in(1), last.size_in(1)) == (160, 192)
    assert Recipe().stages == (Recipe(),)


def test_the_dashboard_started_from_any_folder_keeps_to_itself(tmp_path):
    asked = (
        "from streamlit import config; config._main_script_path = sys.argv[1]; "
        "print(*(config.get_option(name) for name in ('server.address', 'browser.gatherUsageStats', "
        "'client.showErrorDetails')))"
    )
    home = str(ROOT / "dashboard" / "Home.py")
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; {asked}", home], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["127.0.0.1", "False", "type"]
