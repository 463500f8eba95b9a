"""Measure the model that ships and write its card.

    python -m benchmarks.model_card --data ../shared/data [--out docs/model-card.md]

Of what `make model` has trained (STROKE_HOME/results); trains nothing itself.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from benchmarks import false_alarms, flags, large_lesions, real_infarcts, robustness
from benchmarks.contact_sheet import Tile, sheet
from benchmarks.false_alarms import Alarms
from benchmarks.flags import Flagged
from benchmarks.large_lesions import Large
from benchmarks.robustness import Robustness
from core import bundle
from core import manifest as manifests
from core.anatomy import Window
from core.evaluate import BY_CLASS, OVERALL, Report, evaluate, per_patient
from core.intervals import Clusters, Figure, auc_figure, share_figure
from core.labels import HEMORRHAGIC, ISCHEMIC, NO_STROKE, in_words
from core.settings import ROOT
from services.crossvalidation import CrossValidation
from services.models import CARD
from services.shipping import FOLDS, RECIPE, Trained, is_trained, open_results, prepare_findings, train_shipped
from services.tables import how_many, measured_percent, percent, with_interval
from services.training import read_recipe
from services.workspace import SHIPPED_BUNDLES

COVERAGES = (0.25, 0.5, 0.75, 1.0)
SUBTYPES = ("intraparenchymal", "intraventricular", "subarachnoid", "subdural", "epidural")
MISTAKES = 32
SURE = 0.8
MIN_KIND = 5
"""Fewer scans of a kind than this are not given a figure."""


@dataclass(frozen=True)
class Measured:
    """All that the card is written from."""

    trained: Trained
    subtypes: list[tuple[str, Figure, int]]  # name, AUC against none, scans with it
    kinds: list[tuple[str, Figure, int]]  # simulated infarcts
    cpaisd: tuple[float, float, Figure]  # mean ischemic probability there, of scans without finding, AUC
    ge: tuple[float, float]  # the same mean in the slices with the dark area, and in the others
    answers: tuple[str, str, str]  # of the network that ships: there, and in either part of the GE series
    others: list[Flagged]
    strangers: list[Flagged]
    robust: list[Robustness]
    alarms: list[Alarms]
    large: list[Large]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "model-card.md")
    args = parser.parse_args()
    trained = trained_before(args.data)
    folder = published(trained)
    text = in_markdown(measure(args.data, trained), folder.name)
    for out in (args.out, folder / CARD):
        out.write_text(text)
        print(out)


def trained_before(data: Path) -> Trained:
    """What `make model` has trained."""
    ws = open_results()
    recipe = read_recipe(ws.settings.training, RECIPE)
    prepared = prepare_findings(ws, data / "ct_ich", recipe)
    if not is_trained(ws, prepared, recipe):
        raise SystemExit(_NOT_THERE)
    return train_shipped(ws, prepared, recipe)


def published(trained: Trained) -> Path:
    """The bundle that holds this network: figures of another one must not stand beside it."""
    weights = trained.whole.network.state_dict()
    for folder in reversed(manifests.versions(SHIPPED_BUNDLES)):
        held = bundle.load(folder).network.state_dict()
        if held.keys() == weights.keys() and all(torch.equal(held[name], weights[name]) for name in held):
            return folder
    raise SystemExit(_NOT_THERE)


_NOT_THERE = (
    "What ships has not been trained in this home by this recipe and this core/, or its bundle is not in "
    "bundles/serving. Run make model first: it trains what is missing and publishes it."
)


def measure(data: Path, trained: Trained) -> Measured:
    root, found, prepared = data / "ct_ich", trained.found, trained.prepared
    mistakes = open_results().settings.home_dir / "mistakes.png"
    sheet(surest_mistakes(found)).save(mistakes)
    print(mistakes, flush=True)
    return Measured(
        trained,
        by_subtype(found, root),
        by_kind(found),
        real_infarcts.on_cpaisd(trained, data),
        real_infarcts.on_ge(trained, data),
        real_infarcts.answers(trained, data),
        flags.flagged_by_kind(found, prepared.spec, flags.others(data)),
        flags.flagged_by_kind(found, prepared.spec, flags.strangers(data)),
        robustness.robustness(found, prepared.spec),
        false_alarms.false_alarms(found, prepared.spec),
        large_lesions.large_lesions(found, prepared.spec),
    )


def surest_mistakes(found: CrossValidation) -> list[Tile]:
    """The real scans that were called something else with most confidence. Not for the repository: public images."""
    examples = {sample.path: x for fold in found.folds for sample, x in zip(fold.test.samples, fold.test.x, strict=True)
                if sample.synthetic is None}  # fmt: skip
    rows = found.table[found.table["synthetic"] == ""]
    p = rows[[f"p_{name}" for name in found.classes]].to_numpy()
    called = np.array(found.classes)[p.argmax(axis=1)]
    wrong = rows.assign(called=called, confidence=p.max(axis=1))[called != rows["label"].to_numpy()]
    return [
        (
            f"{row.label}, called {row.called} {percent(row.confidence)}",
            Window(-20, 120).hu(examples[Path(row.file)][0].numpy() / 255),
        )
        for row in wrong.sort_values("confidence", ascending=False).head(MISTAKES).itertuples()
    ]


def by_subtype(found: CrossValidation, root: Path) -> list[tuple[str, Figure, int]]:
    """Real slices with each kind of hemorrhage against real slices without any."""
    table = found.table[found.table["synthetic"] == ""]
    findings = pd.read_csv(root / "findings.csv").set_index("file")
    names = [str(Path(file).relative_to(root)) for file in table["file"]]
    none = (table["label"] == NO_STROKE).to_numpy()
    return [(name, *_against(table, findings.loc[names, name].to_numpy() == 1, none, HEMORRHAGIC)) for name in SUBTYPES]


def by_kind(found: CrossValidation) -> list[tuple[str, Figure, int]]:
    """Simulated infarcts by territory and by age against real slices without a finding."""
    table = found.table
    none = ((table["synthetic"] == "") & (table["label"] == NO_STROKE)).to_numpy()
    parts = table["synthetic"].str.split(", ", expand=True)
    rows = []
    for column in parts.columns:
        for name in sorted(set(parts[column].dropna()) - {""}):
            is_it = ((parts[column] == name) & (table["label"] == ISCHEMIC)).to_numpy()
            rows.append((name, *_against(table, is_it, none, ISCHEMIC)))
    return [row for row in rows if row[2] >= MIN_KIND]


def against_own_slices(found: CrossValidation) -> Figure:
    """Simulated infarcts against none, of the same slices as they were: all of them show enough brain to draw into."""
    table = found.table
    made = ((table["synthetic"] != "") & (table["label"] == ISCHEMIC)).to_numpy()
    as_they_were = (table["synthetic"] == "") & (table["label"] == NO_STROKE) & table["file"].isin(table["file"][made])
    return _against(table, made, as_they_were.to_numpy(), ISCHEMIC)[0]


def _against(table: pd.DataFrame, is_it: np.ndarray, none: np.ndarray, label: str) -> tuple[Figure, int]:
    rows = table[is_it | none]
    clusters = Clusters.of(rows["patient"], len(rows))
    return auc_figure(rows[f"raw_{label}"].to_numpy(), is_it[is_it | none], clusters), int(is_it.sum())


def within_folds(found: CrossValidation) -> tuple[float, float, float]:
    """AUC of hemorrhage per slice and per patient and of simulated infarcts, the mean over the folds by their numbers
    of scans: answers of different models need not be on one scale (Parker et al., BMC Bioinformatics 2007;8:326)."""
    figures, scans = [], []
    for _, rows in found.table.groupby("fold"):
        real = rows[rows["synthetic"] == ""]
        none = real["label"] == NO_STROKE
        made = pd.concat([real[none], rows[(rows["synthetic"] != "") & (rows["label"] == ISCHEMIC)]])
        p = real[[f"raw_{name}" for name in found.classes]].to_numpy()
        labels, theirs, _ = per_patient(list(real["label"]), p, found.classes, list(real["patient"]))
        figures.append(
            [
                roc_auc_score(~none, real[f"raw_{HEMORRHAGIC}"]),
                roc_auc_score(np.array(labels) == HEMORRHAGIC, theirs[:, found.classes.index(HEMORRHAGIC)]),
                roc_auc_score(made["label"] == ISCHEMIC, made[f"raw_{ISCHEMIC}"]),
            ]
        )
        scans.append(len(real))
    slices, patients, infarcts = np.average(figures, axis=0, weights=scans)
    return float(slices), float(patients), float(infarcts)


def balanced(found: CrossValidation) -> pd.DataFrame:
    """As many scans of each class, spread over the patients: what the probabilities are meant for."""
    groups = [rows for _, rows in found.table.groupby("label")]
    fewest = min(len(rows) for rows in groups)
    return pd.concat([rows.iloc[np.linspace(0, len(rows) - 1, fewest).astype(int)] for rows in groups])


def _report(found: CrossValidation, rows: pd.DataFrame, prefix: str = "p_") -> Report:
    p = rows[[f"{prefix}{name}" for name in found.classes]].to_numpy(np.float64)
    return evaluate(list(rows["label"]), p, found.classes, patients=list(rows["patient"]))


def failures(found: CrossValidation) -> str:
    """How often it was sure and wrong on real scans."""
    rows = found.table[found.table["synthetic"] == ""]
    p = rows[[f"p_{name}" for name in found.classes]].to_numpy()
    called, sure = np.array(found.classes)[p.argmax(axis=1)], p.max(axis=1) >= SURE
    bleeds, none = (rows["label"] == label for label in (HEMORRHAGIC, NO_STROKE))
    counts = [
        ("hemorrhages called no stroke", bleeds & (called == NO_STROKE) & sure, bleeds),
        ("hemorrhages called ischemic", bleeds & (called == ISCHEMIC) & sure, bleeds),
        ("slices without a finding called hemorrhagic", none & (called == HEMORRHAGIC) & sure, none),
        ("slices without a finding called ischemic", none & (called == ISCHEMIC) & sure, none),
    ]
    said = "; ".join(f"{int(found_.sum())} of {int(of.sum())} {what}" for what, found_, of in counts)
    return f"With {percent(SURE)} confidence or more: {said}."


def at_operating_point(found: CrossValidation) -> tuple[Figure, Figure]:
    """Sensitivity and specificity of "hemorrhage not excluded" on real scans of patients not met."""
    rows = found.table[found.table["synthetic"] == ""]
    points = {fold.number: fold.rules.operating_points[HEMORRHAGIC].threshold for fold in found.folds}
    called = rows[f"p_{HEMORRHAGIC}"].to_numpy() >= rows["fold"].map(points).to_numpy()
    is_it, clusters = (rows["label"] == HEMORRHAGIC).to_numpy(), Clusters.of(rows["patient"], len(rows))
    return share_figure(called, is_it, clusters), share_figure(~called, ~is_it, clusters)


def in_markdown(measured: Measured, version: str) -> str:
    found = measured.trained.found
    real, people, infarcts = found.report(), found.patient_report(), found.simulated_report(ISCHEMIC)
    alike = balanced(found)
    calibrated, raw = _report(found, alike), _report(found, alike, "raw_")
    answered = alike[alike["answered"]]
    sensitivity, specificity = at_operating_point(found)
    there, here, cpaisd = measured.cpaisd
    images = sum(row.images for row in measured.others)
    slices_within, patients_within, infarcts_within = within_folds(found)
    return (ROOT / "benchmarks" / "model_card_template.md").read_text().format(
        version=version,
        scans=real.n,
        patients=real.patients,
        hemorrhage=_auc_and_more({"Per slice": real, "Per patient": people}, HEMORRHAGIC),
        infarct=with_interval(infarcts.per_class[ISCHEMIC].auc),
        slices_within=f"{slices_within:.2f}",
        patients_within=f"{patients_within:.2f}",
        infarcts_within=f"{infarcts_within:.2f}",
        infarct_n=how_many(infarcts.per_class[ISCHEMIC].auc),
        infarct_own=with_interval(against_own_slices(found)),
        three=_three(
            {
                "All": calibrated,
                "Where it answered": _report(found, answered),
                "Sent from elsewhere": _report(found, alike, "sent_"),
                "Where it answered then": _report(found, alike[alike["sent_answered"]], "sent_"),
            }
        ),
        answered=measured_percent(len(answered) / len(alike)),
        sent_answered=measured_percent(alike["sent_answered"].mean()),
        each=len(alike) // len(found.classes),
        sensitivity=f"{with_interval(sensitivity)} ({how_many(sensitivity)})",
        specificity=f"{with_interval(specificity)} ({how_many(specificity)})",
        subtypes=_kinds(measured.subtypes),
        kinds=_kinds(measured.kinds),
        calibration=_calibration(raw, calibrated),
        risk=_risk(calibrated),
        cpaisd_there=f"{there:.2f}",
        cpaisd_here=f"{here:.2f}",
        cpaisd_auc=with_interval(cpaisd),
        others=flags.in_markdown(measured.others),
        caught=measured_percent(sum(row.share * row.images for row in measured.others) / images, 1),
        other_images=images,
        strangers=flags.in_markdown(measured.strangers),
        false_flags=f"{with_interval(flags.false_flags(found))} ({how_many(flags.false_flags(found))})",
        robust=robustness.in_markdown(measured.robust),
        alarms=false_alarms.in_markdown(measured.alarms),
        large=large_lesions.in_markdown(measured.large),
        cpaisd_answers=measured.answers[0],
        ge_answers=measured.answers[1],
        ge_other_answers=measured.answers[2],
        ge_there=f"{measured.ge[0]:.2f}",
        ge_elsewhere=f"{measured.ge[1]:.2f}",
        arch=measured.trained.recipe.arch,
        first_size=measured.trained.recipe.size_in(1),
        image_size=measured.trained.recipe.image_size,
        weights=f"{sum(weights.numel() for weights in measured.trained.whole.network.parameters()) / 1e6:.1f}",
        failures=failures(found),
        folds=FOLDS,
        torch=torch.__version__,
    )  # fmt: skip


def _lines(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _auc_and_more(reports: dict[str, Report], label: str) -> str:
    rows = [["", *reports], ["---"] * (1 + len(reports))]
    rows.append(["n", *(f"{r.n} of {r.patients} patients" for r in reports.values())])
    for key, words in BY_CLASS.items():
        rows.append([words, *(with_interval(getattr(r.per_class[label], key)) for r in reports.values())])
    return _lines(rows)


def _three(reports: dict[str, Report]) -> str:
    rows = [["", *reports], ["---"] * (1 + len(reports))]
    rows.append(["n", *(f"{r.n} of {r.patients} patients" for r in reports.values())])
    for key, words in OVERALL.items():
        rows.append([words, *(with_interval(getattr(r, key)) for r in reports.values())])
    for label in next(iter(reports.values())).classes:
        recalls = (with_interval(r.per_class[label].recall) for r in reports.values())
        rows.append([f"{in_words(label)}: {BY_CLASS['recall']}", *recalls])
    return _lines(rows)


def _kinds(rows: list[tuple[str, Figure, int]]) -> str:
    return _lines([[name, str(count), with_interval(figure)] for name, figure, count in rows])


def _calibration(raw: Report, scans: Report) -> str:
    rows = [[name, with_interval(r.ece), with_interval(r.brier)] for name, r in (("Before", raw), ("After", scans))]
    change = f"The error after calibration is {scans.ece.value / raw.ece.value:.2f} times that before"
    return f"{_lines(rows)}\n\n{change} ({how_many(scans.ece)})."


def _risk(report: Report) -> str:
    curve = report.risk_coverage
    risks = np.interp(COVERAGES, curve.coverage, curve.risk)
    return _lines([[measured_percent(c), measured_percent(risk, 1)] for c, risk in zip(COVERAGES, risks, strict=True)])


if __name__ == "__main__":
    main()
