"""The model that ships with this repository: cross-validated on the public scans, then trained on all of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from core.dataset import Examples
from core.labels import HEMORRHAGIC, ISCHEMIC
from core.listing import ManifestColumns, from_manifest
from core.manifest import Manifest
from core.pseudonym import Pseudonym
from core.settings import ROOT, Recipe, Settings
from core.train import Fit
from services.crossvalidation import (
    CrossValidation,
    Tell,
    cross_validate,
    folds_of,
    for_all_patients,
    kept_path,
    train_part,
    without_copies,
)
from services.publishing import SIMULATED_LIMIT, Origin, publish_model
from services.rules import Rules
from services.side_by_side import side_by_side
from services.training import Prepared, checkpoint_path, prepare, read_recipe
from services.workspace import Workspace, open_workspace

FOLDS = 5
ALL = "all"
RECIPE = ROOT / "recipes" / "shipped.yaml"
PUBLIC = Pseudonym(b"second-read public data: no secret")
"""The patients of public data are keyed with a secret that is none, so that everybody gets the same folds."""
SOURCE = "CT-ICH 1.0.0 (Hssayeni et al., Data 2020;5(1):14, CC BY 4.0): 82 trauma patients, slices labelled one by one"
MISTAKEN = {
    HEMORRHAGIC: "heads that moved, streaks, coarse grain, and calcified choroid plexus, pallidum or pineal gland",
    ISCHEMIC: "wide ventricles",
}
"""What models of the shipped recipe take for either finding in a quarter of the cases or more, though seldom surely: on
patients they have not met, by the model card's table of what looks like stroke and is none."""


def open_results() -> Workspace:
    """Where what is trained on public data is kept: STROKE_HOME/results, with a case log of its own."""
    settings = Settings()
    of_its_own = Settings(home=settings.home_dir / "results", database_url="")
    return replace(open_workspace(of_its_own), pseudonym=PUBLIC)


@dataclass(frozen=True)
class Trained:
    """What was learned from the public scans."""

    prepared: Prepared
    recipe: Recipe
    found: CrossValidation
    whole: Fit  # on all patients
    rules: Rules  # of that


def prepare_findings(
    ws: Workspace, root: Path, recipe: Recipe, progress: Callable[[int, int], None] = lambda done, total: None
) -> Prepared:
    """The public slices with what is in each, by findings.csv."""
    columns = ManifestColumns(label="finding")
    mapping = {"hemorrhage": "hemorrhagic", "no_hemorrhage": "no_stroke"}
    samples = from_manifest(root / "findings.csv", root, columns, mapping, ws.pseudonym)
    return prepare(ws, samples, recipe, "none", root=root, progress=progress)


def train_shipped(
    ws: Workspace, prepared: Prepared, recipe: Recipe, tell: Tell = lambda part, done, total, loss, epoch: None
) -> Trained:
    """Five folds and all patients (told as part 6), side by side. What has been trained once is not trained again."""
    kept, missing = _kept(ws, prepared, recipe), _missing(ws, prepared, recipe)

    def work(number: int, tell: Tell) -> None:
        name, part = missing[number]
        train_part(prepared, part, recipe, name, kept, partial(tell, number))

    side_by_side(work, list(missing), tell)
    found = cross_validate(prepared, recipe, FOLDS, ws.settings.calibration, checkpoints=kept)
    whole = train_part(prepared, found.examples, recipe, ALL, kept)
    return Trained(prepared, recipe, found, whole, for_all_patients(found, prepared, whole.network, recipe))


def is_trained(ws: Workspace, prepared: Prepared, recipe: Recipe) -> bool:
    """Whether `train_shipped` has nothing left to train."""
    return not _missing(ws, prepared, recipe)


def _kept(ws: Workspace, prepared: Prepared, recipe: Recipe) -> Path:
    """What the files begin with in which trained parts are kept."""
    return checkpoint_path(ws, prepared.examples, recipe).with_suffix("")


def _missing(ws: Workspace, prepared: Prepared, recipe: Recipe) -> dict[int, tuple[str, Examples]]:
    """Number -> name and scans of the parts that have not been trained, the one that takes longest first."""
    examples = without_copies(prepared.examples)
    parts = {FOLDS + 1: (ALL, examples)}
    for number, (train, _) in enumerate(folds_of(examples, FOLDS, recipe.seed, prepared.units), 1):
        parts[number] = str(number), examples.at(train)
    kept = _kept(ws, prepared, recipe)
    return {number: (name, of) for number, (name, of) in parts.items() if not kept_path(kept, of, name).exists()}


def publish_shipped(ws: Workspace, trained: Trained, bundles: Path) -> Manifest:
    """Publish the model of all patients with the figures of the folds, which are of patients not met."""
    found = trained.found
    scans, patients = len(found.examples), len(set(found.examples.patients))
    as_shipped = trained.recipe == read_recipe(ws.settings.training, RECIPE)  # what another one mistakes is not known
    origin = Origin(
        f"{scans} scans of {patients} patients from {SOURCE}",
        [
            SIMULATED_LIMIT,
            f"Its figures are those of {FOLDS} models of the same recipe, each on patients it had not met; itself it "
            "has met all of them.",
            "All of them are of one source; what little was tried on scans from elsewhere stands in its card.",
        ],
        {"split": f"{FOLDS} folds by patient, then all", "refused": len(trained.prepared.loaded.refused)},
        mistaken=MISTAKEN if as_shipped else {},
    )
    return publish_model(
        ws,
        trained.whole,
        {"train": found.examples},
        found.classes,
        trained.prepared.spec,
        trained.recipe,
        origin,
        trained.rules,
        {
            "patients not met, real scans": found.report(),
            "patients not met, simulated infarcts or none": found.simulated_report(ISCHEMIC),
        },
        models_dir=bundles,
    )
