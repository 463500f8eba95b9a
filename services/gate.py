"""Which of two versions serves: champion and candidate on the same held-out scans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.bundle import Bundle
from core.dataset import Examples
from core.evaluate import difference
from core.intervals import Figure
from core.labels import HEMORRHAGIC
from services import models as versions
from services.publishing import answers_of, measure
from services.workspace import Workspace

ACTOR = "retrain"
"""Who promotes where nobody clicks."""


@dataclass(frozen=True)
class Decision:
    """How a retraining ended."""

    decision: str  # promoted, kept, refused
    reason: str
    champion: str | None
    candidate: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)  # plain types


@dataclass(frozen=True)
class _Compared:
    """Champion and candidate, by these names, on the same held-out scans."""

    labels: Sequence[str]
    called: Mapping[str, Sequence[str]]
    answers: Mapping[str, int]  # how many scans each answers
    gain: Figure  # of accuracy
    metrics: dict[str, Any]


def decide(
    ws: Workspace,
    champion: Bundle,
    candidate: Bundle,
    test: Examples,
    serve: bool = True,
) -> Decision:
    """The gate: the candidate serves where it is not worse than the champion on the same held-out scans, finds no fewer
    of their hemorrhages, does not abstain on most that the champion answers, can say as much of its answers, and
    nobody has let another version serve since the training began.

    Without `serve` two demonstrations are compared for show: nothing is let serve.
    """
    compared = _compare(champion, candidate, test)
    figures = _figures(ws, champion, candidate, test, compared)

    def ends(decision: str, reason: str) -> Decision:
        return Decision(decision, reason, champion.manifest.version, candidate.manifest.version, compared.metrics)

    if reason := _objection(ws, champion, candidate, compared, figures):
        return ends("kept", f"The champion stays: {reason}")
    if not serve:
        return ends("kept", f"For show: {figures}. A demonstration does not take the place of a model of real scans.")
    if lost := _lost(champion, candidate):
        return ends(
            "kept", f"The champion stays: {figures}, but too few scans were there to give the candidate {lost}."
        )
    try:
        versions.promote(ws, candidate.manifest.version, actor=ACTOR, instead_of=champion.manifest.version)
    except versions.ServesNoMore:
        return ends(
            "kept",
            f"Nothing changes: {figures}, but the champion does not serve any more: another version was let serve "
            "meanwhile, or its files were damaged. Retrain on what serves now.",
        )
    return ends("promoted", f"The candidate serves now: {figures}.")


def _compare(champion: Bundle, candidate: Bundle, test: Examples) -> _Compared:
    called, said, answers = {}, {}, {}
    metrics: dict[str, Any] = {}
    for role, model in (("champion", champion), ("candidate", candidate)):
        known = model.manifest.classes
        said[role], answered = answers_of(model, test.x)
        answers[role] = int(answered.sum())
        called[role] = [known[i] for i in said[role].argmax(axis=1)]
        metrics[role] = measure(said[role], test, known).to_json(curves=False)
    both_know = champion.manifest.classes, candidate.manifest.classes
    gains = difference(test.labels, said["champion"], said["candidate"], both_know, patients=test.patients)
    metrics["answered"] = answers
    metrics["accuracy_gain"] = gains["accuracy"].to_json()
    metrics["gains"] = {name: figure.to_json() for name, figure in gains.items()}
    metrics["test_patients_the_champion_was_trained_on"] = _met(champion, test)
    metrics["test_patients_the_candidate_was_trained_on"] = _met(candidate, test)
    return _Compared(test.labels, called, answers, gains["accuracy"], metrics)


def _figures(ws: Workspace, champion: Bundle, candidate: Bundle, test: Examples, compared: _Compared) -> str:
    """What was found, and whom it flatters, as part of a sentence."""
    right, answers = {role: _right(test.labels, of) for role, of in compared.called.items()}, compared.answers
    figures = (
        f"on {len(test)} held-out scans of {len(set(test.patients))} patients the candidate is right on "
        f"{right['candidate']} and answers {answers['candidate']}, the champion is right on {right['champion']} and "
        f"answers {answers['champion']}"
    )
    seen, seen_too = (
        compared.metrics[f"test_patients_the_{role}_was_trained_on"] for role in ("champion", "candidate")
    )
    if seen or seen_too:
        figures += (
            f" (the champion was trained on {seen} of these patients, the candidate on {seen_too}: that flatters)"
        )
    if any(versions.trained_elsewhere(ws, model.manifest) for model in (champion, candidate)):
        figures += (
            " (whether the champion was trained on further ones of these patients cannot be told: it, or what it goes "
            "on from, is from another installation)"
        )
    return figures


def _objection(ws: Workspace, champion: Bundle, candidate: Bundle, compared: _Compared, figures: str) -> str | None:
    """Why what was found speaks for the champion; None where it does not."""
    rule, answers = ws.settings.retrain, compared.answers
    if compared.gain.value < -rule.margin:
        return f"{figures}."
    found, before = (_hemorrhages(compared.labels, compared.called[role]) for role in ("candidate", "champion"))
    if found < before:
        return (
            f"{figures}, but of {list(compared.labels).count(HEMORRHAGIC)} hemorrhagic ones the candidate finds "
            f"{found}, the champion {before}."
        )
    least = 0 if champion.manifest.demonstration else rule.min_answered * answers["champion"]
    if answers["candidate"] < max(1, least):  # a demonstration answers without grounds
        return f"{figures}. A model that answers so much less is of little use."
    return None


def _met(model: Bundle, test: Examples) -> int:
    """How many of the patients it was trained on."""
    return len(model.manifest.met("train", test.patients, [sample.content_hash for sample in test.samples]))


def _lost(champion: Bundle, candidate: Bundle) -> str:
    """What the champion tells its readers that the candidate could not: a demonstration has nothing to lose."""
    if champion.manifest.demonstration:
        return ""
    has = [
        {
            "calibrated probabilities": bool(model.manifest.calibration.scans),
            "a confidence to abstain below": model.manifest.abstain_below is not None,
            "a point from which on hemorrhage is not excluded": HEMORRHAGIC in model.manifest.operating_points,
            "the flag for images that are no head CT": model.typical is not None,
        }
        for model in (champion, candidate)
    ]
    return ", ".join(what for what in has[0] if has[0][what] and not has[1][what])


def _hemorrhages(labels: Sequence[str], called: Sequence[str]) -> int:
    """How many of them are called so."""
    return sum(label == answer == HEMORRHAGIC for label, answer in zip(labels, called, strict=True))


def _right(labels: Sequence[str], called: Sequence[str]) -> int:
    return sum(label == answer for label, answer in zip(labels, called, strict=True))
