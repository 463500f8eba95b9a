"""Train and measure everything docs/results.md says, from the public scans, and write it.

    python -m benchmarks.results --data ../shared/data [--out docs/results.md]

What has been trained once lies in STROKE_HOME/results and is not trained again; an interrupted run goes on. The
patients' keys are made with a secret that is none, so that everybody gets the same splits and folds.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import yaml

from benchmarks.interval_coverage import DESIGNS, cover
from benchmarks.other_images import other_images
from core.dataset import ManifestColumns, Sample, file_reader, from_folders, from_manifest
from core.dataset_audit import Auditor, audit, clean_samples, look_at_all
from core.evaluate import BY_CLASS, OVERALL, Report
from core.intervals import Clusters, Figure, share_figure
from core.labels import HEMORRHAGIC, SPLITS, in_words
from core.network import Classifier
from core.preprocess import InputSpec, to_input
from core.pseudonym import Pseudonym
from core.scan import UnreadableScan, read
from core.settings import ROOT, Recipe, Settings
from core.train import Epoch, predict
from services.audit_report import summary, verdict
from services.crossvalidation import CrossValidation, Fold, cross_validate, fit_once
from services.tables import how_many, with_interval
from services.training import Prepared, checkpoint_path, measure, prepare, settle
from services.workspace import Workspace, open_workspace

PUBLIC = Pseudonym(b"second-read public data: no secret")
FOLDS = 5
COVERAGES = (0.25, 0.5, 0.75, 1.0)


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
    findings: CrossValidation  # (c)
    others: list[tuple[str, int, int]]  # kind of image, of how many, how many flagged or refused (over all folds)
    strangers: list[tuple[str, int, int]]
    false_flags: Figure
    coverage: list[tuple[int, int, dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--studies", type=int, default=1000)
    args = parser.parse_args()
    results = measure_all(_workspace(), args.data, args.studies)
    args.out.write_text(in_markdown(results))
    print(args.out)


def _workspace() -> Workspace:
    settings = Settings()
    return replace(open_workspace(Settings(home=settings.home_dir / "results")), pseudonym=PUBLIC)


def measure_all(ws: Workspace, data: Path, studies: int) -> Results:
    root = data / "ct_ich"
    published = from_folders(root)
    findings = cross_validated(ws, root)
    spec = InputSpec.from_json(_spec(findings_recipe(ws)))
    return Results(
        *audited(published, root),
        trained_once(ws, published, root, "folders"),
        trained_once(ws, published, root, "patient"),
        findings,
        flagged_by_kind(findings, spec, _others(data)),
        flagged_by_kind(findings, spec, _strangers(data)),
        _false_flags(findings),
        [(p, s, cover(studies=studies, patients=p, scans=s, seed=0)) for p, s in DESIGNS],
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
    network, epoch = fit_once(
        checkpoint_path(ws, prepared.examples, recipe).with_suffix(".network"),
        parts["train"],
        parts["validation"],
        len(prepared.classes),
        recipe,
        lambda done, total, loss, epoch: _say(f"--split {split}", epoch),
    )
    rules = settle(
        network, parts["train"], parts["validation"], prepared.classes, ws.settings.calibration, flag_others=False
    )
    report = measure(rules.probabilities(predict(network, parts["test"].x)), parts["test"], prepared.classes)
    return Tested(report, len(set(parts["train"].patients) & set(parts["test"].patients)), epoch)


def findings_recipe(ws: Workspace) -> Recipe:
    values = yaml.safe_load((ROOT / "recipes" / "findings.yaml").read_text())
    return Recipe.model_validate({**ws.settings.training.model_dump(), **values})


def _spec(recipe: Recipe) -> dict[str, object]:
    return InputSpec(size=recipe.image_size, crop=recipe.crop).to_json()


def cross_validated(ws: Workspace, root: Path) -> CrossValidation:
    """(c): what is really in each slice, five folds by patient."""
    columns = ManifestColumns("file", "finding", "patient", "none")
    meaning = {"hemorrhage": "hemorrhagic", "no_hemorrhage": "no_stroke"}
    samples = from_manifest(root / "findings.csv", root, columns, meaning, PUBLIC)
    recipe = findings_recipe(ws)
    prepared: Prepared = prepare(ws, samples, recipe, "none", root=root)
    checkpoints = checkpoint_path(ws, prepared.examples, recipe).with_suffix("")
    return cross_validate(
        prepared,
        recipe,
        FOLDS,
        ws.settings.calibration,
        checkpoints=checkpoints,
        tell=lambda fold, done, total, loss, epoch: _say(f"fold {fold}", epoch),
    )


def _say(what: str, epoch: Epoch | None) -> None:
    if epoch:
        print(f"{what} epoch {epoch.number}: loss {epoch.train_loss:.3f}, {epoch.seconds:.1f} s", flush=True)


def _others(data: Path) -> Iterator[tuple[str, bytes]]:
    """(file, content) of what is no head CT: the drawn and shipped images, and the plastic head."""
    yield from other_images()
    for path in sorted((data / "dicom_philips_phantom").iterdir()):
        if path.name != "LICENSE":
            yield f"plastic head-{path.name}", path.read_bytes()


def _strangers(data: Path) -> Iterator[tuple[str, bytes]]:
    """(file, content) of head CT from other hospitals, which should not be flagged."""
    for path in sorted((data / "dicom_ge_head").glob("*.dcm")):
        yield f"GE series, HU-{path.name}", path.read_bytes()
    for path in sorted((data / "cpaisd" / "images").glob("*.png")):
        yield f"CPAISD, wide dark window-{path.name}", path.read_bytes()


def flagged_by_kind(
    found: CrossValidation, spec: InputSpec, files: Iterator[tuple[str, bytes]]
) -> list[tuple[str, int, int]]:
    """Kind (the name up to the first "-") -> how many, and how many were refused or flagged, over all folds."""
    counts: dict[str, list[int]] = {}
    inputs: list[torch.Tensor] = []
    kinds: list[str] = []
    for name, data in files:
        kind = name.split("-")[0]
        of, caught = counts.setdefault(kind, [0, 0])
        counts[kind][0] = of + len(found.folds)
        try:
            inputs.append((to_input(read(data, name), spec) * 255).round().to(torch.uint8))
            kinds.append(kind)
        except UnreadableScan:
            counts[kind][1] = caught + len(found.folds)
    for fold in found.folds:
        for kind, flag in zip(kinds, _flags(fold, torch.stack(inputs)), strict=True):
            counts[kind][1] += flag
    return [(kind, of, caught) for kind, (of, caught) in counts.items()]


def _flags(fold: Fold, x: torch.Tensor) -> list[bool]:
    if fold.rules.typical is None:
        return [False] * len(x)
    network: Classifier = fold.network
    return [bool(flag) for flag in fold.rules.typical.unlike(predict(network, x).profile)]


def _false_flags(found: CrossValidation) -> Figure:
    flagged = found.table["flagged"].to_numpy(bool)
    clusters = Clusters.of(found.table["patient"], len(flagged))
    return share_figure(flagged, np.ones(len(flagged), bool), clusters)


def in_markdown(results: Results) -> str:
    """docs/results.md."""
    found = results.findings
    scans, raw, patients, answered = (
        found.report(),
        found.report(raw=True),
        found.patient_report(),
        found.report(answered_only=True),
    )
    template = (ROOT / "benchmarks" / "results_template.md").read_text()
    caught = sum(n for *_, n in results.others), sum(of for _, of, _ in results.others)
    return template.format(
        audit=_listed(results.audit),
        clean=_listed(results.clean),
        published=_published(results),
        findings=_table({"Per slice": scans, "Per patient": patients, "Where it answered": answered}),
        answered=f"{answered.n / scans.n:.0%}",
        calibration=_calibration(raw, scans),
        risk=_risk(scans),
        others=_flag_table(results.others),
        caught=f"{caught[0] / caught[1]:.1%}",
        strangers=_flag_table(results.strangers),
        false_flags=f"{with_interval(results.false_flags)} ({how_many(results.false_flags)})",
        coverage="\n".join(
            f"| {p} | {s} | " + " | ".join(f"{share:.1%}" for share in held.values()) + " |"
            for p, s, held in results.coverage
        ),
        folds=FOLDS,
        torch=torch.__version__,
        epochs=", ".join(str(fold.best_epoch) for fold in found.folds),
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


def _table(reports: dict[str, Report]) -> str:
    rows = [["", *reports], ["---"] * (1 + len(reports))]
    rows.append(["n", *(f"{r.n} of {r.patients} patients" for r in reports.values())])
    for key, words in BY_CLASS.items():
        row = [with_interval(getattr(r.per_class[HEMORRHAGIC], key)) for r in reports.values()]
        rows.append([f"{in_words(HEMORRHAGIC)}: {words}", *row])
    for key, words in OVERALL.items():
        rows.append([words, *(with_interval(getattr(r, key)) for r in reports.values())])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _calibration(raw: Report, scans: Report) -> str:
    ratio = scans.ece.value / raw.ece.value
    return (
        f"| Before | {with_interval(raw.ece)} | {with_interval(raw.brier)} |\n"
        f"| After | {with_interval(scans.ece)} | {with_interval(scans.brier)} |\n\n"
        f"After is {ratio:.2f} of before ({how_many(scans.ece)})."
    )


def _risk(report: Report) -> str:
    curve = report.risk_coverage
    rows = [(coverage, float(np.interp(coverage, curve.coverage, curve.risk))) for coverage in COVERAGES]
    lines = [f"| {coverage:.0%} | {risk:.1%} |" for coverage, risk in rows]
    return "\n".join(lines) + f"\n\nMean risk over all coverages: {report.risk_coverage_area:.3f}."


def _flag_table(rows: list[tuple[str, int, int]]) -> str:
    return "\n".join(f"| {kind} | {of // FOLDS} | {caught / of:.0%} |" for kind, of, caught in rows)


if __name__ == "__main__":
    main()
