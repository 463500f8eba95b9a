"""Who has which scan before them just now, so that readers who go through the same list do not read the same scans."""

import time

LEFT_AFTER_S = 600
"""Whoever has not been heard of for so long is taken to have gone."""


class Desks:
    """The scan that each reader has before them. May be asked and told from any thread."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[int, float]] = {}

    def take(self, reader: str, scan_id: int) -> None:
        """`reader` has this scan before them, and no other."""
        self._of[reader] = scan_id, time.monotonic()

    def taken(self, but_of: str) -> set[int]:
        """Ids of the scans that other readers have before them."""
        now, known = time.monotonic(), list(self._of.items())
        return {scan for reader, (scan, at) in known if reader != but_of and now - at < LEFT_AFTER_S}
