"""In which order the worklist has its scans."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from heapq import nlargest
from statistics import fmean
from typing import Any

from core.evaluate import SLICES_THAT_SPEAK
from core.labels import HEMORRHAGIC
from core.reading import certainty, hemorrhage_left_open, is_meaningless, not_head_ct
from db import queries
from services.review import Case
from services.workspace import Workspace

UNKNOWN = 0.5
"""The probability of hemorrhage where nothing is known: before all that the model thinks less likely than not."""
Place = Callable[[Case], Any]
"""What a scan is sorted by, smallest first."""


def in_place(ws: Workspace, scan_ids: Collection[int]) -> list[int]:
    """These scans study by study and slice by slice, whatever the model says of them; without those that are gone."""
    with ws.db.reading() as session:
        return [row.id for row in queries.scans(session, ids=scan_ids)]


def _newest(_cases: Sequence[Case]) -> Place:
    return lambda case: queries.listed(case.scan)


def _least_certain(_cases: Sequence[Case]) -> Place:
    return lambda case: certainty(case.reading) if case.reading else 2


def _most_certain(_cases: Sequence[Case]) -> Place:
    return lambda case: -certainty(case.reading) if case.reading else 2


def _hemorrhage(cases: Sequence[Case]) -> Place:
    """Real scans first, patient by patient, each by the slices that speak for them (`core.evaluate.per_patient`) and
    with the most suspicious first; what is hidden from the reader, and what seems to be no head CT (and to show no
    hemorrhage if it is one), at their end."""
    of_patients = defaultdict(list)
    for case in cases:
        if (told := _suspicion(case)) is not None:
            of_patients[case.scan.patient_key].append(told)
    patients = {key: fmean(nlargest(SLICES_THAT_SPEAK, told)) for key, told in of_patients.items()}

    def place(case: Case) -> Any:
        told, key = _suspicion(case), case.scan.patient_key
        return case.scan.synthetic, told is None, -patients.get(key, 0), key, -(told or 0), case.scan.number or 0

    return place


def _suspicion(case: Case) -> float | None:
    """The probability of hemorrhage, as far as the reader may know it: where the model's guess means nothing `UNKNOWN`,
    and of what seems to be no head CT only where a hemorrhage is to be looked for in case it is one."""
    reading = case.reading
    if reading is None or (not_head_ct(reading) and not hemorrhage_left_open(reading)):
        return None
    return UNKNOWN if is_meaningless(reading) else reading.probabilities.get(HEMORRHAGIC, 0.0)


ORDERS: Mapping[str, Callable[[Sequence[Case]], Place]] = {
    "newest first": _newest,
    "hemorrhage first": _hemorrhage,
    "least certain first": _least_certain,
    "most certain first": _most_certain,
}
"""By name; each is given the scans that it is to order."""
