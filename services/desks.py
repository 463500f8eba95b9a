"""Who has which scan before them just now, so that readers who go through the same list do not read the same scans."""

import threading
import time
from collections.abc import Callable, Iterable

LEFT_AFTER_S = 600
"""Whoever has not been heard of for so long is taken to have gone."""


class Desks:
    """The scan that each reader has before them. May be asked and told from any thread."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[int, float]] = {}
        self._choosing = threading.Lock()

    def take(self, reader: str, scan_id: int) -> None:
        """`reader` has this scan before them, and no other."""
        self._of[reader] = scan_id, time.monotonic()

    def leave(self, reader: str) -> None:
        """`reader` has no scan before them any more, as who goes on under another name."""
        self._of.pop(reader, None)

    def take_first(self, reader: str, scan_ids: Iterable[int], is_done: Callable[[int], bool]) -> int | None:
        """Let `reader` have the first of these scans that is not done, and that no other reader has before them; None
        where there is none. Two who ask at once are given two."""
        with self._choosing:
            now, known = time.monotonic(), list(self._of.items())
            taken = {scan for of, (scan, at) in known if of != reader and now - at < LEFT_AFTER_S}
            chosen = next((i for i in scan_ids if i not in taken and not is_done(i)), None)
            if chosen is not None:
                self.take(reader, chosen)
        return chosen
