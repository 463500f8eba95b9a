from core.manifest import read_manifest, versions
from core.settings import Settings, Simulation
from services.shipping import RECIPE, open_results, seen_to_mistake
from services.training import read_recipe
from services.workspace import SHIPPED_BUNDLES, open_workspace


def test_what_is_trained_on_public_data_has_a_case_log_of_its_own(ws, home, monkeypatch):
    monkeypatch.setenv("STROKE_DATABASE_URL", f"sqlite:///{home / 'second_read.sqlite'}")
    results = open_results()
    assert results.settings.url == f"sqlite:///{home / 'results' / 'second_read.sqlite'}"
    open_workspace(ws.settings)  # with its own key still


def test_the_shipped_bundle_says_what_it_was_seen_to_mistake():
    shipped = read_manifest(versions(SHIPPED_BUNDLES)[-1])
    recipe = read_recipe(Settings().training, RECIPE)
    assert shipped.mistaken == seen_to_mistake(recipe)
    met = recipe.model_copy(update={"augmentation": recipe.augmentation.model_copy(update={"cupping": 0.3})})
    assert "hemorrhagic" not in seen_to_mistake(met)
    drawn = recipe.model_copy(update={"simulation": Simulation(massive=0.25)})
    assert "ischemic" not in seen_to_mistake(drawn)
