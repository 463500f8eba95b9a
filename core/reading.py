"""What a model says of a scan."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from core.labels import HEMORRHAGIC
from core.manifest import Manifest
from core.preprocess import Box
from core.scan import COLOURED, CONTRAST, Scan

UNCERTAIN = "uncertain"
SEEN_IN_TRAINING = "seen_in_training"
DEMONSTRATION = "demonstration"
UNCALIBRATED = "uncalibrated"
NOT_HEAD_CT = "not_head_ct"
MARKED, ENHANCED, TOO_WIDE = "coloured_mark", "contrast_agent", "window_too_wide"
"""Beside `UNCERTAIN`, and why."""
HEMORRHAGE_NOT_EXCLUDED = "hemorrhage_not_excluded"
LEARNED_FROM_SIMULATION = "learned_from_simulation"
CLASSES_ALIKE = "classes_alike"


@dataclass(frozen=True)
class Reading:
    """What one model version says of one scan."""

    version: str
    label: str  # the most probable class, also where the model abstains
    confidence: float  # its probability, calibrated unless the flags say otherwise
    probabilities: dict[str, float]
    heat: np.ndarray  # (h, w) uint8: where the evidence for `heat_of` lies; 255 is the strongest
    heat_of: str  # `label`, but hemorrhage where that is not excluded
    heat_box: Box
    flags: tuple[str, ...]


class Model(Protocol):
    """What reads scans: `core.predict.Predictor` here, `core.model_process.ModelProcess` in a process of its own."""

    manifest: Manifest

    def read(self, scans: Sequence[Scan]) -> list[Reading]:
        """One forward pass for all."""


def for_keys(reading: Reading, keys: Collection[str], manifest: Manifest) -> Reading:
    """The same, with what there is to say of a patient, or of slices that its scan is made of, known only now."""
    if SEEN_IN_TRAINING in reading.flags or {*keys}.isdisjoint(manifest.patients.get("train", [])):
        return reading
    return replace(reading, flags=(*reading.flags, SEEN_IN_TRAINING))


def why_not(scan: Scan, *, flat: bool) -> list[str]:
    """Why a scan can be given no answer, whatever the network makes of it: of coloured marks it would take the grey for
    a density, and enhanced vessels for blood; `flat`: brain is nearly one grey."""
    reasons = (
        (COLOURED in scan.meta, MARKED),
        (CONTRAST in scan.meta, ENHANCED),
        (flat and scan.unit == "display", TOO_WIDE),  # others are shown in a window of ours
    )
    return [flag for holds, flag in reasons if holds]


MEANINGLESS = frozenset((MARKED, ENHANCED, TOO_WIDE))
"""Flags of scans for which the model's best guess says nothing either."""


class Answer(Protocol):
    """What a model has said of one scan, as read or as stored."""

    @property
    def label(self) -> str: ...

    @property
    def confidence(self) -> float: ...

    @property
    def flags(self) -> tuple[str, ...]: ...


def not_head_ct(reading: Answer) -> bool:
    """Whether the image is so unlike head CT that the model gives it no type."""
    return NOT_HEAD_CT in reading.flags


def hemorrhage_not_excluded(reading: Answer) -> bool:
    """Whether hemorrhage, though not the answer, is more likely than the operating point allows to dismiss, or what the
    model would have answered had it not abstained."""
    if not_head_ct(reading):
        return False
    return (reading.label == HEMORRHAGIC and abstains(reading)) or HEMORRHAGE_NOT_EXCLUDED in reading.flags


def hemorrhage_if_head_ct(reading: Answer) -> bool:
    """The same of an image that was taken for none: it may be one."""
    return not_head_ct(reading) and (reading.label == HEMORRHAGIC or HEMORRHAGE_NOT_EXCLUDED in reading.flags)


def hemorrhage_left_open(reading: Answer) -> bool:
    """Whether a hemorrhage is to be looked for though it is not the answer, for whatever reason."""
    return is_meaningless(reading) or hemorrhage_not_excluded(reading) or hemorrhage_if_head_ct(reading)


def abstains(reading: Answer) -> bool:
    """Whether the model would rather not say."""
    return UNCERTAIN in reading.flags


def is_meaningless(reading: Answer) -> bool:
    """Whether the model's best guess says nothing of the scan."""
    return not MEANINGLESS.isdisjoint(reading.flags)


def certainty(reading: Answer) -> float:
    """How sure the model is; not at all where its guess means nothing, nor of an image that may be no head CT."""
    return 0.0 if is_meaningless(reading) or not_head_ct(reading) else reading.confidence
