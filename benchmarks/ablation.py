"""First signs of what the parts of the shipped recipe do: short trainings on one fold, one thing changed at a time, as
many side by side as there are cores.

    python -m benchmarks.ablation --data ../shared/data [--out docs/ablation.md]

Short, so that on two cores all fit into about half an hour after reading; the full recipe trains several times as long,
and is better. What has been trained once lies in STROKE_HOME/results.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.evaluate import Report, evaluate
from core.intervals import Figure
from core.labels import HEMORRHAGIC, ISCHEMIC, NO_STROKE
from core.network import Network
from core.settings import ROOT, Recipe
from core.train import predict
from services.crossvalidation import Tell, folds_of, train_part, without_copies
from services.shipping import FOLDS, RECIPE, open_results, prepare_findings
from services.side_by_side import side_by_side
from services.tables import with_interval
from services.training import Prepared, checkpoint_path, read_recipe
from services.workspace import Workspace

EPOCHS = 8
PART = "ablation"


@dataclass(frozen=True)
class _Plan:
    """One training."""

    name: str
    recipe: Recipe
    prepared: Prepared


@dataclass(frozen=True)
class Variant:
    """One change of the recipe, and what came of it on the patients of fold 1."""

    name: str
    hemorrhage: Figure  # AUC, real hemorrhages against none
    infarct: Figure  # AUC, simulated infarcts against none


def variants(recipe: Recipe, size: int) -> dict[str, dict[str, Any]]:
    """Name -> what is changed. `size`: the pixels that the shipped recipe ends with."""
    plain = recipe.augmentation.model_copy(update={"elsewhere": 0.0})
    how = recipe.simulation
    assert how is not None
    return {
        f"as shipped, but {recipe.image_size} pixels throughout": {},
        "no simulated hemorrhages": {"simulation": how.model_copy(update={"hemorrhagic": 0.0})},
        "no outlines": {"simulation": how.model_copy(update={"outline": 0.0})},
        "pooled by the mean, no outlines": {
            "head": "mean", "simulation": how.model_copy(update={"outline": 0.0}),
        },
        "no look-alikes": {"simulation": how.model_copy(update={"lookalikes": 0.0})},
        "no scans as from elsewhere": {"augmentation": plain},
        "not centred on the brain": {"intensity": "window"},
        "centred by the coarser measure": {"intensity": "image"},
        "sides not compared (lesion_cnn)": {"arch": "lesion_cnn"},
        "no mirror image": {"mirror": False},
        "by AdamW instead of Muon": {"optimizer": "adamw"},
        "dropout 0.3 instead of 0.1": {"dropout": 0.3},
        "112 pixels throughout": {"image_size": 112},
        f"{size} pixels in the last epochs, as shipped": {"image_size": size, "first_size": recipe.image_size},
        "mobilenet_v3_small, from scratch": {"arch": "mobilenet_v3_small"},
        "resnet18, from scratch": {"arch": "resnet18"},
    }  # fmt: skip


def measure_all(ws: Workspace, root: Path, shipped: Recipe, epochs: int = EPOCHS) -> list[Variant]:
    """Test every variant; one that has not been trained is trained."""
    plain = {"image_size": shipped.size_in(1), "first_size": None, "last_stage": None}
    base = shipped.model_copy(update={"epochs": epochs, "patience": epochs, **plain})
    usual = prepare_findings(ws, root, base)
    plans = []
    for name, change in variants(base, shipped.image_size).items():
        recipe = Recipe.model_validate({**base.model_dump(), **_plain(change)})
        as_usual = recipe.input_spec == usual.spec and recipe.simulation and recipe.simulation.lookalikes
        plans.append(_Plan(name, recipe, usual if as_usual else prepare_findings(ws, root, recipe)))

    def work(number: int, _tell: Tell) -> None:
        _trained(ws, plans[number], usual)
        print(plans[number].name, flush=True)

    side_by_side(work, list(reversed(range(len(plans)))), lambda *told: None)  # resnet18, which takes longest, first
    return [_measured(ws, plan, usual) for plan in plans]


def _plain(change: dict[str, Any]) -> dict[str, Any]:
    return {key: value.model_dump() if hasattr(value, "model_dump") else value for key, value in change.items()}


def _trained(ws: Workspace, plan: _Plan, usual: Prepared) -> tuple[Network, list[int]]:
    """The network, and the places of the scans to test it on."""
    examples = without_copies(plan.prepared.examples)
    train, test = folds_of(examples, FOLDS, plan.recipe.seed, plan.prepared.units)[0]
    kept = checkpoint_path(ws, usual.examples, plan.recipe).with_suffix("")
    return train_part(plan.prepared, examples.at(train), plan.recipe, PART, kept).network, test


def _measured(ws: Workspace, plan: _Plan, usual: Prepared) -> Variant:
    network, test = _trained(ws, plan, usual)
    # on the same infarcts, where the size allows
    tested = usual if plan.recipe.input_spec == usual.spec else plan.prepared
    part = tested.with_missing_classes(without_copies(tested.examples).at(test))
    p = predict(network, part.x).logits.softmax(dim=1).numpy()

    def against_none(label: str) -> Report:
        keep = [i for i, of in enumerate(part.labels) if of in (label, NO_STROKE)]
        labels, patients = [part.labels[i] for i in keep], [part.patients[i] for i in keep]
        return evaluate(labels, p[keep], plan.prepared.classes, patients=patients)

    return Variant(
        plan.name,
        against_none(HEMORRHAGIC).per_class[HEMORRHAGIC].auc,
        against_none(ISCHEMIC).per_class[ISCHEMIC].auc,
    )


def _row(variant: Variant) -> str:
    return f"{with_interval(variant.hemorrhage)} | {with_interval(variant.infarct)}"


PAGE = """# What short trainings show of the shipped recipe's parts

One thing changed at a time, trained for {epochs} epochs instead of {shipped}, without the last stage (for what that is
worth see [decisions](decisions.md)), tested on the patients of fold 1, {side} pixels unless a row says more; the mirror
image and the turning of lying heads included. Differences smaller than the intervals say little. These are scans as
they are: scans as from elsewhere and look-alikes, which slow so short a training down, are there for the model card's
disturbances and false alarms. Written by `python -m benchmarks.ablation` (part of `make results`).

| Recipe | AUC hemorrhage | AUC simulated infarct |
|---|---|---|
{rows}
"""


def in_markdown(found: list[Variant], recipe: Recipe, epochs: int) -> str:
    rows = "\n".join(f"| {variant.name} | {_row(variant)} |" for variant in found)
    return PAGE.format(epochs=epochs, shipped=recipe.epochs, side=recipe.size_in(1), rows=rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "ablation.md")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    args = parser.parse_args()
    ws = open_results()
    recipe = read_recipe(ws.settings.training, RECIPE)
    args.out.write_text(in_markdown(measure_all(ws, args.data / "ct_ich", recipe, args.epochs), recipe, args.epochs))
    print(args.out)


if __name__ == "__main__":
    main()
