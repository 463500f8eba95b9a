"""How the case log stands: counts for the start page, and what there is to ask figures of."""

from dataclasses import dataclass

from core.labels import CLASSES
from core.reading import NOT_HEAD_CT, SEEN_IN_TRAINING, UNCERTAIN
from db import queries, review_queries
from services.models import champion, is_demonstration, list_versions, preferred
from services.review import cases, held_back, queue
from services.workspace import Workspace


@dataclass(frozen=True)
class Overview:
    """What the start page tells."""

    scans: int
    synthetic: int
    waiting: int  # for this reader
    reviewed: int
    disputed: int  # as far as this reader may know it
    agreeing: int  # of `comparable`, those where label and reading are the same
    # scans with a label that is a class, and an answer of a model that was not trained on the patient: it neither
    # abstains nor flags
    comparable: int
    compared_on_demo: bool  # these scans are synthetic, for want of others
    uncertain_waiting: int  # of `waiting`, where the model abstains, as far as its answers may be known


def overview(ws: Workspace, reader: str, *, blind_first: bool = False) -> Overview:
    """Counts over the whole case log; the agreement is without scans whose answers `reader` must not learn yet
    (`held_back`). Of real scans the readings of the model that serves count, and no other's; demo cases are read by
    demonstration models."""
    serving = champion(ws)
    found = {case.scan.id: case for case in cases(ws, reader, blind_first=blind_first)}
    reviewed = [i for i, case in found.items() if case.verdict]
    with ws.db.reading() as session:
        readings = queries.readings(session, prefer=preferred(ws), scan_ids=reviewed)
    demo = {i for i, case in found.items() if case.scan.synthetic}
    readings = {i: reading for i, reading in readings.items() if i in demo or reading.model_version == serving}
    waiting = [found[i] for i in queue(list(found.values()))]
    verdicts = [case.verdict for case in found.values() if case.verdict]
    not_counted = {NOT_HEAD_CT, UNCERTAIN, SEEN_IN_TRAINING}
    answered = {i for i, reading in readings.items() if not not_counted & set(reading.flags)}
    answered -= held_back(ws, reader)
    labelled = [v for v in verdicts if v.label in CLASSES and v.scan_id in answered]
    real = [v for v in labelled if v.scan_id not in demo]
    labelled = real or labelled
    return Overview(
        scans=len(found),
        synthetic=len(demo),
        waiting=len(waiting),
        reviewed=len(verdicts),
        disputed=sum(case.state == "readers differ" for case in found.values()),
        agreeing=sum(v.label == readings[v.scan_id].label for v in labelled),
        comparable=len(labelled),
        compared_on_demo=bool(labelled) and not real,
        uncertain_waiting=sum(
            case.reading is not None and not case.outdated and UNCERTAIN in case.reading.flags for case in waiting
        ),
    )


def model_versions(ws: Workspace, *, synthetic: bool | None = None) -> list[str]:
    """Versions there are figures of, or would be once they have read the scans, newest first: of either kind of scans,
    or of the one that is named. Demo cases are demonstrations' to read, real scans are not."""
    with ws.db.reading() as session:
        known = queries.versions_with_readings(session, synthetic=synthetic)
    known |= {
        version.name
        for version in list_versions(ws)
        if version.manifest and synthetic in (None, version.manifest.demonstration)
    }
    return sorted(known, reverse=True)  # their names begin with the day


def version_to_ask(ws: Workspace, versions: list[str]) -> str:
    """Of these the one that serves; as long as only demo cases have been reviewed, the newest that reads those."""
    serving = champion(ws)
    if not has_real_reviews(ws):
        versions = [version for version in versions if is_demonstration(ws, version)] or versions
    return serving if serving in versions else versions[0]


def has_real_reviews(ws: Workspace) -> bool:
    """Whether anybody has reviewed a scan that is not synthetic."""
    with ws.db.reading() as session:
        return review_queries.has_real_reviews(session)


def readers(ws: Workspace) -> list[str]:
    """Everybody who has reviewed a scan."""
    with ws.db.reading() as session:
        return review_queries.readers(session)


def sources(ws: Workspace) -> list[str]:
    """Every way by which scans have come in."""
    with ws.db.reading() as session:
        return sorted(set(queries.sources(session).values()))
