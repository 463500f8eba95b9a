"""Readers meet scans: what waits, what may be shown, and their verdicts."""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from core.labels import CLASSES, VERDICTS, in_words
from core.reading import abstains, certainty, not_head_ct
from db import audit, batch_queries, models, queries, review_queries
from db.queries import ReadingRow, ScanRow
from db.review_queries import Verdict
from services.models import preferred
from services.workspace import Workspace

State = Literal["not read yet", "confirmed", "corrected", "read", "unsure", "unusable", "readers differ"]

UNNAMED_READER = "Reader 1"
"""Who reads where nobody has given a name: anybody."""
TITLE_LETTERS = 8
"""Of a pseudonym, on screen: six would give two of 5,000 patients the same name more often than not."""


class ScanChanged(RuntimeError):
    """A review of the scan has been filed since it was shown; nothing was stored."""


class NoSuchScan(LookupError):
    """The case log has no scan with that number."""


@dataclass(frozen=True)
class Case:
    """A scan as one reader may see it. `reading` is None while it is hidden from them."""

    scan: ScanRow
    reading: ReadingRow | None
    hidden: bool  # there is a reading, not to be shown before this reader's verdict
    left: int  # for how many more of the patient's scans, drawn for the blind audit, it stays hidden after that
    shown: bool  # to this reader, now or once, it or a near copy's: a verdict to come does not count as blind
    verdict: Verdict | None
    state: State
    own_verdict: str | None  # what this reader said last
    outdated: bool = False  # the reading is not by the model that serves, which has not read the scan yet

    @property
    def title(self) -> str:
        """How a reader may call the scan: pseudonym and place, no name."""
        patient = self.scan.patient_key.rpartition(":")[2][:TITLE_LETTERS].upper()
        if self.scan.number is None:
            return f"Patient {patient}"
        place = f"at {self.scan.number:.1f} mm" if self.scan.in_mm else f"image {self.scan.number:g}"
        return f"Patient {patient} · {place}"

    def is_meant_by(self, words: str) -> bool:
        """Whether what a reader types names this scan: its number, or at least three letters that its patient's
        pseudonym begins with, for a pseudonym may begin with any short number. The pseudonym as its title has it, or
        whole as in a download. Nothing typed means every scan."""
        wanted = words.strip().casefold().removeprefix("scan ").removeprefix("patient ")
        if not wanted or wanted == str(self.scan.id):
            return True
        key, title = self.scan.patient_key.casefold(), self.title.casefold().removeprefix("patient ")
        pseudonym = key.rpartition(":")[2]
        wanted = wanted.removeprefix(key.removesuffix(pseudonym))
        return len(wanted) > 2 and (title.startswith(wanted) or pseudonym.startswith(wanted))


@dataclass(frozen=True)
class HistoryLine:
    """One review, for the scan's history."""

    at: datetime
    reader: str
    verdict: str
    blind: bool
    settles: bool  # what readers differed on


def known_reader(ws: Workspace, name: str) -> str:
    """Whoever enters a name that the case log has in another spelling is that reader."""
    with ws.db.reading() as session:
        return review_queries.spelling(session, name)


def new_click() -> str:
    """An id for one click, made when the button is drawn: sent twice, it is filed once."""
    return str(uuid.uuid4())


def cases(
    ws: Workspace,
    reader: str,
    *,
    blind_first: bool = False,
    ids: Collection[int] | None = None,
) -> list[Case]:
    """Scans with what `reader` may know of them, in the order of their studies."""
    with ws.db.reading() as session:
        rows = queries.scans(session, ids=ids)
        wanted = None if ids is None else [row.id for row in rows]
        serving, *_ = order = [*preferred(ws), None]
        readings = queries.readings(session, prefer=order, scan_ids=wanted)
        said = review_queries.latest_reviews(session, wanted)
        own = {i: review.verdict for i, reviews in said.items() for review in reviews if review.reader == reader}
        drawn = {row.patient_key for row in rows if row.audit}
        left = review_queries.left_to_read_blind(session, reader, drawn) if drawn else {}
        shown = review_queries.shown_to(session, reader, wanted)
    blind = blind_first or ws.settings.review.blind_first
    return [
        _case(
            row,
            readings.get(row.id),
            review_queries.verdict_of(said[row.id]) if row.id in said else None,
            own.get(row.id),
            blind,
            len(left.get(row.patient_key, set()) - {row.id}) if row.audit else 0,
            row.id in shown,
            serving,
        )
        for row in rows
    ]


def _case(
    row: ScanRow,
    reading: ReadingRow | None,
    verdict: Verdict | None,
    own: str | None,
    blind: bool,
    left: int,
    shown: bool,
    serving: str | None,
) -> Case:
    """A drawn patient's answers are shown together at the end: that to one slice would sway who reads the next."""
    hidden = reading is not None and _is_hidden(own is not None, drawn=row.audit, left=left, blind=blind)
    state = _state(reading, verdict)
    if hidden and state != "not read yet":
        state = "read"  # what it was would tell others' verdicts, or the model's answer
    told = None if hidden else reading
    outdated = told is not None and not row.synthetic and told.model_version != serving
    return Case(row, told, hidden, left, shown, verdict, state, own, outdated)


def _is_hidden(has_read: bool, *, drawn: bool, left: int, blind: bool) -> bool:
    """Whether a model's answer to a scan may not be shown to a reader who has read it, or has not; `left` of its
    patient's other scans drawn for the blind audit they have yet to read."""
    return left > 0 or (not has_read and (blind or drawn))


def _state(reading: ReadingRow | None, verdict: Verdict | None) -> State:
    if verdict is None:
        return "not read yet"
    if verdict.label is None:
        return "readers differ"
    if verdict.label not in CLASSES:
        return "unsure" if verdict.label == "unsure" else "unusable"
    if reading is None or not_head_ct(reading) or abstains(reading):
        return "read"
    return "confirmed" if reading.label == verdict.label else "corrected"


def batches(ws: Workspace) -> dict[int, tuple[str, datetime]]:
    """Batch id -> where it came from and when, newest first."""
    with ws.db.reading() as session:
        return {batch.id: (batch.source, batch.created_at) for batch in batch_queries.batches(session)}


def case(ws: Workspace, scan_id: int, reader: str, *, blind_first: bool = False) -> Case:
    """One scan. Raises NoSuchScan."""
    found = cases(ws, reader, blind_first=blind_first, ids=[scan_id])
    if not found:
        raise NoSuchScan(f"There is no scan {scan_id} in the case log.")
    return found[0]


def note_shown(ws: Workspace, case: Case, reader: str) -> None:
    """Remember that the model's answer stands beside a scan: a later verdict of `reader` on it is not blind, whatever
    they choose then, and whatever comes and hides it again."""
    if case.reading is None:
        return
    with ws.db.reading() as session:  # of this very image: a near copy's may be taken back
        known = session.get(models.Shown, (case.scan.content_hash, reader)) is not None
    if not known:
        pass_on_shown(ws, [case.scan.content_hash], reader)


def pass_on_shown(ws: Workspace, content_hashes: Collection[str], reader: str) -> None:
    """Remember the same of images that whoever is `reader` now has seen under no name."""
    with ws.db.writing() as session:
        review_queries.note_seen(session, reader, content_hashes)


def held_back(ws: Workspace, reader: str) -> frozenset[int]:
    """Scans that `reader` has a verdict on and whose answers are hidden all the same, until they have read the others
    of their patient: figures that count them would tell the answers to who filed them one by one."""
    with ws.db.reading() as session:
        return review_queries.begun_blind(session, reader)


def _least_certain(case: Case) -> Any:
    return case.scan.synthetic, certainty(case.reading) if case.reading else 1.0


def queue(
    found: list[Case], *, second_readings: bool = False, order: Callable[[Case], Any] = _least_certain
) -> list[int]:
    """Ids of the scans that wait for their reader, in an order: real ones first and the least certain first, unless
    another is named; those hidden from them evenly between.

    A case that is hidden has no reading to be sorted by, which would tell what the model thought of it; left to the
    end, the random audit stream would stay unread. With `second_readings` also those that another reader has read, as
    are in any case those of a drawn patient that they have begun: its answers are shown once they have read them all.
    """
    begun = {case.scan.patient_key for case in found if case.scan.audit and case.own_verdict is not None}
    waiting = [
        case
        for case in found
        if case.own_verdict is None
        and (second_readings or case.verdict is None or (case.scan.audit and case.scan.patient_key in begun))
    ]
    waiting.sort(key=lambda case: (order(case), case.scan.id))
    places: list[tuple[float, int]] = []
    for of in (False, True):
        part = [case.scan.id for case in waiting if case.hidden == of]
        places += [((i + 0.5) / len(part), scan_id) for i, scan_id in enumerate(part)]
    return [scan_id for _, scan_id in sorted(places)]


def read_by_others(ws: Workspace, scan_id: int, reader: str) -> bool:
    """Whether others have read a scan and `reader` has not. Of a patient drawn for the blind audit each reads all."""
    with ws.db.reading() as session:
        by = {review.reader for review in review_queries.history(session, scan_id)}
        return bool(by) and reader not in by and not queries.patients_drawn(session, [scan_id])


def openable(
    ws: Workspace, scan_ids: Collection[int], reader: str, *, blind_first: bool = False
) -> tuple[list[int], int]:
    """Of these scans, all read by a model, those whose answer `reader` may see, and how many that leaves out."""
    with ws.db.reading() as session:
        has_read = review_queries.read_by(session, reader, scan_ids)
        drawn = queries.patients_drawn(session, scan_ids)
        of_patient = review_queries.left_to_read_blind(session, reader, set(drawn.values()))
    blind = blind_first or ws.settings.review.blind_first

    def is_hidden(scan_id: int) -> bool:
        left = of_patient.get(drawn.get(scan_id, ""), set()) - {scan_id}
        return _is_hidden(scan_id in has_read, drawn=scan_id in drawn, left=len(left), blind=blind)

    shown = [scan_id for scan_id in scan_ids if not is_hidden(scan_id)]
    return shown, len(scan_ids) - len(shown)


def record(
    ws: Workspace,
    scan_id: int,
    *,
    reader: str,
    verdict: str,
    expected_version: int,
    click_id: str,
    blind: bool = False,
    adjudication: bool = False,
) -> models.Review:
    """File one review. The same `click_id` and verdict again return the review they made.

    Raises ValueError for an unknown verdict or no reader, NoSuchScan, and ScanChanged where the scan has been
    reviewed since `expected_version`, by another reader or with another verdict by the same click; but a reader's first
    verdict, if it is blind, is filed whatever another said meanwhile: it does not rest on that.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"got the verdict {verdict!r}, must be one of {', '.join(VERDICTS)}")
    if not models.fitting(reader):
        raise ValueError("A review needs its reader's name.")
    with ws.db.writing() as session:
        earlier = review_queries.review_by_click(session, click_id)
        if earlier and earlier.verdict != verdict:
            raise ScanChanged(
                f"You filed “{in_words(earlier.verdict)}” on this scan a moment ago, and that is stored. "
                "Choose again to change it."
            )
        if earlier:
            return earlier
        scan = session.get(models.Scan, scan_id)
        if scan is None:
            raise NoSuchScan(f"There is no scan {scan_id} in the case log.")
        reader = review_queries.spelling(session, reader)
        unseen = blind and not review_queries.may_have_seen(session, reader, scan_id)
        independent = unseen and not adjudication and not review_queries.read_by(session, reader, [scan_id])
        if scan.version != expected_version and not independent:
            raise ScanChanged(_who_was_faster(session, scan_id, told=not blind))
        counts = review_queries.verdicts(session, [scan_id]).get(scan_id)
        adjudication = adjudication or (counts is not None and counts.settled_by == reader)  # a second thought
        review = models.Review(
            scan_id=scan_id,
            reader=reader,
            verdict=verdict,
            blind=unseen,
            adjudication=adjudication,
            click_id=click_id,
        )
        scan.version += 1
        session.add(review)
        session.flush()
        detail = {"scan": scan_id, "review": review.id, "verdict": verdict, "blind": unseen, "settles": adjudication}
        audit.append(session, review.reader, "review", detail)
        review_queries.note_told(session, reader, scan_id)
        return review


def _who_was_faster(session: Session, scan_id: int, *, told: bool) -> str:
    """With what verdict is not told to one who reads blind: it sways as the model's answer does."""
    last = review_queries.history(session, scan_id)[-1]
    what = f"“{in_words(last.verdict)}”" if told else "a verdict"
    return (
        f"{last.reader} filed {what} on this scan while you were looking at it. "
        "Your verdict was not stored; look again and decide."
    )


def latest_verdicts(lines: Sequence[HistoryLine]) -> dict[str, str]:
    """Reader -> what each said last, of a scan's history, who spoke last first."""
    said: dict[str, str] = {}
    for line in lines:
        said.setdefault(line.reader, line.verdict)
    return said


def history(ws: Workspace, scan_id: int) -> list[HistoryLine]:
    """Every review of a scan, newest first."""
    with ws.db.reading() as session:
        found = review_queries.history(session, scan_id)
    return [HistoryLine(r.created_at, r.reader, r.verdict, r.blind, r.adjudication) for r in reversed(found)]
