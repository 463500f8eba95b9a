import pytest

from core import manifest as manifests
from core.manifest import BadBundle
from core.model_process import ModelStopped
from core.settings import Settings
from services import models
from services.models import (
    NoSuchVersion,
    ServesNoMore,
    champion,
    demonstration_model,
    folder_of,
    list_versions,
    load_serving,
    mistaken_for,
    promote,
    rollback,
    serving_model,
    serving_order,
    way_back,
)
from services.workspace import DEMO_BUNDLES, open_workspace


def test_without_a_promotion_the_shipped_bundle_serves(ws):
    assert serving_model(ws).manifest.demonstration
    assert champion(ws) == manifests.versions(DEMO_BUNDLES)[-1].name


def test_promotions_can_be_taken_back_one_by_one(ws, publish_untrained):
    shipped = champion(ws)
    first, second = publish_untrained(1), publish_untrained(2)
    promote(ws, first, actor="a")
    promote(ws, second, actor="a")
    assert serving_model(ws).manifest.version == second
    assert rollback(ws, actor="a") == first
    assert rollback(ws, actor="a") == shipped
    with pytest.raises(NoSuchVersion, match="no earlier"):
        rollback(ws, actor="a")


def test_a_shipped_version_let_serve_over_another_is_gone_back_to(ws, publish_untrained, tmp_path, monkeypatch):
    bad, better, shipped = publish_untrained(1), publish_untrained(2), publish_untrained(3)
    (tmp_path / "shipped").mkdir()
    folder_of(ws, shipped).rename(tmp_path / "shipped" / shipped)
    monkeypatch.setattr("services.models.SHIPPED_BUNDLES", tmp_path / "shipped")
    for version in (bad, shipped, better):
        promote(ws, version, actor="a")
    assert [version for version, _ in serving_order(ws)][:3] == [better, shipped, bad]
    assert rollback(ws, actor="a") == shipped


def test_a_whole_version_that_does_not_load_is_not_said_to_serve(ws, publish_untrained, monkeypatch):
    old, new = publish_untrained(1), publish_untrained(2)
    promote(ws, old, actor="a")
    promote(ws, new, actor="a")
    loads = models.ModelProcess

    def an_update_knows_it_no_more(folder):
        if folder.name == new:
            raise BadBundle("It does not rebuild.")
        return loads(folder)

    monkeypatch.setattr(models, "ModelProcess", an_update_knows_it_no_more)
    model, notice = load_serving(ws, serving_order(ws))
    assert (model.manifest.version, champion(ws)) == (old, old)
    assert "It does not rebuild" in notice
    assert next(v.problem for v in list_versions(ws) if v.name == new) == "It does not rebuild."
    assert promote(ws, old, actor="a", instead_of=old).version == old


def test_who_means_to_replace_a_version_that_serves_no_more_changes_nothing(ws, publish_untrained):
    """Two who go back from a bad version at once go back one step, not two."""
    first, second, third = (publish_untrained(seed) for seed in (1, 2, 3))
    for version in (first, second, third):
        promote(ws, version, actor="a")
    assert rollback(ws, actor="a", instead_of=third) == second
    with pytest.raises(ServesNoMore, match=f"{third} does not serve any more: {second} does"):
        rollback(ws, actor="b", instead_of=third)
    with pytest.raises(ServesNoMore):
        promote(ws, first, actor="retrain", instead_of=third)
    assert champion(ws) == second


def test_a_folder_that_an_update_left_without_its_bundle_stops_nothing(ws, tmp_path, monkeypatch):
    left = tmp_path / "shipped" / "2026-01-01-00000000"
    left.mkdir(parents=True)
    (left / ".DS_Store").write_bytes(b"")
    monkeypatch.setattr("services.models.SHIPPED_BUNDLES", left.parent)
    assert champion(ws) == manifests.versions(DEMO_BUNDLES)[-1].name
    model, notice = load_serving(ws, serving_order(ws))
    assert model.manifest.demonstration
    assert f"{left.name} failed its check" in notice
    assert [version.problem is None for version in list_versions(ws)] == [False, True]


def test_a_damaged_champion_is_replaced_by_the_last_good_one_and_said(ws, publish_untrained):
    first, second = publish_untrained(1), publish_untrained(2)
    promote(ws, first, actor="a")
    promote(ws, second, actor="a")
    weights = folder_of(ws, second) / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    predictor, notice = load_serving(ws, serving_order(ws))
    assert predictor.manifest.version == first
    assert second in notice
    assert "SHA-256" in notice
    assert champion(ws) == first, "pages name the one that really serves"
    listed = {v.name: v for v in list_versions(ws)}
    assert [name for name, v in listed.items() if v.serving] == [first]
    assert "SHA-256" in listed[second].problem
    data[-1] ^= 1
    weights.write_bytes(data)
    assert champion(ws) == second, "mended, it serves again"
    weights.unlink()
    with pytest.raises(BadBundle):
        promote(ws, second, actor="a")


def test_the_way_back_leads_past_a_damaged_version(ws, publish_untrained):
    first, second, third = (publish_untrained(seed) for seed in (1, 2, 3))
    for version in (first, second, third):
        promote(ws, version, actor="a")
    (folder_of(ws, second) / "weights.safetensors").write_bytes(b"rot")
    assert way_back(ws) == first
    assert rollback(ws, actor="a") == first
    assert champion(ws) == first


def test_no_way_back_leads_past_a_damaged_shipped_version_to_the_demonstration(
    ws, publish_untrained, tmp_path, monkeypatch
):
    own, shipped = publish_untrained(1), publish_untrained(2)
    (tmp_path / "shipped").mkdir()
    folder_of(ws, shipped).rename(tmp_path / "shipped" / shipped)
    monkeypatch.setattr("services.models.SHIPPED_BUNDLES", tmp_path / "shipped")
    promote(ws, own, actor="a")
    assert way_back(ws) == shipped
    weights = tmp_path / "shipped" / shipped / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(b"rot")
    with pytest.raises(NoSuchVersion, match="no earlier"):
        rollback(ws, actor="a")
    weights.write_bytes(whole)
    assert rollback(ws, actor="a") == shipped, "mended, it is a way back again"


def test_a_lost_record_of_what_serves_is_said(ws, publish_untrained):
    promote(ws, publish_untrained(1), actor="a")
    (ws.models_dir / "serving.json").write_text("{")
    predictor, notice = load_serving(ws, serving_order(ws))
    assert f"is damaged or may not be read here. {predictor.manifest.version} serves instead" in notice


def test_a_version_that_is_not_there_cannot_serve(ws):
    for name in ("2020-01-01-00000000", "../secrets", ""):
        with pytest.raises(NoSuchVersion):
            promote(ws, name, actor="a")


def test_what_a_version_was_seen_to_mistake_is_known_while_its_record_is_there(ws, publish_untrained):
    version = publish_untrained(mistaken={"ischemic": "wide ventricles"})
    assert mistaken_for(ws, version, "ischemic") == "wide ventricles"
    assert mistaken_for(ws, version, "hemorrhagic") is None
    assert mistaken_for(ws, "2020-01-01-00000000", "ischemic") is None


def test_every_version_is_listed_with_its_state(ws, publish_untrained):
    version = publish_untrained(1)
    promote(ws, version, actor="a")
    listed = {v.name: v for v in list_versions(ws)}
    assert listed[version].serving
    assert sum(v.serving for v in listed.values()) == 1
    assert sum(v.shipped for v in listed.values()) == len(manifests.versions(DEMO_BUNDLES))


def test_the_model_of_real_scans_serves_before_the_demonstration(home):
    ws = open_workspace(Settings())
    predictor = serving_model(ws)
    assert not predictor.manifest.demonstration
    assert demonstration_model(ws).manifest.demonstration
    shipped = next(v for v in list_versions(ws) if v.serving)
    assert shipped.shipped
    assert shipped.card is not None
    assert "\n#### What it must not be used for" in shipped.card, "a heading of the page's, not above them"
    assert "](lesions.png)" not in shipped.card, "a page has no place for the repository's pictures"
    assert ".md)" not in shipped.card, "nor for its other documents"
    assert "why it is so in decisions" in shipped.card
    with pytest.raises(NoSuchVersion, match="no earlier"):
        rollback(ws, actor="a")


def test_a_shipped_model_that_comes_later_serves_before_the_demonstration(ws, publish_untrained, tmp_path, monkeypatch):
    """A home that promoted and rolled back before the checkout had its model, or had another one."""
    first = publish_untrained(1)
    promote(ws, first, actor="a")
    rollback(ws, actor="a")
    promote(ws, first, actor="a")
    shipped = publish_untrained(2)
    (tmp_path / "later").mkdir()
    folder_of(ws, shipped).rename(tmp_path / "later" / shipped)
    monkeypatch.setattr("services.models.SHIPPED_BUNDLES", tmp_path / "later")
    assert rollback(ws, actor="a") == shipped
    promote(ws, first, actor="a")
    promote(ws, shipped, actor="a")
    assert rollback(ws, actor="a") == first, "the shipped one was let serve over it"


def test_a_shipped_version_that_an_update_replaces_is_no_damage(ws, publish_untrained, tmp_path, monkeypatch):
    own, before, after = publish_untrained(1), publish_untrained(2), publish_untrained(3)
    for name, version in (("before", before), ("after", after)):
        (tmp_path / name).mkdir()
        folder_of(ws, version).rename(tmp_path / name / version)
    monkeypatch.setattr("services.models.SHIPPED_BUNDLES", tmp_path / "before")
    promote(ws, own, actor="a")
    promote(ws, before, actor="a")
    monkeypatch.setattr("services.models.SHIPPED_BUNDLES", tmp_path / "after")
    model, notice = load_serving(ws, serving_order(ws))
    assert (model.manifest.version, notice) == (after, None), "what ships was chosen over this home's own"
    promote(ws, own, actor="a")
    folder_of(ws, own).rename(tmp_path / "lost")
    assert "failed its check" in load_serving(ws, serving_order(ws))[1], "a version of one's own is not replaced so"


def test_a_process_that_does_not_start_lets_no_other_version_serve(ws, publish_untrained, monkeypatch):
    version, loaded = publish_untrained(), []

    def too_little_memory(folder):
        loaded.append(folder.name)
        raise ModelStopped("It did not start.")

    promote(ws, version, actor="a")
    monkeypatch.setattr("services.models.ModelProcess", too_little_memory)
    with pytest.raises(ModelStopped):
        serving_model(ws)
    assert loaded == [version]
