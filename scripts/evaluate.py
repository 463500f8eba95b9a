"""Measure a published model on labelled scans: metrics with intervals, confusion matrix, ROC."""

import argparse
import json
from pathlib import Path

from console import bar, errors, sentences
from data_options import add_data_options, samples_from

from core import bundle
from core.evaluate import Figure, Report
from core.labels import in_words, parse_split
from core.settings import Settings
from services.figures import write_plots
from services.models import folder_of
from services.training import evaluate_bundle
from services.workspace import Workspace, open_workspace


def main() -> None:
    args = _arguments()
    with sentences():
        ws = open_workspace(Settings())
        model = bundle.load(_bundle_folder(ws, args.model_path))
        samples = samples_from(args, ws.pseudonym)
        if args.part != "all":
            samples = [sample for sample in samples if sample.split in (None, parse_split(args.part))]
        with bar("reading scans") as progress:
            report, _, loaded = evaluate_bundle(model, samples, ws, progress)
        for path, reason in loaded.refused:
            errors.print(f"left out: {path.name}: {reason}", markup=False)
        _tell(report)
        trained = set(model.manifest.patients.get("train", [])) & set(loaded.examples.patients)
        if trained:
            print(f"Note: the model was trained on {len(trained)} of these patients. These figures flatter it.")
        if args.json:
            values = {
                "model": model.manifest.version,
                "trained_on_patients": len(trained),
                "refused": len(loaded.refused),
                **report.to_json(),
            }
            args.json.write_text(json.dumps(values, indent=1))
        if args.plots:
            for path in write_plots(report, args.plots):
                print(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model-path", "--model_path", required=True, type=Path, help="a bundle's folder, or a version's name"
    )
    parser.add_argument("--part", default="test", choices=["train", "validation", "test", "all"], help="default: test")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures there")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write confusion matrix and ROC there, as HTML")
    add_data_options(parser)
    return parser.parse_args()


def _bundle_folder(ws: Workspace, path: Path) -> Path:
    return path if path.is_dir() else folder_of(ws, str(path))


def _line(name: str, figure: Figure) -> str:
    if figure.value != figure.value:
        return f"{name:<28} not defined here (n = {figure.n})"
    return f"{name:<28} {figure.value:.4f}  ({figure.low:.4f} to {figure.high:.4f}, n = {figure.n})"


def _tell(report: Report) -> None:
    patients = f" of {report.patients} patients" if report.patients else ""
    print(f"{report.n} scans{patients}; 95 % intervals: {report.interval}")
    print(_line("accuracy", report.accuracy))
    print(_line("balanced accuracy", report.balanced_accuracy))
    print(_line("macro F1", report.macro_f1))
    for name, figures in report.per_class.items():
        for key in ("precision", "recall", "specificity", "f1", "auc"):
            print(_line(f"{in_words(name).lower()} {key}", getattr(figures, key)))
    print("confusion matrix (rows: label, columns: model)")
    print(" " * 14 + "".join(f"{in_words(name):>14}" for name in report.classes))
    for name, row in zip(report.classes, report.confusion, strict=True):
        print(f"{in_words(name):<14}" + "".join(f"{count:>14}" for count in row))


if __name__ == "__main__":
    main()
