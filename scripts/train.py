"""Train a model on a folder or a manifest and publish it as a candidate. Prints its version last.

With --folds K it publishes nothing: K models say how good the recipe is on patients they have not met.
"""

import argparse
import json
from pathlib import Path

from console import bar, errors, figure_line, sentences, training_bar, writable
from data_options import add_data_options, root_of, samples_from

from core.dataset import DatasetError
from core.evaluate import Report
from core.features import ARCHITECTURES
from core.labels import in_words
from core.listing import PATIENT_KEY, relative
from core.settings import Recipe, Settings
from core.train import stage_checkpoints
from services.audit_report import summary, verdict
from services.crossvalidation import cross_validate, forget_kept
from services.publishing import simulated_or_none
from services.training import Prepared, checkpoint_path, prepare, read_recipe, train_dataset
from services.workspace import Workspace, open_workspace

RECIPE_FLAGS = {
    "epochs": int, "batch_size": int, "image_size": int, "learning_rate": float, "patience": int, "seed": int,
}  # fmt: skip


def main() -> None:
    args = _arguments()
    with sentences():
        _check(args)
        ws = open_workspace(Settings())
        given = {name: getattr(args, name) for name in (*RECIPE_FLAGS, "arch", "weights", "crop")}
        recipe = read_recipe(ws.settings.training, args.recipe, given)
        samples = samples_from(args, ws.pseudonym)
        split = "none" if args.folds is not None else args.split
        with bar("reading scans") as progress:
            prepared = prepare(ws, samples, recipe, split, root=root_of(args), progress=progress)
        _tell(prepared)
        if split == "patient" and any(sample.split for sample in samples):
            errors.print("Patients are dealt to parts here, not as the data names them: --split folders takes those.")
        if args.folds is not None:
            _cross_validate(ws, prepared, recipe, args)
        else:
            _train(ws, prepared, recipe, args)


def _check(args: argparse.Namespace) -> None:
    """Refuse, before anything takes time, what would be ignored or could not be written."""
    if args.folds is None and (args.json or args.predictions):
        raise DatasetError("--json and --predictions go with --folds; one training keeps its figures in the bundle.")
    if args.folds is not None and args.folds < 2:
        raise DatasetError(f"--folds needs at least 2, got {args.folds}.")
    if args.folds is not None and args.split == "folders":
        raise DatasetError("--folds makes its own split, by patient: leave --split folders out.")
    for path in (args.json, args.predictions):
        writable(path)


def _train(ws: Workspace, prepared: Prepared, recipe: Recipe, args: argparse.Namespace) -> None:
    checkpoint = checkpoint_path(ws, prepared.examples, recipe)
    if not args.resume:
        for path in stage_checkpoints(checkpoint, recipe):
            path.unlink(missing_ok=True)
    else:
        errors.print(f"{'Going on after the last whole epoch' if checkpoint.exists() else 'Nothing to resume'}.")
    name = args.name or (args.manifest or args.data).resolve().name
    with training_bar(simulated=bool(prepared.only_simulated)) as tell:
        manifest = train_dataset(ws, prepared, recipe, name=name, checkpoint=checkpoint, progress=tell)
    for limit in manifest.limits:
        errors.print(f"Note: {limit}")
    for split, report in manifest.metrics.items():
        accuracy = report["accuracy"]
        print(
            f"{split}: accuracy {accuracy['value']:.4f} (95 % interval {accuracy['low']:.4f} to "
            f"{accuracy['high']:.4f}, {report['interval']}), {report['n']} scans of {report['patients']} patients"
        )
    print(manifest.version)


def _cross_validate(ws: Workspace, prepared: Prepared, recipe: Recipe, args: argparse.Namespace) -> None:
    checkpoints = checkpoint_path(ws, prepared.examples, recipe).with_suffix("")
    if not args.resume:
        forget_kept(checkpoints)
    with training_bar() as tell:
        found = cross_validate(
            prepared,
            recipe,
            args.folds,
            ws.settings.calibration,
            checkpoints=checkpoints,
            tell=lambda fold, done, total, loss, epoch: tell(done, total, loss, epoch, f"fold {fold}"),
        )
    reports = {
        "scans": found.report(),
        "before calibration": found.report(raw=True),
        "patients": found.patient_report(),
        **{simulated_or_none(label): found.simulated_report(label) for label in found.simulated_classes},
    }
    for what, report in reports.items():
        _tell_report(what, report)
    answered = int(found.real["answered"].sum())
    print(f"The models answered {answered} of {len(found.real)} scans and abstained on the others.")
    if args.json:
        args.json.write_text(json.dumps({what: report.to_json() for what, report in reports.items()}, indent=1))
    if args.predictions:
        root = root_of(args)
        named = found.table.assign(file=[relative(file, root) for file in found.table["file"]])
        named = named.rename(columns={"patient": PATIENT_KEY})
        named.to_csv(args.predictions, index=False)
    forget_kept(checkpoints)
    print("Nothing is published by a cross-validation: train without --folds for a model.")


def _tell_report(what: str, report: Report) -> None:
    print(f"per {what.removesuffix('s')}:" if what in ("scans", "patients") else f"{what}:")
    for name in ("accuracy", "balanced_accuracy", "ece"):
        print(figure_line(name.replace("_", " "), getattr(report, name)))
    for label, figures in report.per_class.items():
        print(figure_line(f"{in_words(label).lower()} AUC", figures.auc))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument(
        "--split",
        choices=["patient", "folders"],
        default="patient",
        help="patient (the default): deal patients to parts, whatever the data name; folders: take the parts as named",
    )
    parser.add_argument("--folds", type=int, metavar="K", help="cross-validate by patient; publishes nothing")
    parser.add_argument("--recipe", type=Path, metavar="YAML", help="values in place of config.yaml's training")
    parser.add_argument("--arch", choices=list(ARCHITECTURES))
    parser.add_argument("--weights", help="none, imagenet, or the path of a torchvision state dict")
    for flag, kind in RECIPE_FLAGS.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", type=kind)
    parser.add_argument("--crop", choices=["none", "head"])
    parser.add_argument("--resume", action="store_true", help="go on after the last whole epoch of the same training")
    parser.add_argument("--name", help="what to call the data in the model's record; default: the folder's name")
    parser.add_argument("--json", type=Path, metavar="OUT", help="with --folds: write all figures there")
    parser.add_argument("--predictions", type=Path, metavar="CSV", help="with --folds: write every scan's answer there")
    return parser.parse_args()


def _tell(prepared: Prepared) -> None:
    """What is about to be trained on, and what is wrong with it."""
    for sentence in summary(prepared.audit):
        errors.print(sentence, markup=False)
    if prepared.audit.leaks and prepared.split == "folders":
        errors.print(verdict(prepared.audit).replace("**", ""), style="bold", markup=False)
        errors.print("--split patient keeps patients apart.")
    if prepared.shared:
        errors.print(
            f"Left out: {prepared.shared} scans for validation or testing whose image stands in another part under "
            "another patient's name."
        )
    if prepared.grouped:
        errors.print(f"{prepared.grouped} scans of unknown patients show an image of another: kept in one part.")
    for path, reason in prepared.loaded.refused:
        errors.print(f"left out: {path.name}: {reason}", markup=False)
    if prepared.split != "none":
        errors.print("This training:")
        for split, scans, patients, by_class in prepared.table():
            classes = ", ".join(f"{in_words(c).lower()} {by_class.get(c, 0)}" for c in prepared.classes)
            errors.print(f"{split}: {scans} scans of {patients} patients ({classes})")


if __name__ == "__main__":
    main()
