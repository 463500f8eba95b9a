from core.manifest import read_manifest, versions
from core.settings import Settings
from services.shipping import MISTAKEN, RECIPE, open_results
from services.training import read_recipe
from services.workspace import SHIPPED_BUNDLES, open_workspace


def test_what_is_trained_on_public_data_has_a_case_log_of_its_own(ws, home, monkeypatch):
    monkeypatch.setenv("STROKE_DATABASE_URL", f"sqlite:///{home / 'second_read.sqlite'}")
    results = open_results()
    assert results.settings.url == f"sqlite:///{home / 'results' / 'second_read.sqlite'}"
    open_workspace(ws.settings)  # with its own key still


def test_the_shipped_bundle_says_what_models_of_its_recipe_mistake():
    shipped = read_manifest(versions(SHIPPED_BUNDLES)[-1])
    assert shipped.mistaken == MISTAKEN
    recipe = read_recipe(Settings().training, RECIPE)
    assert shipped.lineage["recipe"] == recipe.model_dump(mode="json")
