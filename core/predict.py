"""Scans -> readings."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from core.bundle import Bundle
from core.labels import HEMORRHAGIC
from core.network import fused
from core.normalise import is_flat
from core.preprocess import to_input_with_box
from core.pseudonym import UNNAMED, unnamed
from core.reading import (
    CLASSES_ALIKE,
    DEMONSTRATION,
    HEMORRHAGE_NOT_EXCLUDED,
    LEARNED_FROM_SIMULATION,
    NOT_HEAD_CT,
    SEEN_IN_TRAINING,
    UNCALIBRATED,
    UNCERTAIN,
    Reading,
    why_not,
)
from core.scan import Scan


class Predictor:
    """A bundle that reads scans. Safe to share between threads: nothing in it changes."""

    def __init__(self, bundle: Bundle) -> None:
        self.manifest = bundle.manifest
        self._spec = bundle.spec
        self._typical = bundle.typical
        self._network = fused(bundle.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._trained = frozenset(bundle.manifest.patients.get("train", []))
        self._of_images = any(key.startswith(UNNAMED) for key in self._trained)  # else no scan need be hashed

    def read(self, scans: Sequence[Scan]) -> list[Reading]:
        """One forward pass for all: probabilities and heat maps together."""
        if not scans:
            return []
        prepared = [to_input_with_box(scan, self._spec) for scan in scans]
        x = torch.from_numpy(np.stack([image for image, _ in prepared]))
        with torch.inference_mode():
            output = self._network(x.contiguous(memory_format=torch.channels_last))
            probabilities = self.manifest.calibration.probabilities(output.logits)
            unlike = self._typical.unlike(output.profile).tolist() if self._typical else [False] * len(scans)
            flat = is_flat(x).tolist()
        maps = output.maps.numpy()
        readings = []
        for i, scan in enumerate(scans):
            best = int(probabilities[i].argmax())
            by_class = {name: float(value) for name, value in zip(self.manifest.classes, probabilities[i], strict=True)}
            label, flags = self.manifest.classes[best], tuple(self._flags(scan, by_class, unlike[i], flat[i]))
            shown = HEMORRHAGIC if HEMORRHAGE_NOT_EXCLUDED in flags else label
            readings.append(
                Reading(
                    version=self.manifest.version,
                    label=label,
                    confidence=float(probabilities[i][best]),
                    probabilities=by_class,
                    heat=self._heat(maps[i], self.manifest.classes.index(shown)),
                    heat_of=shown,
                    heat_box=prepared[i][1],
                    flags=flags,
                )
            )
        return readings

    def _heat(self, maps: np.ndarray, of: int) -> np.ndarray:
        """Where the evidence lies. That a lesion_cnn finds none has no place of its own."""
        if self.manifest.head == "strongest" and of == len(maps) - 1:
            return np.zeros(maps.shape[1:], np.uint8)
        return evidence(maps, of)

    def _flags(self, scan: Scan, probabilities: dict[str, float], unlike: bool, flat: bool) -> Iterator[str]:
        """What has to be known about an answer. A scan unlike head CT gets no other word about its content, but
        that a hemorrhage may be in it: it may be a head CT all the same. A guess that means nothing excludes none."""
        manifest, confidence, why = self.manifest, max(probabilities.values()), tuple(why_not(scan, flat=flat))
        unsure = bool(why) or (manifest.abstain_below is not None and confidence < manifest.abstain_below)
        if unlike or unsure:
            yield NOT_HEAD_CT if unlike else UNCERTAIN
        yield from why
        point, bleeding = manifest.operating_points.get(HEMORRHAGIC), probabilities.get(HEMORRHAGIC, 0.0)
        best = bleeding == confidence
        if why or (best and (unlike or unsure)) or (not best and point and bleeding >= point.threshold):
            yield HEMORRHAGE_NOT_EXCLUDED
        if scan.patient_key in self._trained or (self._of_images and unnamed(scan.content_hash) in self._trained):
            yield SEEN_IN_TRAINING
        if not unlike and max(probabilities, key=probabilities.__getitem__) in manifest.simulated_classes:
            yield LEARNED_FROM_SIMULATION
        if not manifest.calibration.scans:
            yield UNCALIBRATED
        elif manifest.calibration.balanced and not unlike:
            yield CLASSES_ALIKE
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
