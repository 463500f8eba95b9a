"""Which stored scan an arriving one nearly copies: the same slice exported again, rescaled or saved as another JPG."""

import numpy as np
from sqlalchemy.orm import Session

from core.likeness import HASH_DISTANCE, NEAR_DIFFERENCE, Appearance, appearance, distances
from core.scan import UnreadableScan
from db import queries
from db.images import ImageMissing
from services.workspace import Workspace, stored_scan

LOOKED_AT = 3
"""Of the stored scans whose hash is near, so many of the nearest are compared themselves."""


class Resemblances:
    """The stored scans' hashes, and which of them an arriving scan resembles."""

    def __init__(self, ws: Workspace, session: Session) -> None:
        self._ws = ws
        self._rows = queries.looks(session)
        self._bits = np.array([_bits(row.look) for row in self._rows], np.uint64).reshape(-1, 4)

    def of(self, seen: Appearance, study_key: str | None) -> queries.LookRow | None:
        """The stored scan that shows nearly the same image. Slices of one study may be alike and are no copies."""
        if seen.shows_nothing:
            return None
        away = distances(seen.bits, self._bits)
        order = np.argsort(away, kind="stable")
        near = (self._rows[place] for place in order[away[order] <= HASH_DISTANCE].tolist())
        others = [row for row in near if row.study_key != study_key]
        return next((row for row in others[:LOOKED_AT] if self._difference(seen, row) < NEAR_DIFFERENCE), None)

    def _difference(self, seen: Appearance, row: queries.LookRow) -> float:
        try:
            return seen.difference(appearance(stored_scan(self._ws, row.content_hash)))
        except (ImageMissing, UnreadableScan):  # its loss is told where it is opened
            return 1.0

    def add(self, row: queries.LookRow) -> None:
        """A scan that has just been stored can be resembled too."""
        self._rows.append(row)
        self._bits = np.concatenate([self._bits, _bits(row.look)[None]])


def _bits(stored: bytes) -> np.ndarray:
    return np.frombuffer(stored, "<u8")


def to_bytes(seen: Appearance) -> bytes:
    """How a hash stands in the case log."""
    return seen.bits.astype("<u8").tobytes()
