from concurrent.futures import ThreadPoolExecutor

from core.pseudonym import Pseudonym


def test_the_secret_is_made_once_and_private(tmp_path):
    path = tmp_path / "patient.key"
    with ThreadPoolExecutor(8) as pool:
        secrets = {p.secret for p in pool.map(lambda _: Pseudonym.at(path), range(16))}
    assert len(secrets) == 1
    assert path.stat().st_mode & 0o077 == 0
    assert [p.name for p in tmp_path.iterdir()] == ["patient.key"]


def test_another_secret_or_namespace_is_another_person():
    one, two = Pseudonym(b"1"), Pseudonym(b"2")
    assert one.of("file", "49") == one.of("file", " 49 ")
    assert len({one.of("file", "49"), two.of("file", "49"), one.of("PatientID", "49")}) == 3
