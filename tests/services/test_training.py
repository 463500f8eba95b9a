import pytest

from core.dataset import DatasetError, Examples, Sample, file_reader, load
from core.listing import from_folders
from core.pseudonym import unnamed
from core.settings import Augmentation, Recipe, Simulation
from db import queries
from services import training
from services.training import checkpoint_path, prepare, read_recipe
from tests.conftest import png


def test_what_was_trained_by_other_code_is_not_gone_on_with(ws, tmp_path, monkeypatch):
    """What is simulated, and how scans are varied, stands in no recipe."""
    monkeypatch.setattr(training, "ROOT", tmp_path)
    (tmp_path / "core").mkdir()
    nothing = Examples([], [], ())
    paths = []
    for code, recipe in (("a", Recipe()), ("a", Recipe()), ("b", Recipe()), ("b", Recipe(epochs=3))):
        (tmp_path / "core" / "lesions.py").write_text(code)
        paths.append(checkpoint_path(ws, nothing, recipe))
    assert paths[0] == paths[1]
    assert len(set(paths)) == 3


def test_what_is_given_stands_over_the_file_and_that_over_the_defaults(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("epochs: 7\nwidth: 8\n")
    recipe = read_recipe(Recipe(batch_size=3), path, {"epochs": 2, "seed": 0, "patience": None})
    assert (recipe.epochs, recipe.width, recipe.batch_size, recipe.seed) == (2, 8, 3, 0)
    assert recipe.patience == Recipe().patience


def test_of_a_group_a_file_names_in_part_the_rest_stays_as_it_was(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("augmentation: {elsewhere: 0.5}\nsimulation: {per_slice: 2}\n")
    usual = Recipe(augmentation=Augmentation(rotation=3, motion=0.4))
    recipe = read_recipe(usual, path)
    assert recipe.augmentation == Augmentation(rotation=3, motion=0.4, elsewhere=0.5)
    assert recipe.simulation == Simulation(per_slice=2)


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("epochs: [", {}, "cannot be read"),
        ("- epochs", {}, "must name values"),
        ("widht: 8", {}, "widht"),
        ("epochs: 3", {"epochs": 0}, "epochs"),
    ],
)
def test_a_recipe_that_does_not_hold_says_why(tmp_path, text, given, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(DatasetError, match=rf"recipe\.yaml .*{said}"):
        read_recipe(Recipe(), path, given)


@pytest.mark.parametrize("needs", [{"simulation": Simulation()}, {"head": "strongest"}])
def test_scans_without_stroke_that_a_recipe_needs_are_asked_for_before_anything_is_read(ws, tmp_path, needs):
    samples = [Sample(tmp_path / "none.png", label) for label in ("hemorrhagic", "ischemic")]
    with pytest.raises(DatasetError, match="No scan is labelled no_stroke"):
        prepare(ws, samples, Recipe(**needs), "patient", root=tmp_path)


def test_of_one_image_under_two_patients_names_only_what_is_learned_from_stays(ws, tmp_path):
    """Whose splits were settled before it was known that they share it."""
    for name, label, seed in (("1 (1)", "hemorrhagic", 1), ("2 (1)", "ischemic", 2), ("3 (1)", "hemorrhagic", 1)):
        folder = tmp_path / label
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.png").write_bytes(png(seed, label))
    with ws.db.writing() as session:
        parts = (("1", "train"), ("2", "train"), ("3", "test"))
        queries.add_patients(session, {ws.pseudonym.of("file", name): part for name, part in parts})
    prepared = prepare(ws, from_folders(tmp_path), Recipe(image_size=32), "patient", root=tmp_path)
    assert prepared.shared == 1
    assert [(sample.path.stem, sample.split) for sample in prepared.examples.samples] == [
        ("1 (1)", "train"),
        ("2 (1)", "train"),
    ]
    assert len(prepared.examples.x) == len(prepared.examples.y) == 2


def test_an_image_that_was_dealt_a_part_before_a_table_named_its_patient_keeps_it(ws, tmp_path):
    """Of several images the first of train, validation and test; a patient the log knows stays where they are."""
    names = ("1 (1)", "1 (2)", "2 (1)", "3 (1)", "4 (1)")
    for seed, name in enumerate(names):
        folder = tmp_path / ("hemorrhagic" if seed % 2 else "ischemic")
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.png").write_bytes(png(seed))
    loaded = load(from_folders(tmp_path), Recipe().input_spec, reader=file_reader(ws.pseudonym, 10)).examples
    image = {sample.path.stem: unnamed(sample.content_hash) for sample in loaded.samples}
    dealt = dict(zip(names, ("test", "validation", "test", "validation", "train"), strict=True))
    with ws.db.writing() as session:
        queries.add_patients(session, {image[name]: split for name, split in dealt.items()})
        queries.add_patients(session, {ws.pseudonym.of("file", "4"): "test"})
    examples = prepare(ws, from_folders(tmp_path), Recipe(image_size=32), "patient", root=tmp_path).examples
    assert {sample.path.stem: sample.split for sample in examples.samples} == {
        "1 (1)": "validation",
        "1 (2)": "validation",
        "2 (1)": "test",
        "3 (1)": "validation",
        "4 (1)": "test",
    }
