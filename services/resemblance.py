"""Which stored scan an arriving one nearly copies: the same slice exported again, rescaled or saved as another JPG."""

from itertools import islice

import numpy as np
from sqlalchemy.orm import Session

from core.likeness import HASH_DISTANCE, NEAR_DIFFERENCE, Appearance, appearance, distances
from core.scan import UnreadableScan
from db import queries
from db.images import ImageMissing
from db.queries import LookRow
from services.workspace import Workspace, stored_scan

LOOKED_AT = 3
"""Of the stored scans whose hash is near, so many of the nearest are compared themselves."""


class Resemblances:
    """The stored scans' hashes, and which of them an arriving scan resembles. One for a whole intake: thousands of
    hashes would take longer to load for every few files than these to be read."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._rows: list[LookRow] = []
        self._bits = np.empty((0, 4), np.uint64)

    def catch_up(self, session: Session) -> None:
        """Begin a transaction: what has been stored since the last one can be resembled too, here or elsewhere."""
        self._rows = [row for row in self._rows if row.id is not None]
        came = queries.looks(session, after=self._rows[-1].id or 0 if self._rows else 0)
        self._bits = np.concatenate([self._bits[: len(self._rows)], *(_bits(row.look)[None] for row in came)])
        self._rows += came

    def of(self, session: Session, seen: Appearance, study_key: str | None) -> LookRow | None:
        """The stored scan that shows nearly the same image. Slices of one study may be alike and are no copies."""
        if seen.shows_nothing:
            return None
        away = distances(seen.bits, self._bits)
        order = np.argsort(away, kind="stable")
        near = (self._rows[place] for place in order[away[order] <= HASH_DISTANCE].tolist())
        still = (row if row.id is None else queries.look(session, row.id) for row in near)
        others = (row for row in still if row and row.study_key != study_key)
        return next((r for r in islice(others, LOOKED_AT) if self._difference(seen, r) < NEAR_DIFFERENCE), None)

    def _difference(self, seen: Appearance, row: LookRow) -> float:
        try:
            return seen.difference(appearance(stored_scan(self._ws, row.content_hash)))
        except (ImageMissing, UnreadableScan):  # its loss is told where it is opened
            return 1.0

    def add(self, row: LookRow) -> None:
        """A scan that is being stored can be resembled too."""
        self._rows.append(row)
        self._bits = np.concatenate([self._bits, _bits(row.look)[None]])


def _bits(stored: bytes) -> np.ndarray:
    return np.frombuffer(stored, "<u8")


def to_bytes(seen: Appearance) -> bytes:
    """How a hash stands in the case log."""
    return seen.bits.astype("<u8").tobytes()
