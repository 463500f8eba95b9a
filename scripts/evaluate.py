"""Measure a published model on labelled scans: metrics with intervals, per scan and per patient, and curves."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from console import bar, errors, figure_line, sentences, writable
from data_options import add_data_options, samples_from

from core import bundle
from core.bundle import Bundle
from core.dataset import DatasetError, Examples, Sample, file_reader, load
from core.evaluate import BY_CLASS, OVERALL, Report, difference, evaluate_patients
from core.labels import in_words, parse_split
from core.settings import Settings
from services.figures import write_plots
from services.models import folder_of, trained_elsewhere
from services.publishing import answers_of, measure
from services.workspace import Workspace, open_workspace


def main() -> None:
    args = _arguments()
    with sentences():
        writable(args.json)
        ws = open_workspace(Settings())
        model = bundle.load(_bundle_folder(ws, args.model_path))
        samples = samples_from(args, ws.pseudonym)
        if args.part != "all":
            samples = [sample for sample in samples if sample.split in (None, parse_split(args.part))]
            if not samples:
                raise DatasetError(f"No file is in the part {args.part}. --part all measures every file.")
        p, answered, examples = _read(ws, model, samples)
        known = model.manifest.classes
        report = measure(p, examples, known)
        patient_report = evaluate_patients(examples.labels, p, known, examples.patients)
        places = np.flatnonzero(answered).tolist()
        answered_report = measure(p[places], examples.at(places), known) if places else None
        unnamed = sum(sample.split is None for sample in samples)
        if args.part != "all" and unnamed:
            print(f"Note: {unnamed} of these {len(samples)} files name no part, and are measured too.")
        trained = _say_whom_it_met(ws, model, examples)
        _tell(report)
        print("per patient:")
        _tell_figures(patient_report)
        print(f"It answers {len(places)} of these {len(examples)} scans, and abstains on or flags the others.")
        if answered_report:
            print("where it answers:")
            _tell_figures(answered_report)
        values = {
            "model": model.manifest.version,
            "trained_on_patients": trained,
            "refused": len(samples) - len(examples),
            **report.to_json(),
            "per_patient": patient_report.to_json(),
            "answered": len(places),
            "where_answered": answered_report.to_json() if answered_report else None,
        }
        if args.against:
            values |= _compare(ws, args.against, samples, p, known, examples)
        if args.json:
            args.json.write_text(json.dumps(values, indent=1))
        if args.plots:
            for path in write_plots(report, args.plots):
                print(path)


def _say_whom_it_met(ws: Workspace, model: Bundle, examples: Examples) -> int | None:
    """Say, before any figure, what flatters it; returns on how many of the patients at least it was trained, None
    where that cannot be told."""
    version, patients = model.manifest.version, set(examples.patients)
    images = [sample.content_hash for sample in examples.samples]
    copies = len(images) - len(set(images))
    if copies:
        print(
            f"Note: {copies} of these {len(images)} files show the image of another, and count as scans of their own."
        )
    met = {part: len(model.manifest.met(part, examples.patients, images)) for part in ("train", "validation")}
    for part, done in (("train", "was trained on"), ("validation", "has its rules from")):
        if met[part]:
            print(f"Note: {version} {done} {met[part]} of these {len(patients)} patients. That flatters it.")
    if trained_elsewhere(ws, model.manifest):
        which = "more" if met["train"] else "some"
        print(f"Note: whether {version} was trained on {which} of these patients cannot be told:")
        print("it, or what it goes on from, is from another home.")
        return met["train"] or None
    return met["train"]


def _read(ws: Workspace, model: Bundle, samples: list[Sample]) -> tuple[np.ndarray, np.ndarray, Examples]:
    """The model's probabilities for the files that can be read, and which it answers; the others are named."""
    with bar("reading scans") as progress:
        reader = file_reader(ws.pseudonym, ws.settings.limits.megapixels)
        loaded = load(samples, model.spec, reader=reader, progress=progress)
    for path, reason in loaded.refused:
        errors.print(f"left out: {path.name}: {reason}", markup=False)
    return *answers_of(model, loaded.examples), loaded.examples


def _compare(
    ws: Workspace,
    path: Path,
    samples: list[Sample],
    p: np.ndarray,
    known: Sequence[str],
    examples: Examples,
) -> dict[str, object]:
    """What the model gains over another on the same scans, paired."""
    other = bundle.load(_bundle_folder(ws, path))
    theirs, _, _ = _read(ws, other, samples)
    met = _say_whom_it_met(ws, other, examples)
    gains = difference(examples.labels, theirs, p, (other.manifest.classes, known), patients=examples.patients)
    print(f"gained over {other.manifest.version}, paired:")
    for name, figure in gains.items():
        print(figure_line(name, figure))
    return {
        "against": {"model": other.manifest.version, "trained_on_patients": met},
        "gains": {name: figure.to_json() for name, figure in gains.items()},
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model-path", "--model_path", required=True, type=Path, help="a bundle's folder, or a version's name"
    )
    parser.add_argument("--against", type=Path, metavar="BUNDLE", help="another model, to compare with scan by scan")
    parser.add_argument("--part", default="test", choices=["train", "validation", "test", "all"], help="default: test")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures there")
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="write confusion matrix, ROC and further curves there, as HTML"
    )
    add_data_options(parser)
    return parser.parse_args()


def _bundle_folder(ws: Workspace, path: Path) -> Path:
    return path if path.is_dir() else folder_of(ws, str(path))


def _tell(report: Report) -> None:
    patients = f" of {report.patients} patients" if report.patients else ""
    print(f"{report.n} scans{patients}; 95 % intervals: {report.interval}")
    _tell_figures(report)
    print("confusion matrix (rows: label, columns: model)")
    print(" " * 14 + "".join(f"{in_words(name):>14}" for name in report.classes))
    for name, row in zip(report.classes, report.confusion, strict=True):
        print(f"{in_words(name):<14}" + "".join(f"{count:>14}" for count in row))


def _tell_figures(report: Report) -> None:
    for key, words in OVERALL.items():
        print(figure_line(words, getattr(report, key)))
    for name, figures in report.per_class.items():
        for key, words in BY_CLASS.items():
            print(figure_line(f"{in_words(name)}: {words}", getattr(figures, key)))


if __name__ == "__main__":
    main()
