"""What outlives a page run. The only place with st.cache_*."""

from contextlib import suppress
from typing import Any

import streamlit as st

from core.reading import Model
from core.scan import UnreadableScan
from db.images import ImageMissing
from db.queries import ScanRow
from services import models, pictures, removal
from services.desks import Desks
from services.uploads import Upload
from services.workspace import Workspace, open_workspace

NEIGHBOUR_SIDE = 768
"""Pixels: three slices on either side travel with every scan."""


@st.cache_resource(show_spinner="Opening the case log…")
def workspace() -> Workspace:
    """The one workspace of this server."""
    ws = open_workspace()
    removal.sweep_images(ws)
    return ws


@st.cache_resource(show_spinner=False)
def desks() -> Desks:
    """Of all who read on this server."""
    return Desks()


def model() -> tuple[Model, str | None]:
    """The model that serves now, and a sentence where it is not the one that should. Raises BadBundle.

    The order is read from the disk at every call, so that a promotion is served at the next prediction, and the files
    are looked at, so that a version that was damaged or mended meanwhile is noticed.
    """
    return _model(models.serving_order(workspace()), models.champion(workspace()))


@st.cache_resource(max_entries=1, show_spinner="Loading the model…")
def _model(order: tuple[tuple[str, str], ...], champion: str | None) -> tuple[Model, str | None]:
    return models.load_serving(workspace(), order)


@st.cache_resource(max_entries=50, show_spinner=False)
def kept_upload(token: str, _upload: Upload | None = None) -> Upload | None:
    """The upload that was kept here by its token, for a reload of the browser begins another session; None where it
    was not or has been forgotten."""
    return _upload


@st.cache_resource(max_entries=200, show_spinner=False)
def kept_place(token: str) -> dict[str, Any]:
    """Where a reader is in which list ("now"), kept by its token, as `kept_upload`; empty where it is not known."""
    return {}


@st.cache_data(max_entries=50, show_spinner=False)  # a photograph of a screen may have 10 MB
def scan_png(content_hash: str, window: str) -> bytes:
    return pictures.scan_png(workspace(), content_hash, window)


def neighbours(scan: ScanRow, window: str) -> list[tuple[pictures.Neighbour, bytes]]:
    """The slices around a scan with their pictures, on either side as far as they can be shown."""
    found = []
    near = pictures.neighbours(workspace(), scan)
    for side in ([n for n in reversed(near) if n.step < 0], [n for n in near if n.step > 0]):
        with suppress(ImageMissing, UnreadableScan):
            for neighbour in side:
                found.append((neighbour, _neighbour_png(neighbour.content_hash, window)))
    return found


@st.cache_data(max_entries=600, show_spinner=False)
def _neighbour_png(content_hash: str, window: str) -> bytes:
    return pictures.scan_png(workspace(), content_hash, window, side=NEIGHBOUR_SIDE)


def thumbnail(content_hash: str) -> str | None:
    """None where the stored image is missing or damaged: one such scan must not take a list of them down."""
    try:
        return _thumbnail(content_hash)
    except (ImageMissing, UnreadableScan):
        return None


@st.cache_data(max_entries=5000, show_spinner=False)
def _thumbnail(content_hash: str) -> str:
    return pictures.thumbnail(workspace(), content_hash)


@st.cache_data(max_entries=500, show_spinner=False)
def heat_png(reading_id: int, content_hash: str, version: str) -> pictures.Heat | None:
    """Of the scan's hash and of the version: an id that a batch taken back has set free may be another reading's."""
    return pictures.heat_png(workspace(), reading_id)
