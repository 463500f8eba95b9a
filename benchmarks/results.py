"""Train and measure what docs/results.md says of the public set, and write it.

    python -m benchmarks.results --data ../shared/data [--out docs/results.md]

What has been trained once lies in STROKE_HOME/results and is not trained again; an interrupted run goes on. The
patients' keys are made with a secret that is none, so that everybody gets the same splits.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import interval_coverage
from core.dataset import Sample, file_reader
from core.dataset_audit import Auditor, audit, clean_samples, look_at_all
from core.evaluate import OVERALL, Report
from core.labels import HEMORRHAGIC, SPLITS
from core.listing import from_folders
from core.settings import ROOT
from core.train import Epoch, predict
from services.audit_report import summary, verdict
from services.crossvalidation import fit_once
from services.publishing import measure
from services.rules import settle
from services.shipping import PUBLIC, open_results
from services.tables import with_interval
from services.training import checkpoint_path, prepare
from services.workspace import Workspace


@dataclass(frozen=True)
class Tested:
    """A network on its test part."""

    report: Report
    seen: int  # test patients it was also trained on
    epoch: int


@dataclass(frozen=True)
class Results:
    """All that the page is written from."""

    audit: list[str]
    clean: list[str]
    folders: Tested  # (a)
    patient: Tested  # (b)
    coverage: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--studies", type=int, default=1000)
    args = parser.parse_args()
    args.out.write_text(in_markdown(measure_all(open_results(), args.data, args.studies)))
    print(args.out)


def measure_all(ws: Workspace, data: Path, studies: int) -> Results:
    root = data / "ct_ich"
    published = from_folders(root)
    return Results(
        *audited(published, root),
        trained_once(ws, published, root, "folders"),
        trained_once(ws, published, root, "patient"),
        interval_coverage.in_markdown(studies),
    )


def audited(samples: list[Sample], root: Path) -> tuple[list[str], list[str]]:
    """What the audit says of the set as published, and of what is left of it when it is cleaned."""
    reader, auditor = file_reader(PUBLIC, 16), Auditor(root)
    look_at_all(samples, auditor, reader=reader)
    found = auditor.findings()
    clean = audit(clean_samples(auditor.samples, found, root), root, reader=reader)
    return [*summary(found), verdict(found)], [*summary(clean), verdict(clean)]


def trained_once(ws: Workspace, samples: list[Sample], root: Path, split: str) -> Tested:
    """(a) and (b): the recipe of config.yaml."""
    recipe = ws.settings.training
    prepared = prepare(ws, samples, recipe, split, root=root)
    parts = {name: prepared.examples.of(name) for name in SPLITS}
    whole = fit_once(
        checkpoint_path(ws, prepared.examples, recipe).with_suffix(".network"),
        parts["train"],
        parts["validation"],
        prepared.classes,
        recipe,
        progress=lambda done, total, loss, epoch: _say(f"--split {split}", epoch),
    )
    said = {name: predict(whole.network, parts[name].x) for name in ("validation", "test")}
    rules = settle(said["validation"], parts["validation"], prepared.classes, ws.settings.calibration)
    report = measure(rules.probabilities(said["test"]), parts["test"], prepared.classes)
    return Tested(report, len(set(parts["train"].patients) & set(parts["test"].patients)), whole.best_epoch)


def _say(what: str, epoch: Epoch | None) -> None:
    if epoch:
        print(f"{what} epoch {epoch.number}: loss {epoch.train_loss:.3f}, {epoch.seconds:.1f} s", flush=True)


def in_markdown(results: Results) -> str:
    """docs/results.md."""
    template = (ROOT / "benchmarks" / "results_template.md").read_text()
    return template.format(
        audit=_listed(results.audit),
        clean=_listed(results.clean),
        published=_published(results),
        coverage=results.coverage,
        torch=torch.__version__,
    )


def _listed(sentences: list[str]) -> str:
    return "\n".join(f"> {sentence}  " for sentence in sentences)


def _published(results: Results) -> str:
    """(a) beside (b)."""
    both = results.folders, results.patient
    rows = [
        ["On the test part", "(a) as published", "(b) patients apart"],
        ["---"] * 3,
        ["Scans, patients", *(f"{t.report.n} scans, {t.report.patients} patients" for t in both)],
        ["Of these patients trained on", *(str(t.seen) for t in both)],
        *([words, *(with_interval(getattr(t.report, key)) for t in both)] for key, words in OVERALL.items()),
        ["AUC, hemorrhagic", *(with_interval(t.report.per_class[HEMORRHAGIC].auc) for t in both)],
        ["Epoch kept", *(str(t.epoch) for t in both)],
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
