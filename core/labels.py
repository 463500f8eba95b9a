"""The vocabulary: classes a model may answer with, and verdicts a reader may give."""

from typing import Final

HEMORRHAGIC: Final = "hemorrhagic"
ISCHEMIC: Final = "ischemic"
NO_STROKE: Final = "no_stroke"
CLASSES: Final = (HEMORRHAGIC, ISCHEMIC, NO_STROKE)
"""Every stroke class, in the order in which models, tables and plots list them."""

UNSURE: Final = "unsure"
UNUSABLE: Final = "unusable"
VERDICTS: Final = (*CLASSES, UNSURE, UNUSABLE)
"""What a reader may say of a scan. Only the first three are ever trained on."""

SHARES: Final = {"train": 0.7, "validation": 0.15, "test": 0.15}
"""Of the patients, in each split."""
SPLITS: Final = tuple(SHARES)

_WORDS: Final = {
    HEMORRHAGIC: "Hemorrhagic",
    ISCHEMIC: "Ischemic",
    NO_STROKE: "No stroke",
    UNSURE: "Unsure",
    UNUSABLE: "Unusable image",
}

_SPELLINGS: Final = {
    HEMORRHAGIC: {"hemorrhagic", "haemorrhagic", "hemorrhage", "haemorrhage", "bleeding", "ich"},
    ISCHEMIC: {"ischemic", "ischaemic", "ischemia", "ischaemia", "infarct", "infarction"},
    NO_STROKE: {
        "no_stroke",
        "non_stroke",
        "nostroke",
        "normal",
        "healthy",
        "no_finding",
        "no_hemorrhage",
        "negative",
    },
}

_SPLIT_SPELLINGS: Final = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing"},
}


def in_words(label: str) -> str:
    """How a class or verdict is written for a reader: `no_stroke` -> "No stroke"."""
    return _WORDS.get(label, label)


def _match(name: str, spellings: dict[str, set[str]]) -> str | None:
    return next((target for target, known in spellings.items() if _key(name) in known), None)


def _key(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def parse_class(name: str) -> str | None:
    """The class a folder or table entry names, any case, British or American, with or without "stroke" after it; None
    where it names none."""
    return _match(name, _SPELLINGS) or _match(_key(name).removesuffix("_stroke"), _SPELLINGS)


def parse_split(name: str) -> str | None:
    """The split a folder or table entry names ("Train", "val", ...); None where it names none."""
    return _match(name, _SPLIT_SPELLINGS)


def counted(number: int, what: str) -> str:
    """ "1 scan", "2 scans"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
