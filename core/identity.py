"""Who a DICOM header says the patient is, as a keyed hash or not at all."""

import re
import unicodedata

from pydicom.dataset import Dataset

from core.pseudonym import Pseudonym
from core.scan import Meta

_ANONYMOUS = (
    r"anon|(ge)?(an|pseud)on(yme?|ymous|ymus|iem|im[oa]"
    r"|[iy]m[iy][sz](e|ee|ed|iert|ierung|eerd|erad|eret|ert|ad[oa]|at|z?at[oa]|ation)?)"
)
_UNKNOWN = (
    r"unknown|unk|unnamed|unbekannt(er)?|inconnue?|onbekend|sconosciut[oa]|desco(noc|nhec)id[oa]|okand|ukendt|ukjent"
)
_NOBODY = re.compile(
    rf"([ ^_-]*({_ANONYMOUS}|{_UNKNOWN}|no|test|dummy|notfall|emergency|urgence|trauma))*"
    r"([ ^_-]*(patiente?|paciente|paziente|name|p?id|male|female))*[ ^_-]*"
    r"|(un|not[ _-]?)(defined|available|known|specified|applicable|assigned)"
    r"|(phi )?removed( by .*)?|redacted|deleted|masked|hidden|blank|empty|de-?identified|none|null|n[./]?[an]\.?"
    r"|0+|9{5,}|x+|[?*._-]+"
)
"""What stands for a PatientID that was taken out. Taken for one, it would make strangers one patient."""


def folded(said: str) -> str:
    """Without brackets around it, capitals and accents."""
    letters = unicodedata.normalize("NFKD", said.strip("[](){}<> ").casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def is_taken_out(said: str) -> bool:
    """Whether what a tag says stands for nothing, or for what was taken out of it."""
    return bool(_NOBODY.fullmatch(folded(said)))


def patient_id(header: Dataset) -> str:
    """The PatientID, "" where there is none or what stands there names nobody."""
    value = str(header.get("PatientID", "")).strip()
    return "" if is_taken_out(value) else value


def identity_of(header: Dataset, tag: str, pseudonym: Pseudonym | None) -> str | None:
    """PatientID or StudyInstanceUID as a keyed hash; None where it is not there, what stands there identifies nothing,
    or there is no key."""
    value = patient_id(header) if tag == "PatientID" else uid_in(header, tag)
    return pseudonym.of(tag, value) if pseudonym and value else None


_UID = re.compile(r"\d+(\.\d+){2,}")


def uid_in(header: Dataset, tag: str) -> str:
    """Empty where there is none, or a word in its place, which would make one study of all."""
    value = str(header.get(tag, "")).strip()
    return value if _UID.fullmatch(value) else ""


def relative_day(header: Dataset, pseudonym: Pseudonym | None) -> Meta:
    """The study's `day`, good for the time between two studies of a patient and for nothing else (PS3.15 annex E,
    Retain Longitudinal Temporal Information with Modified Dates)."""
    patient, date = patient_id(header), str(header.get("StudyDate", "")).strip()
    day = pseudonym.day(patient, date) if pseudonym and patient else None
    return {} if day is None else {"day": day}
