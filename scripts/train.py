"""Train a model on a folder or a manifest and publish it as a candidate. Prints its version last."""

import argparse
import hashlib
from pathlib import Path

from console import bar, errors, sentences, training_bar
from data_options import add_data_options, samples_from

from core.labels import in_words
from core.network import ARCHITECTURES
from core.settings import Recipe, Settings
from services.training import Prepared, prepare, train_dataset
from services.workspace import open_workspace

RECIPE_FLAGS = {
    "epochs": int, "batch_size": int, "image_size": int, "learning_rate": float, "patience": int, "seed": int,
}  # fmt: skip


def main() -> None:
    args = _arguments()
    with sentences():
        ws = open_workspace(Settings())
        recipe = _recipe(ws.settings.training, args)
        samples = samples_from(args, ws.pseudonym)
        with bar("reading scans") as progress:
            prepared = prepare(ws, samples, recipe, args.split, progress)
        _tell(prepared)
        checkpoint = _checkpoint(ws.settings.training_dir, prepared, recipe)
        if checkpoint.exists() and not args.resume:
            checkpoint.unlink()
        elif args.resume:
            errors.print(f"{'Going on after the last whole epoch' if checkpoint.exists() else 'Nothing to resume'}.")
        name = args.name or (args.manifest or args.data).resolve().name
        with training_bar() as tell:
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    parser.add_argument("--split", choices=["patient", "folders"], default="patient", help="default: patient")
    parser.add_argument("--arch", choices=list(ARCHITECTURES))
    parser.add_argument("--weights", help="none, imagenet, or the path of a torchvision state dict")
    for flag, kind in RECIPE_FLAGS.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", type=kind)
    parser.add_argument("--crop", choices=["none", "head"])
    parser.add_argument("--resume", action="store_true", help="go on after the last whole epoch of the same training")
    parser.add_argument("--name", help="what to call the data in the model's record; default: the folder's name")
    return parser.parse_args()


def _recipe(defaults: Recipe, args: argparse.Namespace) -> Recipe:
    given = {name: getattr(args, name) for name in (*RECIPE_FLAGS, "arch", "weights", "crop") if getattr(args, name)}
    if args.seed is not None:
        given["seed"] = args.seed
    return Recipe.model_validate({**defaults.model_dump(), **given})


def _tell(prepared: Prepared) -> None:
    """What is about to be trained on, and what is wrong with it."""
    for split, scans, patients, by_class in prepared.table():
        classes = ", ".join(f"{in_words(c).lower()} {by_class.get(c, 0)}" for c in prepared.classes)
        errors.print(f"{split}: {scans} scans of {patients} patients ({classes})")
    for path, reason in prepared.loaded.refused:
        errors.print(f"left out: {path.name}: {reason}", markup=False)
    if prepared.loaded.duplicates:
        errors.print(f"{prepared.loaded.duplicates} files are copies of others in the set.")
    if prepared.leaking_patients:
        errors.print(
            f"{prepared.leaking_patients} patients stand in more than one part. The test figures will mostly measure "
            "whether the network has seen the patient before; --split patient keeps them apart.",
            style="bold",
        )


def _checkpoint(folder: Path, prepared: Prepared, recipe: Recipe) -> Path:
    """Where this training, and no other, keeps its state: named after its recipe and scans."""
    rows = sorted(f"{s.content_hash} {s.label} {s.split}" for s in prepared.examples.samples)
    digest = hashlib.sha256("\n".join([recipe.model_dump_json(), *rows]).encode()).hexdigest()
    return folder / f"{digest[:16]}.pt"


if __name__ == "__main__":
    main()
