"""A trained network becomes a bundle: rules settled, figures measured, facts written down."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import bundle, outlier
from core.bundle import Bundle
from core.dataset import Examples
from core.evaluate import Report, evaluate
from core.labels import CLASSES, NO_STROKE, in_words
from core.manifest import Manifest
from core.preprocess import InputSpec
from core.pseudonym import unnamed
from core.settings import Recipe
from core.train import Fit, predict
from db import audit
from services.rules import Rules, predict_sent, settle, typical_of, usual_distances
from services.workspace import Workspace

SIMULATED_LIMIT = (
    "Its infarcts, and part of its hemorrhages, are simulated into real scans without a finding; probabilities take "
    "each class to be as common as the others."
)
UNTESTED = "Not tested on scans from other hospitals, scanners or windows than those it was trained on."


@dataclass(frozen=True)
class Origin:
    """Where a network comes from, as its manifest says."""

    trained_on: str
    limits: Sequence[str] = (UNTESTED,)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    parent: Manifest | None = None  # whose weights it began from; whom and what those have met, it has met
    demonstration: bool = False  # it has only met synthetic images
    mistaken: Mapping[str, str] = field(default_factory=dict)  # class -> what has been taken for it


def publish_fit(
    ws: Workspace,
    result: Fit,
    parts: dict[str, Examples],
    classes: tuple[str, ...],
    spec: InputSpec,
    recipe: Recipe,
    origin: Origin,
    *,
    usual: dict[str, Examples] | None = None,
    models_dir: Path | None = None,
) -> Manifest:
    """Settle the rules on validation scans, measure on validation and test scans, publish. What is simulated in a part
    has its say in the rules, and figures of its own.

    `usual`: what the flag "not a head CT" is to take for usual, where that is more than the parts' own scans.
    A demonstration has nothing to tell head CT from other images by.
    """
    asked = ws.settings.calibration
    said = {name: predict(result.network, part.x) for name, part in parts.items() if name != "train" and len(part)}
    sent = predict_sent(result.network, parts["validation"], recipe)
    balanced = recipe.simulation is not None or bool(origin.parent and origin.parent.calibration.balanced)
    rules = settle(said["validation"], parts["validation"], classes, asked, sent=sent, balanced=balanced)
    if not origin.demonstration:
        of = usual or parts
        typical = typical_of(result.network, of["train"], recipe)
        distances = usual_distances(typical, result.network, of["validation"], recipe)
        rules = replace(rules, typical=outlier.with_threshold(typical, distances, asked.false_flags))
    metrics = {
        what: measure(rules.probabilities(of)[places], parts[name].at(places), classes)
        for name, of in said.items()
        for what, places in _measured_apart(name, parts[name])
    }
    origin = replace(origin, limits=(*origin.limits, *_untried(parts, classes)))
    return publish_model(ws, result, parts, classes, spec, recipe, origin, rules, metrics, models_dir=models_dir)


def publish_model(
    ws: Workspace,
    result: Fit,
    parts: dict[str, Examples],
    classes: tuple[str, ...],
    spec: InputSpec,
    recipe: Recipe,
    origin: Origin,
    rules: Rules,
    metrics: dict[str, Report],
    *,
    models_dir: Path | None = None,
) -> Manifest:
    """Publish a network with the rules it answers by and what was measured of it."""
    parent = origin.parent
    patients = {name: {*part.patients, *image_keys(part).values()} for name, part in parts.items()}
    patients["train"] |= set(parent.patients.get("train", ()) if parent else ())
    facts: dict[str, Any] = {
        "arch": recipe.arch,
        "width": recipe.width,
        "head": recipe.head,
        "intensity": recipe.intensity,
        "upright": recipe.upright,
        "mirror": recipe.mirror,
        "classes": classes,
        "input_spec": spec.to_json(),
        "calibration": rules.calibration,
        "abstain_below": rules.abstain_below,
        "operating_points": rules.operating_points,
        "false_flags": ws.settings.calibration.false_flags if rules.typical else None,
        "simulated_classes": _simulated(classes, parts["train"], recipe, parent),
        "demonstration": origin.demonstration,
        "parent": parent.version if parent else None,
        "trained_on": origin.trained_on,
        "mistaken": _mistaken(parent, origin),
        "limits": (*_inherited(parent), *origin.limits, *_of_classes(classes)),
        "lineage": {
            **origin.lineage,
            "recipe": recipe.model_dump(mode="json"),
            "torch": torch.__version__,
            "best_epoch": result.best_epoch,
            "seconds": round(result.seconds, 1),
            "history": [asdict(epoch) for epoch in result.history],
        },
        "patients": {name: sorted(keys) for name, keys in patients.items()},
        "keyed_by": (parent.keyed_by if parent else None) or ws.pseudonym.fingerprint,
        "metrics": {name: report.to_json(curves=False) for name, report in metrics.items()},
    }
    manifest = bundle.publish(models_dir or ws.models_dir, result.network, facts, rules.typical)
    with ws.db.writing() as session:
        audit.append(session, "training", "publish", {"version": manifest.version, "parent": manifest.parent})
    return manifest


def image_keys(part: Examples) -> dict[int, str]:
    """Place -> the key that its image has alone, where nobody names its patient: who comes with a file of it elsewhere
    may be called otherwise than in the table that was trained on, or not at all."""
    hashes = enumerate(sample.content_hash for sample in part.samples)
    return {place: unnamed(digest) for place, digest in hashes if digest}


def _untried(parts: Mapping[str, Examples], classes: Sequence[str]) -> Iterator[str]:
    """Which answers were not validated, or not tested, or on simulated scans alone."""
    for part, what in (("validation", "its calibration knows nothing of"), ("test", "nobody has tested")):
        samples = parts[part].samples
        real, made = ({one.label for one in samples if (one.synthetic is None) == is_real} for is_real in (True, False))
        for name in classes:
            if name not in real:
                known = " but simulated ones" if name in made else ""
                on = " on real ones" if known else ""
                yield f"No scan of its {part} patients is {in_words(name).lower()}{known}: {what} this answer{on}."


REAL_FROM = 50
"""With fewer real scans of a class, what a version knows of it is still mostly what was learned from simulated ones."""


def _simulated(classes: tuple[str, ...], train: Examples, recipe: Recipe, parent: Manifest | None) -> tuple[str, ...]:
    """The classes learned from simulated scans, here or by whose weights these began from."""
    real = torch.bincount(train.y, minlength=len(classes)).tolist()
    before = parent.simulated_classes if parent else ()
    return tuple(
        name
        for name, scans in zip(classes, real, strict=True)
        if (recipe.simulation and not scans) or (name in before and scans < REAL_FROM)
    )


def _inherited(parent: Manifest | None) -> tuple[str, ...]:
    """What must be said of the version whose weights these began from, as said of that: its patients' number, its
    figures and how common it took classes to be are not true of this one."""
    if parent is None:
        return ()
    before = [limit for limit in parent.limits if _HOLDS in limit]
    own = " ".join(limit for limit in parent.limits if limit not in before)
    return (*before, *([f"Of {parent.version}{_HOLDS}“{own}”"] if own else []))


_HOLDS = ", from which it was trained on, this holds: "


def _mistaken(parent: Manifest | None, origin: Origin) -> dict[str, str]:
    """What was taken for each class, by the version whose weights these began from too."""
    seen: dict[str, str] = dict(parent.mistaken) if parent else {}
    for label, what in origin.mistaken.items():
        seen[label] = f"{seen[label]}; {what}" if label in seen else what
    return seen


def _of_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    """What it cannot answer."""
    unknown = [in_words(name).lower() for name in CLASSES if name not in classes]
    if not unknown:
        return ()
    return (f"It knows no answer {' and no answer '.join(unknown)}: it will call such a scan one of its classes.",)


def _measured_apart(name: str, part: Examples) -> Iterator[tuple[str, list[int]]]:
    """(what is measured, places) of a part: its real scans; and each class that was simulated into it, against real
    scans without stroke."""
    samples = list(enumerate(part.samples))
    yield name, [place for place, sample in samples if sample.synthetic is None]
    none = [place for place, sample in samples if sample.synthetic is None and sample.label == NO_STROKE]
    for label in sorted({sample.label for sample in part.samples if sample.synthetic is not None}):
        made = [place for place, sample in samples if sample.synthetic is not None and sample.label == label]
        yield f"{name}, {simulated_or_none(label)}", none + made


def simulated_or_none(label: str) -> str:
    """What figures are called that are of simulated scans of a class and real ones without stroke."""
    return f"simulated {in_words(label).lower()} scans or none"


def measure(probabilities: np.ndarray, part: Examples, classes: Sequence[str]) -> Report:
    """Figures on prepared scans, patients as the units that vary."""
    return evaluate(part.labels, probabilities, classes, patients=part.patients)


def answers_of(model: Bundle, part: Examples) -> tuple[np.ndarray, np.ndarray]:
    """A published model's calibrated probabilities, (N, C), for scans prepared as its spec says, and (N,) whether it
    answers: it neither abstains nor takes the image for no head CT."""
    of = model.manifest
    rules = Rules(of.calibration, of.abstain_below, of.operating_points, model.typical)
    p, _, answered = rules.applied(predict(model.network, part.x))
    return p, answered & ~part.withheld
