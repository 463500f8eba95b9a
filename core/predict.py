"""Scans -> readings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from core.bundle import Bundle
from core.labels import HEMORRHAGIC
from core.preprocess import Box, to_input_with_box
from core.scan import Scan

UNCERTAIN = "uncertain"
SEEN_IN_TRAINING = "seen_in_training"
DEMONSTRATION = "demonstration"
UNCALIBRATED = "uncalibrated"
NOT_HEAD_CT = "not_head_ct"
HEMORRHAGE_NOT_EXCLUDED = "hemorrhage_not_excluded"
LEARNED_FROM_SIMULATION = "learned_from_simulation"


@dataclass(frozen=True)
class Reading:
    """What one model version says of one scan."""

    version: str
    label: str  # the most probable class, also where the model abstains
    confidence: float  # its probability, calibrated unless the flags say otherwise
    probabilities: dict[str, float]
    heat: np.ndarray  # (h, w) uint8: where the evidence for `label` lies; 255 is the strongest
    heat_box: Box
    flags: tuple[str, ...]


class Predictor:
    """A bundle that reads scans. Safe to share between threads: nothing in it changes."""

    def __init__(self, bundle: Bundle) -> None:
        self.manifest = bundle.manifest
        self._spec = bundle.spec
        self._typical = bundle.typical
        self._network = bundle.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._trained = frozenset(bundle.manifest.patients.get("train", []))

    @property
    def version(self) -> str:
        return self.manifest.version

    def read(self, scans: Sequence[Scan]) -> list[Reading]:
        """One forward pass for all: probabilities and heat maps together."""
        if not scans:
            return []
        prepared = [to_input_with_box(scan, self._spec) for scan in scans]
        x = torch.stack([tensor for tensor, _ in prepared])
        with torch.inference_mode():
            output = self._network(x.contiguous(memory_format=torch.channels_last))
            probabilities = self.manifest.calibration.probabilities(output.logits)
            unlike = self._typical.unlike(output.profile).tolist() if self._typical else [False] * len(scans)
        maps = output.maps.numpy()
        readings = []
        for i, scan in enumerate(scans):
            best = int(probabilities[i].argmax())
            by_class = {name: float(value) for name, value in zip(self.manifest.classes, probabilities[i], strict=True)}
            readings.append(
                Reading(
                    version=self.version,
                    label=self.manifest.classes[best],
                    confidence=float(probabilities[i][best]),
                    probabilities=by_class,
                    heat=self._heat(maps[i], best),
                    heat_box=prepared[i][1],
                    flags=tuple(self._flags(scan, by_class, unlike[i])),
                )
            )
        return readings

    def known(self, reading: Reading, patient_key: str) -> Reading:
        """The same, with what there is to say of a patient who is known only now."""
        if patient_key not in self._trained or SEEN_IN_TRAINING in reading.flags:
            return reading
        return replace(reading, flags=(*reading.flags, SEEN_IN_TRAINING))

    def _heat(self, maps: np.ndarray, best: int) -> np.ndarray:
        """Where the evidence lies. That a lesion_cnn finds none has no place of its own."""
        if self.manifest.head == "strongest" and best == len(maps) - 1:
            return np.zeros(maps.shape[1:], np.uint8)
        return evidence(maps, best)

    def _flags(self, scan: Scan, probabilities: dict[str, float], unlike: bool) -> Iterator[str]:
        """What has to be known about an answer. A scan unlike head CT gets no other word about its content."""
        manifest, confidence = self.manifest, max(probabilities.values())
        if unlike:
            yield NOT_HEAD_CT
        elif manifest.abstain_below is not None and confidence < manifest.abstain_below:
            yield UNCERTAIN
        point, bleeding = manifest.operating_points.get(HEMORRHAGIC), probabilities.get(HEMORRHAGIC, 0.0)
        if point and not unlike and point.threshold <= bleeding < confidence:
            yield HEMORRHAGE_NOT_EXCLUDED
        if scan.patient_key in self._trained:
            yield SEEN_IN_TRAINING
        if not unlike and max(probabilities, key=probabilities.__getitem__) in manifest.simulated_classes:
            yield LEARNED_FROM_SIMULATION
        if not manifest.calibration.scans:
            yield UNCALIBRATED
        if manifest.demonstration:
            yield DEMONSTRATION


def evidence(maps: np.ndarray, label: int) -> np.ndarray:
    """Where class `label` gains over the mean of the others. (C, h, w) -> (h, w) uint8, 255 the strongest.

    What speaks against the class is 0, and so is a map that is the same everywhere.
    """
    others = np.delete(maps, label, axis=0).mean(axis=0)
    gain = np.clip(maps[label] - others, 0, None)
    top = gain.max()
    return np.zeros(gain.shape, np.uint8) if top <= 1e-6 else np.rint(gain / top * 255).astype(np.uint8)
