"""Scans and heat maps as PNG, for screens. What is shown is never what is stored."""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from core.preprocess import WINDOWS, Box, windowed
from core.scan import Scan
from db import models, queries
from db.queries import ScanRow
from services.workspace import Workspace, stored_scan

HEAT_SIDE = 256
REACH = 3
_INFERNO = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float64
)  # matplotlib's inferno at five points: ordered by lightness, so that it reads without colour vision too


def scan_png(ws: Workspace, content_hash: str, window: str, side: int | None = None) -> bytes:
    """The whole scan, 8-bit grey, in the window named; with `side` no longer or wider than that."""
    image = _grey(stored_scan(ws, content_hash), window)
    if side:
        image.thumbnail((side, side))
    return _png(image)


class Neighbour(NamedTuple):
    """A slice of the same study near another one."""

    content_hash: str
    step: int  # slices further on, by the order of their places; below 0 before it
    away: str  # how far


def neighbours(ws: Workspace, scan: ScanRow) -> list[Neighbour]:
    """Up to `REACH` slices on either side of a scan, to look at; none where its file names no study or no place in it.

    A study may hold the same places several times over, with another kernel, in thinner slices, or with contrast: each
    place is taken once, by slices as thick as the scan's, and by the one that came in nearest to it, which is of its
    own series where series came in one after the other.
    """
    if scan.number is None:
        return []
    with ws.db.reading() as session:
        rows = queries.alike_in_study(session, scan)
    nearest_last = sorted(rows, key=lambda row: -abs(row.id - scan.id))
    by_place = {row.number: row for row in nearest_last if row.number is not None}
    before = sorted(number for number in by_place if number < scan.number)[-REACH:]
    after = sorted(number for number in by_place if number > scan.number)[:REACH]
    steps = [*range(-len(before), 0), *range(1, len(after) + 1)]
    return [
        Neighbour(by_place[number].content_hash, step, _away(number, scan.number, in_mm=scan.in_mm))
        for step, number in zip(steps, before + after, strict=True)
    ]


def _away(number: float, own: float, *, in_mm: bool) -> str:
    """In mm up or down, where the header gives a place; else by what it counts, whose direction is not known."""
    if not in_mm:
        return f"number {number:g} of its study instead of {own:g}"
    return f"{abs(number - own):.1f} mm {'higher' if number > own else 'lower'}"


def thumbnail(ws: Workspace, content_hash: str, side: int = 96) -> str:
    """A small square picture as a data URI, brain window."""
    image = _grey(stored_scan(ws, content_hash), "Brain")
    image.thumbnail((side, side))
    square = Image.new("L", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    out = io.BytesIO()
    square.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


class Heat(NamedTuple):
    """A heat map to lay over a scan."""

    png: bytes  # with transparency
    box: Box  # where over the scan it belongs
    of: str  # the class whose evidence it shows


def heat_png(ws: Workspace, reading_id: int) -> Heat | None:
    """The reading's heat map; None where it is empty."""
    with ws.db.reading() as session:
        row = session.get(models.Reading, reading_id)
        if row is None:  # taken back with its batch, a moment ago
            return None
        heat, shape, of = row.heat, row.heat_shape["shape"], row.heat_shape.get("of", row.label)
        x0, y0, x1, y1 = row.heat_shape["box"]
    level = np.frombuffer(heat, np.uint8).reshape(shape)
    if not level.any():
        return None
    smooth = Image.fromarray(level).resize((HEAT_SIDE, HEAT_SIDE), Image.Resampling.BICUBIC)
    t = np.asarray(smooth, np.float64) / 255
    stops = np.linspace(0, 1, len(_INFERNO))
    colour = np.stack([np.interp(t, stops, _INFERNO[:, i]) for i in range(3)], axis=-1)
    alpha = np.clip((t - 0.15) / 0.5, 0, 1) * 255
    return Heat(_png(Image.fromarray(np.dstack([colour, alpha]).astype(np.uint8), "RGBA")), (x0, y0, x1, y1), of)


def _grey(scan: Scan, window: str) -> Image.Image:
    return Image.fromarray((windowed(scan, WINDOWS[window]) * 255).astype(np.uint8))


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()
