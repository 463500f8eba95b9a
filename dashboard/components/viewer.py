"""The scan, as large as the screen allows, with the heat map to lay over it, zoom and drag."""

import base64
from pathlib import Path

import streamlit as st

from core.preprocess import Box

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "second_read_viewer",
    html=(_HERE / "viewer.html").read_text(),
    css=(_HERE / "viewer.css").read_text(),
    js=(_HERE / "viewer.js").read_text(),
)


def draw(scan_png: bytes, heat: tuple[bytes, Box] | None, *, key: str, description: str) -> None:
    """Show one scan. Everything under the pointer happens in the browser; nothing comes back."""
    _component(
        key=key,
        data={
            "scan": _uri(scan_png),
            "heat": _uri(heat[0]) if heat else None,
            "box": heat[1] if heat else None,
            "description": description,
        },
    )


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
