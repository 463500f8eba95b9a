import pytest
from sqlalchemy import text

from core.pseudonym import WrongKey
from core.settings import ROOT, Settings
from db import queries
from db.session import UnusableLog
from services.workspace import open_workspace


def modes(*paths):
    return [path.stat().st_mode & 0o777 for path in paths]


def test_what_lies_in_a_home_that_others_made_is_not_theirs_to_read(tmp_path):
    tmp_path.chmod(0o755)
    ws = open_workspace(Settings(home=tmp_path))
    ws.images.put("ab12", b"pixels")
    file = tmp_path / "second_read.sqlite"
    assert modes(tmp_path, ws.images.root, file) == [0o755, 0o700, 0o600]
    ws.images.root.chmod(0o755)
    file.chmod(0o644)
    open_workspace(Settings(home=tmp_path))  # one of before
    assert modes(tmp_path, ws.images.root, file) == [0o755, 0o700, 0o600]


def test_where_it_cannot_run_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(UnusableLog, match="WSL 2"):
        open_workspace(Settings(home=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["foo", "mysql+nodriver://u@h/x"])
def test_an_address_of_no_database_is_said(tmp_path, url):
    with pytest.raises(UnusableLog, match="STROKE_DATABASE_URL"):
        open_workspace(Settings(home=tmp_path, database_url=url))


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite+pysqlite:///:memory:",
        "sqlite:///file::memory:?cache=shared&uri=true",
        "sqlite:///file:log?mode=memory&cache=shared&uri=true",
        "sqlite:///file:/log?vfs=memdb&uri=true",
        "sqlite:///file:?uri=true",
    ],
)
def test_scans_are_not_taken_into_memory_and_lost(tmp_path, url):
    with pytest.raises(UnusableLog, match=r"in memory, where it is lost\. Name a file"):
        open_workspace(Settings(home=tmp_path, database_url=url))


def test_a_home_that_is_set_to_nothing_is_not_the_checkout(monkeypatch):
    monkeypatch.setenv("STROKE_HOME", "")
    assert Settings().home_dir == ROOT / "var"
    monkeypatch.setenv("STROKE_DATABASE_URL", "")
    assert Settings().url == f"sqlite:///{ROOT / 'var' / 'second_read.sqlite'}"


def test_damage_past_the_first_pages_is_said_at_opening_too(tmp_path):
    open_workspace(Settings(home=tmp_path)).db.engine.dispose()
    file = tmp_path / "second_read.sqlite"
    data = bytearray(file.read_bytes())
    data[4096 * 2 :] = b"\x55" * (len(data) - 4096 * 2)
    file.write_bytes(data)
    with pytest.raises(UnusableLog, match="is damaged"):
        open_workspace(Settings(home=tmp_path))


def test_what_stands_in_the_way_of_a_home_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnusableLog, match=r"file.* cannot be used .*STROKE_HOME.* must be a folder"):
        open_workspace(Settings(home=tmp_path / "file"))
    (tmp_path / "patient.key").mkdir()
    with pytest.raises(WrongKey, match=r"patient\.key cannot be read \(Is a directory\)"):
        open_workspace(Settings(home=tmp_path))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere" / "home")
    with pytest.raises(UnusableLog, match=r"gone.* cannot be used"):
        open_workspace(Settings(home=tmp_path / "gone"))


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


def test_a_case_log_from_before_its_key_was_recorded_is_not_gone_on_with_without_it(tmp_path):
    settings = Settings(home=tmp_path)
    ws = open_workspace(settings)
    with ws.db.writing() as session:
        queries.add_patients(session, {ws.pseudonym.of("", "Jane"): "train"})
        session.execute(text("delete from audit_events"))
    kept = settings.key_file.read_bytes()
    settings.key_file.unlink()
    with pytest.raises(WrongKey, match="is missing"):
        open_workspace(settings)
    assert not settings.key_file.exists(), "none is made in its place"
    settings.key_file.write_bytes(kept)
    assert open_workspace(settings).pseudonym == ws.pseudonym
