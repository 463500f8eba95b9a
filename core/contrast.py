"""Whether a DICOM header says that contrast agent was given: that it does is kept, its words are not."""

import re

from pydicom.dataset import Dataset

from core.geometry import numbers
from core.identity import folded, is_taken_out

_NO = (
    r"no|none|non|nil|not|without|w/?o|plain|native?|nativ[ao]|unenhanced|nc|n[ce]ct|nein|nicht|keine?[rs]?|ohne|sans"
    r"|aucune?|geen|zonder|sin|ningun[ao]?|senza|nessuno?|sem|nenhum|utan|inget|ingen|uten|uden|bez|brak"
)
_AGENT = (
    r"i\.?v|c\.?e|cont?|contrast[eo]?|agent|medi(a|um|o)|material|bolus|mezzo|produit|d[ei]|mdc|pdc|km"
    r"|kontrast(mitt?el|medel|middel|u|a)?|given|gegeben|used|administered|injection|injecte|enhance(d|ment)"
)
_HEAD = r"c?ct|tc|tac|tdm|head|brain|skull|kopf|schadel|crane|craneo|cranio|cerebral|hoofd|scan"
_NO_AGENT = re.compile(
    r"|n|n[./]?a\.?|-+|c-|false|0+([.,]0*)? *(ml|cc)?"
    rf"|(({_HEAD})[ ._,:-]*)*((contrast|km) *[:=] *)?({_NO}|pas|o\.?(?= ?k))([ ._,-]*({_AGENT}|{_HEAD}))*[ ._-]*"
)
"""What a header says of contrast agent where none was given; not "NON-IONIC", nor "W/O AND WITH"."""
_LONGEST = 64
"""Letters that a name may have (PS3.5 6.2): an endless one would take endless time."""
_GIVEN = ("ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastFlowRate", "ContrastFlowDuration")
_INGREDIENT = "ContrastBolusIngredient"
_ANGIOGRAPHY = re.compile(r"cta|ctp|angio.*|perfusion.*")
_PLAIN = re.compile(r"plain|native?|nativ[ao]|unenhanced|nc|n[ce]ct|pre|mask")
"""Words that call a series one that is never taken without contrast agent, and the plain slices that go with it."""


def contrast_given(header: Dataset) -> bool:
    """Whether contrast agent was given: an amount says so whatever else does; then the agent's name; and where that is
    not there, or was taken out, what was in it or what the series is called."""
    if header.get("ContrastBolusAgentSequence") or any(_above_nothing(header, tag) for tag in _GIVEN):
        return True
    if (agent := _said(header, "ContrastBolusAgent")) and _is_none(agent):
        return False
    concentrated = _above_nothing(header, f"{_INGREDIENT}Concentration")
    return any(map(_names_one, (agent, _said(header, _INGREDIENT)))) or concentrated or _called_so(header)


def _said(header: Dataset, tag: str) -> str:
    return folded(str(header.get(tag, "") or ""))


def _is_none(said: str) -> bool:
    return len(said) <= _LONGEST and bool(_NO_AGENT.fullmatch(said))


def _names_one(said: str) -> bool:
    return not (_is_none(said) or is_taken_out(said))


def _above_nothing(header: Dataset, tag: str) -> bool:
    amount = numbers(header.get, tag)
    return amount is not None and bool((amount > 0).any())


def _called_so(header: Dataset) -> bool:
    """By its own description: a protocol's or a study's name is that of its plain series too."""
    description = _said(header, "SeriesDescription").replace("w/o", "wo")
    words = re.findall(r"[^\W\d_]+", description)
    return any(map(_ANGIOGRAPHY.fullmatch, words)) and not _calls_itself_plain(words)


def _calls_itself_plain(words: list[str]) -> bool:
    """By a word for it, or one for "without" before one for contrast agent or at the end: not "no bone", nor "W WO"."""
    pairs = zip(["", *words], words, [*words[1:], ""], strict=False)
    return any(map(_PLAIN.fullmatch, words)) or any(
        re.fullmatch(_AGENT, after) or (not after and word != "no" and before not in ("w", "with"))
        for before, word, after in pairs
        if re.fullmatch(_NO, word)
    )
