"""Whether a DICOM header says that contrast agent was given: that it does is kept, its words are not."""

import re

from pydicom.dataset import Dataset

from core.geometry import numbers

_NO_AGENT = re.compile(
    r"|0|n|n/?a|-+|c-|false|nein"
    r"|(no|none|non|nil|not|nicht|without|w/?o|plain|nativ|native|unenhanced|nc(ct)?|ohne|sans)"
    r"([ ._,-]*(i\.?v|cont?|contrast|agent|medi(a|um)|km|given|gegeben|used|administered|injection|enhance(d|ment)|ct"
    r"|head|brain|scan))*"
    r"[ ._-]*",
    re.IGNORECASE,
)
"""What a header says of contrast agent where none was given; not "NON-IONIC", nor "W/O AND WITH"."""
_GIVEN = ("ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastFlowRate", "ContrastFlowDuration")
_INGREDIENT = "ContrastBolusIngredient"
_ANGIOGRAPHY = re.compile(r"cta|ctp|angio.*|perfusion.*")
_PLAIN = re.compile(r"no|non|nc|ncct|wo|without|plain|native?|unenhanced|ohne|sans|pre|mask")
"""Words that call a series one that is never taken without contrast agent, and the plain slices that go with it."""


def contrast_given(header: Dataset) -> bool:
    """Whether contrast agent was given: an amount says so whatever else does; then the agent's name; and where that is
    not there, for it may have been taken out, what was in it or what the series is called."""
    if header.get("ContrastBolusAgentSequence") or any(_above_nothing(header, tag) for tag in _GIVEN):
        return True
    if agent := _said(header, "ContrastBolusAgent"):
        return not _NO_AGENT.fullmatch(agent)
    ingredient = not _NO_AGENT.fullmatch(_said(header, _INGREDIENT))
    return ingredient or _above_nothing(header, f"{_INGREDIENT}Concentration") or _called_so(header)


def _said(header: Dataset, tag: str) -> str:
    return str(header.get(tag, "") or "").strip()


def _above_nothing(header: Dataset, tag: str) -> bool:
    amount = numbers(header.get, tag)
    return amount is not None and bool((amount > 0).any())


def _called_so(header: Dataset) -> bool:
    """By its own description: a protocol's or a study's name is that of its plain series too."""
    description = _said(header, "SeriesDescription").casefold().replace("w/o", "wo")
    words = re.findall(r"[^\W\d_]+", description)
    return any(map(_ANGIOGRAPHY.fullmatch, words)) and not any(map(_PLAIN.fullmatch, words))
