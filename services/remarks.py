"""What there is to know of a scan beside its picture and its answer, in sentences."""

from core.burned_in import BURNED_IN
from core.reading import ENHANCED, MARKED
from db import queries
from services.arrivals import ANOTHER_PATIENT, ANOTHER_PATIENT_NOTE, BURNED_IN_NOTE, NOTES, of_thickness
from services.review import Case
from services.workspace import Workspace


def alarms(ws: Workspace, case: Case) -> list[str]:
    """What a reader must know before a verdict: that it may be filed under the wrong patient."""
    with ws.db.reading() as session:
        meta = queries.metas(session, [case.scan.id]).get(case.scan.id, {})
    return [ANOTHER_PATIENT_NOTE] if ANOTHER_PATIENT in meta else []


def remarks(ws: Workspace, case: Case) -> list[str]:
    """What else there is to know of it."""
    said, scan = [], case.scan
    with ws.db.reading() as session:
        meta = queries.metas(session, [scan.id]).get(scan.id, {})
        first = queries.first_day(session, scan.patient_key) if "day" in meta else None
    if scan.resembles_id and not case.hidden:  # whose answer they may have seen
        said.append(f"Nearly the same image as scan {scan.resembles_id}.")
    if BURNED_IN in meta and not scan.synthetic:
        said.append(BURNED_IN_NOTE)
    if not case.reading or not {MARKED, ENHANCED} & set(case.reading.flags):  # else its answer says why it is none
        said += [note for fact, note in NOTES.items() if fact in meta]
    said += of_thickness(meta)
    if first is not None and meta["day"] > first:
        said.append(f"{meta['day'] - first:.0f} days after this patient's first study here.")
    return said
