from services.shipping import open_results
from services.workspace import open_workspace


def test_what_is_trained_on_public_data_has_a_case_log_of_its_own(ws, home, monkeypatch):
    monkeypatch.setenv("STROKE_DATABASE_URL", f"sqlite:///{home / 'second_read.sqlite'}")
    results = open_results()
    assert results.settings.url == f"sqlite:///{home / 'results' / 'second_read.sqlite'}"
    open_workspace(ws.settings)  # with its own key still
