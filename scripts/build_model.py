"""Train the model that ships, from the public scans, and publish it into bundles/. Prints its version last.

What has been trained once lies in STROKE_HOME/results and is not trained again; an interrupted run goes on.
"""

import argparse
from pathlib import Path

from console import bar, errors, figure_line, sentences, training_bar

from core.labels import HEMORRHAGIC, ISCHEMIC
from core.settings import ROOT
from core.train import Epoch
from services.shipping import (
    FOLDS,
    RECIPE,
    open_results,
    prepare_findings,
    publish_shipped,
    train_shipped,
)
from services.training import read_recipe
from services.workspace import SHIPPED_BUNDLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder that holds ct_ich")
    parser.add_argument("--out", type=Path, default=SHIPPED_BUNDLES, help="default: bundles/serving")
    parser.add_argument("--recipe", type=Path, default=RECIPE, metavar="YAML", help="default: recipes/shipped.yaml")
    args = parser.parse_args()
    with sentences():
        ws = open_results()
        recipe = read_recipe(ws.settings.training, args.recipe)
        with bar("reading scans, simulating lesions") as progress:
            prepared = prepare_findings(ws, args.data / "ct_ich", recipe, progress)
        with training_bar() as bar_of:

            def tell(part: int, done: int, total: int, loss: float, epoch: Epoch | None) -> None:
                bar_of(done, total, loss, epoch, f"part {part} of {FOLDS + 1}")

            trained = train_shipped(ws, prepared, recipe, tell)
        found = trained.found
        errors.print("On patients not met, five folds:")
        for what, figure in (
            ("hemorrhage AUC per slice", found.report().per_class[HEMORRHAGIC].auc),
            ("hemorrhage AUC per patient", found.patient_report().per_class[HEMORRHAGIC].auc),
            ("simulated infarct AUC per slice", found.simulated_report(ISCHEMIC).per_class[ISCHEMIC].auc),
        ):
            errors.print(figure_line(what, figure))
        print(publish_shipped(ws, trained, args.out).version)


if __name__ == "__main__":
    main()
