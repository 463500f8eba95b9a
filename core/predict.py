"""Scans -> readings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.bundle import Bundle
from core.preprocess import Box, to_input_with_box
from core.scan import Scan

UNCERTAIN = "uncertain"
SEEN_IN_TRAINING = "seen_in_training"
DEMONSTRATION = "demonstration"
UNCALIBRATED = "uncalibrated"


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
            probabilities = torch.softmax(output.logits / self.manifest.temperature, dim=1).double().numpy()
        maps = output.maps.numpy()
        return [
            self._reading(scan, probabilities[i] / probabilities[i].sum(), maps[i], prepared[i][1])
            for i, scan in enumerate(scans)
        ]

    def _reading(self, scan: Scan, p: np.ndarray, maps: np.ndarray, box: Box) -> Reading:
        best = int(p.argmax())
        confidence = float(p[best])
        flags = []
        if self.manifest.abstain_below is not None and confidence < self.manifest.abstain_below:
            flags.append(UNCERTAIN)
        if scan.patient_key in self._trained:
            flags.append(SEEN_IN_TRAINING)
        if not self.manifest.calibrated_on:
            flags.append(UNCALIBRATED)
        if self.manifest.demonstration:
            flags.append(DEMONSTRATION)
        probabilities = {name: float(value) for name, value in zip(self.manifest.classes, p, strict=True)}
        heat = evidence(maps, best)
        return Reading(self.version, self.manifest.classes[best], confidence, probabilities, heat, box, tuple(flags))


def evidence(maps: np.ndarray, label: int) -> np.ndarray:
    """Where class `label` gains over the mean of the others. (C, h, w) -> (h, w) uint8, 255 the strongest.

    What speaks against the class is 0, and so is a map that is the same everywhere.
    """
    others = np.delete(maps, label, axis=0).mean(axis=0)
    gain = np.clip(maps[label] - others, 0, None)
    top = gain.max()
    return np.zeros(gain.shape, np.uint8) if top <= 1e-6 else np.rint(gain / top * 255).astype(np.uint8)
