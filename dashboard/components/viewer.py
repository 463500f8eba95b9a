"""The scan, as large as the screen allows, with the heat map to lay over it, zoom and drag."""

import base64
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.labels import in_words
from services.pictures import Heat, Neighbour

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "second_read_viewer",
    html=(_HERE / "viewer.html").read_text(),
    css=(_HERE / "viewer.css").read_text(),
    js=(_HERE / "viewer.js").read_text(),
)


def draw(
    scan_png: bytes,
    heat: Heat | None,
    around: Sequence[tuple[Neighbour, bytes]],
    *,
    key: str,
    window: str,
    presets: bool,
    sides_known: bool,
    description: str,
    verdict_keys: str,
) -> None:
    """Show one scan, and on request the slices around it. All of that happens in the browser; nothing comes back.

    `window`: how its greys came about; `presets`: the page offers other windows. `sides_known`: the patient's right
    is at the image's left, and marked. `verdict_keys`: letters that file nothing while another slice is looked at.
    """
    _component(
        key=key,
        data={
            "scan": _uri(scan_png),
            "heat": _uri(heat.png) if heat else None,
            "box": heat.box if heat else None,
            "of": in_words(heat.of).lower() if heat else "",
            "around": [{"step": near.step, "away": near.away, "scan": _uri(png)} for near, png in around],
            "window": window,
            "presets": presets,
            "sides_known": sides_known,
            "description": description,
            "verdict_keys": verdict_keys,
        },
    )


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
