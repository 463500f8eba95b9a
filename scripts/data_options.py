"""The options by which train.py, evaluate.py and audit_data.py are told where labelled scans are."""

import argparse
from pathlib import Path

from console import errors

from core.dataset import DatasetError, Sample
from core.labels import CLASSES, parse_class
from core.listing import SKIP, ManifestColumns, from_folders, from_manifest, with_patients
from core.pseudonym import Pseudonym


def add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        type=Path,
        help="class folders, with or without train/ validation/ test/ above them; or the folder of a manifest's files",
    )
    group.add_argument("--manifest", type=Path, help="CSV with columns file and label, if known patient and split")
    for column in ("file", "label", "patient", "split"):
        group.add_argument(f"--{column}-column", default=column, metavar="NAME")
    group.add_argument(
        "--patient-pattern",
        metavar="REGEX",
        help="how a file's name without its ending, or its path, names the patient: the first group, as in "
        "'^CT(\\d+)_' or '(PAT\\d+)/'",
    )
    group.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="WORD=CLASS",
        help="what a label or a folder's name means; or =skip",
    )


def samples_from(args: argparse.Namespace, pseudonym: Pseudonym) -> list[Sample]:
    """The samples the options name. Raises DatasetError."""
    samples = _listed(args, pseudonym)
    pattern = args.patient_pattern
    return samples if pattern is None else with_patients(samples, pattern, pseudonym, root_of(args))


def root_of(args: argparse.Namespace) -> Path:
    """The folder that the samples' names are relative to."""
    return Path(args.data or args.manifest.parent)


def _listed(args: argparse.Namespace, pseudonym: Pseudonym) -> list[Sample]:
    pairs = [entry.partition("=") for entry in args.map]
    if any(not separator for _, separator, _ in pairs):
        raise DatasetError("--map takes WORD=CLASS, as in --map hemorrhage=hemorrhagic.")
    mapping = {word: target for word, _, target in pairs}
    for word, target in mapping.items():
        if target != SKIP and parse_class(target) is None:
            raise DatasetError(
                f"--map {word}={target}: {target} is no class. Classes are {', '.join(CLASSES)}, or {SKIP}."
            )
    if args.manifest:
        columns = ManifestColumns(args.file_column, args.label_column, args.patient_column, args.split_column)
        return from_manifest(args.manifest, args.data or args.manifest.parent, columns, mapping, pseudonym, _say)
    if not args.data:
        raise DatasetError("Say where the scans are: --data DIR, or --manifest CSV.")
    return from_folders(args.data, mapping, _say)


def _say(text: str) -> None:
    errors.print(text, markup=False)
