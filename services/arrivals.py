"""Whose an arriving scan is: its patient, its study, its split, and what it nearly copies."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from sqlalchemy.orm import Session

from core import manifest as manifests
from core.burned_in import BURNED_IN
from core.labels import SHARES, SPLITS
from core.likeness import Appearance
from core.pseudonym import UNNAMED, unnamed
from core.reading import SEEN_IN_TRAINING
from core.scan import ASSUMED_BITS, AVERAGED, COLOURED, COLOURED_NOTE, CONTRAST, CONTRAST_NOTE, Meta, Scan
from core.slabs import THIN_MM
from db import queries
from db.queries import LookRow
from services.models import trained_patients
from services.resemblance import Resemblances, to_bytes
from services.workspace import Workspace

NOTES = {COLOURED: COLOURED_NOTE, CONTRAST: CONTRAST_NOTE}
"""What a scan's `meta` says, and what there is to say of it."""
BURNED_IN_NOTE = (
    "Letters seem to be burned into the image: make sure that they name nobody. Where they do, undo its batch before "
    "anybody reviews it."
)
ANOTHER_PATIENT = "another_patient"
"""How a scan's `meta` says that its file names another patient than the one whose study it belongs to."""
ANOTHER_PATIENT_NOTE = (
    "The file names another patient than the one it is filed under: make sure whose it is before it is used."
)


def is_another(named: str | None, patient_key: str) -> bool:
    """Whether a file names another patient than the one its scan is filed under, whom another file has named."""
    return named is not None and named != patient_key and not patient_key.startswith(UNNAMED)


def of_thickness(meta: Meta) -> list[str]:
    """That a scan is the mean of several slices, or as thin as those of which means are made."""
    if AVERAGED in meta:
        return [f"The mean of {meta[AVERAGED]:g} neighbouring thin slices."]
    thick = meta.get("SliceThickness", 0)
    if not isinstance(thick, float) or not 0 < thick < THIN_MM:
        return []
    return [f"Only {thick:g} mm thick, so it is noisy: where there is a series of about 5 mm, upload that."]


@dataclass(frozen=True)
class Arrival:
    """A scan the log has not met, and whose it is."""

    digest: str
    scan: Scan
    patient_key: str
    study_key: str
    look: bytes
    other: LookRow | None  # an earlier scan that shows nearly the same image
    synthetic: bool

    def resembles(self, ids: dict[str, int]) -> int | None:
        """Id of that scan, which may have been stored a moment ago."""
        return (self.other.id or ids[self.other.content_hash]) if self.other else None

    def note(self, ids: dict[str, int]) -> str | None:
        """What whoever sent it should know."""
        said = []
        if self.other:
            said.append(f"Nearly the same image as scan {self.resembles(ids)}, which is in the case log too.")
        if BURNED_IN in self.scan.meta and not self.synthetic:
            said.append(BURNED_IN_NOTE)
        if ANOTHER_PATIENT in self.scan.meta:
            said.append(ANOTHER_PATIENT_NOTE)
        said += [note for fact, note in NOTES.items() if fact in self.scan.meta] + of_thickness(self.scan.meta)
        if bits := self.scan.meta.get(ASSUMED_BITS):
            said.append(
                f"The image does not say how deep its grey is: it was taken for {bits:g} bits. "
                "Where it looks too dark or too bright, send the scan as DICOM."
            )
        return " ".join(said) or None


def arrivals_of(
    ws: Workspace,
    session: Session,
    resemblances: Resemblances,
    new: dict[str, Scan],
    again: dict[int, Scan],
    seen: dict[str, Appearance],
    synthetic: bool,
) -> tuple[list[Arrival], list[dict[str, Any]]]:
    """Whose each new scan is. A study is one patient's: whom its first scan named. One that names nobody belongs to
    the patient of the scan that it nearly copies, so that copies do not stand on two sides of a split; else it is a
    patient and a study of its own. `again`: scans the log has, by id, that come with their patient's name now.
    Also what has been made one patient's by them, as `batch_queries.give_back` takes it."""
    owners = _Owners(ws, session, new.values())
    resemblances.catch_up(session)
    for row in queries.scans(session, ids=again):
        owners.are_one(row.patient_key, again[row.id].patient_key or row.patient_key)
    arrivals = []
    for digest, scan in new.items():
        other = resemblances.of(session, seen[digest], scan.study_key)
        study = scan.study_key or f"study:{digest[:16]}"
        patient = owners.of(study, scan.patient_key, other.patient_key if other else unnamed(digest))
        if other:
            owners.are_one(patient, other.patient_key)
            owners.are_one(other.patient_key, patient)
        arrivals.append(Arrival(digest, scan, patient, study, to_bytes(seen[digest]), other, synthetic))
        resemblances.add(LookRow(digest, patient, study, arrivals[-1].look))
    return [_filed(one, owners.now(one.patient_key)) for one in arrivals], owners.joined


def _filed(one: Arrival, patient: str) -> Arrival:
    """Under the patient it belongs to in the end. A day is good among those of the patient whom the file names alone
    (`core.identity.relative_day`)."""
    scan = one.scan
    if scan.patient_key not in (None, patient):
        meta = {fact: value for fact, value in scan.meta.items() if fact != "day"}
        scan = replace(scan, meta=meta | ({ANOTHER_PATIENT: 1.0} if is_another(scan.patient_key, patient) else {}))
    return replace(one, scan=scan, patient_key=patient)


class _Owners:
    """Whose studies are. A patient whom no file named gets their name when one does, unless somebody has begun to work
    with their scans: then they stay who they are."""

    def __init__(self, ws: Workspace, session: Session, scans: Iterable[Scan]) -> None:
        self._ws, self._session = ws, session
        self._names: dict[str, str] = {}  # of a patient nobody had named -> whose studies theirs are
        self.joined: list[dict[str, Any]] = []
        scans = list(scans)
        self._of_study = queries.patients_of_studies(session, {scan.study_key or "" for scan in scans})
        for scan in scans:
            if scan.study_key and scan.patient_key:
                self.are_one(self._of_study.setdefault(scan.study_key, scan.patient_key), scan.patient_key)

    def of(self, study: str, named: str | None, otherwise: str) -> str:
        return self.now(self._of_study.setdefault(study, named or otherwise))

    def now(self, patient: str) -> str:
        while patient in self._names:
            patient = self._names[patient]
        return patient

    def are_one(self, earlier: str, later: str) -> None:
        """The earlier one's studies are the later one's, where nobody had named the earlier one."""
        earlier, later = self.now(earlier), self.now(later)
        if earlier == later or not earlier.startswith(UNNAMED) or queries.is_used(self._session, earlier):
            return
        dealt = queries.splits(self._session, [earlier, later])
        if dealt.get(earlier) != dealt.get(later, dealt.get(earlier)) and self._was_trained_on(earlier):
            return
        self._names[earlier] = later
        split = dealt.get(earlier) or split_of(later)  # splits are for good
        queries.add_patients(self._session, {later: split})
        studies = queries.give_studies(self._session, earlier, later)
        self.joined.append({"patient": earlier, "split": split, "studies": studies, "now": later})
        for version in queries.versions_with_readings(self._session, patient_key=later):
            if later in trained_patients(self._ws, version):
                queries.flag_readings(self._session, version, later, SEEN_IN_TRAINING)

    def _was_trained_on(self, patient: str) -> bool:
        """Whether a version of this home was, before the image came here."""
        made_here = manifests.versions(self._ws.models_dir)
        return any(patient in trained_patients(self._ws, folder.name) for folder in made_here)


def splits_of(session: Session, arrivals: Sequence[Arrival], parts: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Patient -> split at first sight: that of an image that was dealt one before anybody named it, for splits are for
    good, and what has been trained on comes first; else by the key. `parts`: of a mean, the slices it is made of, which
    may have been dealt one by themselves."""
    keys = {one.digest: [unnamed(image) for image in (one.digest, *parts.get(one.digest, ()))] for one in arrivals}
    dealt = queries.splits(session, [key for of_one in keys.values() for key in of_one])
    first = {
        digest: next((split for split in SPLITS if split in {dealt.get(key) for key in of_one}), None)
        for digest, of_one in keys.items()
    }
    found = dict[str, str]()
    for one in sorted(arrivals, key=lambda one: [*SPLITS, None].index(first[one.digest])):
        found.setdefault(one.patient_key, first[one.digest] or split_of(one.patient_key))
    return found


def split_of(patient_key: str) -> str:
    """The split of a patient at first sight, from a salted hash of the key."""
    place = share(f"split|{patient_key}")
    return SPLITS[sum(place >= bound for bound in accumulate(list(SHARES.values())[:-1]))]


def share(text: str) -> float:
    """A number in [0, 1) that `text` alone decides, evenly spread over texts."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12
