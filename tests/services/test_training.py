from core.dataset import Examples
from core.settings import Recipe
from services import training
from services.training import checkpoint_path


def test_what_was_trained_by_other_code_is_not_gone_on_with(ws, tmp_path, monkeypatch):
    """What is simulated, and how scans are varied, stands in no recipe."""
    monkeypatch.setattr(training, "ROOT", tmp_path)
    (tmp_path / "core").mkdir()
    nothing = Examples([], [], (), ())
    paths = []
    for code, recipe in (("a", Recipe()), ("a", Recipe()), ("b", Recipe()), ("b", Recipe(epochs=3))):
        (tmp_path / "core" / "lesions.py").write_text(code)
        paths.append(checkpoint_path(ws, nothing, recipe))
    assert paths[0] == paths[1]
    assert len(set(paths)) == 3
