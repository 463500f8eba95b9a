"""What is known of a model version, and which one serves: all that can be said of models without loading one.

    models/
      2026-11-23-1405-1a2b3c4d/   weights.safetensors, manifest.json, manifest.sha256
      serving.json           the version that serves and those it replaced, each with its manifest's SHA-256

The pointer is replaced by one rename.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy.special import softmax

from core.labels import CLASSES
from core.pseudonym import unnamed

MANIFEST, MANIFEST_SHA, WEIGHTS = "manifest.json", "manifest.sha256", "weights.safetensors"
POINTER = "serving.json"
KEPT_WAYS_BACK = 20


CALIBRATED_FROM = 20
"""Fewer validation scans than this calibrate nothing: probabilities stay as they are, with no threshold and no flag."""
OPERATING_POINT_FROM = 10
"""Fewer validation scans with a finding than this give no operating point for it."""
TYPICAL_FROM = 100
"""Fewer real training scans than this do not say what head CT looks like."""


class BadBundle(ValueError):
    """The bundle is damaged, incomplete or not one of ours; it must not serve."""


class Calibration(BaseModel):
    """Logits -> probabilities: softmax(logits / temperature + bias)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = 1.0
    bias: tuple[float, ...] = ()  # one a class; empty: none
    scans: int = 0  # validation scans it rests on; 0: not calibrated
    patients: int = 0
    balanced: bool = False  # each class counted alike, however many scans it had

    def probabilities(self, logits: ArrayLike) -> np.ndarray:
        """(N, C) logits -> (N, C) float64, rows summing to 1."""
        scaled = np.asarray(logits, np.float64) / self.temperature
        return np.asarray(softmax(scaled + np.array(self.bias) if self.bias else scaled, axis=1))


class OperatingPoint(BaseModel):
    """The probability of a finding from which on it counts as not excluded, and what that gave on the
    scans it was chosen on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked_sensitivity: float
    threshold: float
    sensitivity: dict[str, float | int | None]  # core.intervals.Figure.to_json()
    specificity: dict[str, float | int | None]


class Manifest(BaseModel):
    """All that is known of a model version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 2
    version: str
    created_at: datetime
    arch: str
    width: int = 32  # our own networks' first layer
    head: Literal["mean", "strongest"] = "mean"
    intensity: Literal["window", "image", "brain"] = "window"
    upright: bool = False  # turns a head that lies on its side
    mirror: bool = False  # reads each scan and its mirror image
    classes: tuple[str, ...]
    input_spec: dict[str, Any]
    calibration: Calibration = Calibration()
    abstain_below: float | None = None  # calibrated confidence; None: too few validation scans to say
    operating_points: dict[str, OperatingPoint] = Field(default_factory=dict)  # class -> from where not excluded
    false_flags: float | None = None  # share of validation scans that "not head CT" flags; None: it never flags
    weights_sha256: str
    simulated_classes: tuple[str, ...] = ()  # those it has met few real scans of, or none: simulated ones
    demonstration: bool = False  # trained on synthetic images: without clinical meaning
    parent: str | None = None
    trained_on: str  # one sentence for readers
    mistaken: dict[str, str] = Field(default_factory=dict)  # class -> what it, or an ancestor, has taken for it
    limits: tuple[str, ...] = ()  # sentences: what it was not trained or tested on
    lineage: dict[str, Any] = Field(default_factory=dict)  # recipe, seed, counts, snapshot, history
    patients: dict[str, list[str]] = Field(default_factory=dict)  # split -> patient keys it was made with, see `met`
    keyed_by: str | None = None  # a fingerprint of the secret those keys were made with
    metrics: dict[str, Any] = Field(default_factory=dict)  # split -> core.evaluate.Report.to_json()

    @model_validator(mode="before")
    @classmethod
    def _from_format_1(cls, values: Any) -> Any:
        """The first format had a temperature and no more."""
        if not isinstance(values, dict) or values.get("format") != 1:
            return values
        rest = {key: value for key, value in values.items() if key not in ("temperature", "calibrated_on")}
        calibration = {"temperature": values.get("temperature"), "scans": values.get("calibrated_on", 0)}
        return {**rest, "calibration": calibration}

    @property
    def settled_on_simulated(self) -> tuple[str, ...]:
        """The classes whose scans were simulated where its rules were settled: a retrained version, which may still
        know them from its parent's training alone, is settled on reviewed scans."""
        recipe = self.lineage.get("recipe") or {}
        return self.simulated_classes if recipe.get("simulation") else ()

    def met(self, part: str, patients: Sequence[str], images: Sequence[str | None]) -> set[str]:
        """Those of the patients, one for each image, who stand in a part: by their key, or by the hash of an image."""
        keys = frozenset(self.patients.get(part, ()))
        return {who for who, image in zip(patients, images, strict=True) if keys & {who, unnamed(image or "")}}


def read_manifest(folder: Path) -> Manifest:
    """The manifest, its own hash checked. Raises BadBundle."""
    try:
        text = (folder / MANIFEST).read_bytes()
        expected = (folder / MANIFEST_SHA).read_bytes().strip()
    except OSError as error:
        raise BadBundle(f"{folder.name} is not a whole bundle: {error.strerror}.") from error
    if hashlib.sha256(text).hexdigest().encode() != expected:
        raise BadBundle(f"The manifest of {folder.name} has been changed or damaged (SHA-256 differs).")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BadBundle(f"The manifest of {folder.name} is not one this version of Second Read knows.") from error
    if not set(manifest.classes) <= set(CLASSES) or len(manifest.classes) < 2:
        raise BadBundle(f"{folder.name} names classes outside the vocabulary: {', '.join(manifest.classes)}.")
    return manifest


def read_weights(folder: Path, manifest: Manifest) -> bytes:
    """The weights as they were published, safetensors. Raises BadBundle."""
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise BadBundle(f"{folder.name} has no weights.") from error
    if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
        raise BadBundle(f"The weights of {folder.name} have been changed or damaged (SHA-256 differs).")
    return weights


def versions(models_dir: Path) -> list[Path]:
    """Version folders, oldest first by name; temporary ones are not among them."""
    if not models_dir.is_dir():
        return []
    return sorted(path for path in models_dir.iterdir() if path.is_dir() and not path.name.startswith("."))


def point_to(models_dir: Path, order: Sequence[tuple[str, str]]) -> None:
    """Make the first (version, manifest SHA-256) of `order` serve, in one step; the rest is the way back."""
    models_dir.mkdir(parents=True, exist_ok=True)
    temporary = models_dir / f".{POINTER}.{secrets.token_hex(4)}.tmp"
    write(temporary, json.dumps({"order": list(order)[:KEPT_WAYS_BACK]}, indent=1).encode())
    temporary.replace(models_dir / POINTER)
    sync_dir(models_dir)


def pointer(models_dir: Path) -> list[tuple[str, str]]:
    """(version, manifest SHA-256), the one that should serve first; empty where none was promoted or it is damaged."""
    try:
        return [
            (str(version), str(digest)) for version, digest in json.loads((models_dir / POINTER).read_text())["order"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def pointer_unreadable(models_dir: Path) -> bool:
    """Whether versions have been promoted, and which ones cannot be told any more."""
    return (models_dir / POINTER).exists() and not pointer(models_dir)


def manifest_sha256(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def write(path: Path, data: bytes) -> None:
    """Write a file, to the disk and not only to memory."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_dir(path: Path) -> None:
    """The same for which files a folder holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
