"""Which of two versions serves: champion and candidate on the same held-out scans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.bundle import Bundle
from core.dataset import Examples
from core.evaluate import difference
from core.intervals import Figure
from core.labels import HEMORRHAGIC
from db import queries
from services import models as versions
from services.acquaintance import patients_met
from services.publishing import answers_of, measure
from services.workspace import Workspace

ACTOR = "retrain"
"""Who promotes where nobody clicks."""
_ROUNDING = 1e-9
"""Less than any scan's share: 0.7 less 0.8 is below -0.1."""


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
    wrong: Mapping[str, int]  # and how many of these answers are wrong
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
    of their hemorrhages, does not abstain on most that the champion answers, gives no more wrong answers than it, nor a
    larger share of them, or than `calibration.error_rate` allows, can say as much of its answers, and nobody has let
    another version serve since the training began.

    Without `serve` two demonstrations are compared for show: nothing is let serve.
    """
    compared = _compare(ws, champion, candidate, test)
    figures = _figures(ws, champion, candidate, test, compared)

    def ends(decision: str, reason: str) -> Decision:
        return Decision(decision, reason, champion.manifest.version, candidate.manifest.version, compared.metrics)

    if lost := _lost(champion, candidate):
        return ends(
            "kept", f"The champion stays: {figures}, but too few scans were there to give the candidate {lost}."
        )
    if reason := _objection(ws, champion, compared, figures):
        return ends("kept", f"The champion stays: {reason}")
    if not serve:
        return ends("kept", f"For show: {figures}. A demonstration does not take the place of a model of real scans.")
    try:
        versions.promote(ws, candidate.manifest.version, actor=ACTOR, instead_of=champion.manifest.version)
    except versions.ServesNoMore:
        return ends(
            "kept",
            f"Nothing changes: {figures}, but the champion does not serve any more: another version was let serve "
            "meanwhile, or its files were damaged. Retrain on what serves now.",
        )
    return ends("promoted", f"The candidate serves now: {figures}.")


def _compare(ws: Workspace, champion: Bundle, candidate: Bundle, test: Examples) -> _Compared:
    called, said, answers, wrong = {}, {}, {}, {}
    metrics: dict[str, Any] = {}
    for role, model in (("champion", champion), ("candidate", candidate)):
        known = model.manifest.classes
        said[role], answered = answers_of(model, test)
        answers[role] = int(answered.sum())
        called[role] = [known[i] for i in said[role].argmax(axis=1)]
        wrong[role] = _wrong(test.labels, called[role], answered.tolist())
        metrics[role] = measure(said[role], test, known).to_json(curves=False)
    both_know = champion.manifest.classes, candidate.manifest.classes
    gains = difference(test.labels, said["champion"], said["candidate"], both_know, patients=test.patients)
    metrics["answered"], metrics["answered_wrongly"] = answers, wrong
    metrics["accuracy_gain"] = gains["accuracy"].to_json()
    metrics["gains"] = {name: figure.to_json() for name, figure in gains.items()}
    metrics["test_patients_the_champion_was_trained_on"] = _met(ws, champion, test)
    metrics["test_patients_the_candidate_was_trained_on"] = _met(ws, candidate, test)
    return _Compared(test.labels, called, answers, wrong, gains["accuracy"], metrics)


def _figures(ws: Workspace, champion: Bundle, candidate: Bundle, test: Examples, compared: _Compared) -> str:
    """What was found, and whom it flatters, as part of a sentence."""
    did = {
        role: f"is right on {_right(test.labels, of)} and answers {compared.answers[role]}, "
        f"{compared.wrong[role] or 'none'} of them wrongly"
        for role, of in compared.called.items()
    }
    figures = (
        f"on {len(test)} held-out scans of {len(set(test.patients))} patients the candidate {did['candidate']}; the "
        f"champion {did['champion']}"
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


def _objection(ws: Workspace, champion: Bundle, compared: _Compared, figures: str) -> str | None:
    """Why what was found speaks for the champion; None where it does not."""
    rule, answers, wrong = ws.settings.retrain, compared.answers, compared.wrong
    if compared.gain.value < -rule.margin - _ROUNDING:
        return f"{figures}."
    found, before = (_hemorrhages(compared.labels, compared.called[role]) for role in ("candidate", "champion"))
    if found < before:
        return (
            f"{figures}, but of {list(compared.labels).count(HEMORRHAGIC)} hemorrhagic ones the candidate finds "
            f"{found}, the champion {before}."
        )
    if champion.manifest.demonstration:  # which answers without grounds
        return None if answers["candidate"] else f"{figures}. A model that answers nothing is of little use."
    if answers["candidate"] < max(1, rule.min_answered * answers["champion"]):
        return f"{figures}. A model that answers so much less is of little use."
    asked = ws.settings.calibration.error_rate
    # its share of fewer answers, to the next whole scan
    as_before = -(-wrong["champion"] * answers["candidate"] // max(1, answers["champion"]))
    if wrong["candidate"] > max(min(wrong["champion"], as_before), asked * answers["candidate"]):
        more = "More answers are" if wrong["candidate"] > wrong["champion"] else "A larger share of the answers is"
        return f"{figures}. {more} wrong than before, and more than {asked:.0%} of those given."
    return None


def _met(ws: Workspace, model: Bundle, test: Examples) -> int:
    """How many of the patients it was trained on."""
    with ws.db.reading() as session:
        scans, parts = queries.scans(session), queries.parts_of(session)
    return len(patients_met(scans, parts, model.manifest.patients.get("train", ())) & set(test.patients))


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


def _wrong(labels: Sequence[str], called: Sequence[str], answered: Sequence[bool]) -> int:
    """How many of the answers given."""
    return sum(given and label != answer for label, answer, given in zip(labels, called, answered, strict=True))
