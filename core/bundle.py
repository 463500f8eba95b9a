"""A model on disk: weights and the manifest that rebuilds them. Published whole or not at all, never changed.

    models/
      2026-11-23-1a2b3c4d/   weights.safetensors, manifest.json, manifest.sha256
      serving.json           the version that serves and those it replaced, each with its manifest's SHA-256

A version folder appears by one rename, after all in it is on the disk. The pointer is replaced the same way.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from core.calibrate import Calibration, OperatingPoint
from core.labels import CLASSES
from core.network import Network, build
from core.outlier import Typical, is_typical
from core.preprocess import InputSpec

WEIGHTS, MANIFEST, MANIFEST_SHA, POINTER = "weights.safetensors", "manifest.json", "manifest.sha256", "serving.json"
KEPT_WAYS_BACK = 20
STALE_S = 3600


class BadBundle(ValueError):
    """The bundle is damaged, incomplete or not one of ours; it must not serve."""


class Manifest(BaseModel):
    """All that is known of a model version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 2
    version: str
    created_at: datetime
    arch: str
    width: int = 32  # our own networks' first layer
    head: Literal["mean", "strongest"] = "mean"
    intensity: Literal["window", "image"] = "window"
    upright: bool = False  # turns a head that lies on its side
    mirror: bool = False  # reads each scan and its mirror image
    classes: tuple[str, ...]
    input_spec: dict[str, Any]
    calibration: Calibration = Calibration()
    abstain_below: float | None = None  # calibrated confidence; None: too few validation scans to say
    operating_points: dict[str, OperatingPoint] = Field(default_factory=dict)  # class -> from where not excluded
    false_flags: float | None = None  # share of validation scans that "not head CT" flags; None: it never flags
    weights_sha256: str
    simulated_classes: tuple[str, ...] = ()  # those it has met no real scan of
    demonstration: bool = False  # trained on synthetic images: without clinical meaning
    parent: str | None = None
    trained_on: str  # one sentence for readers
    limits: tuple[str, ...] = ()  # sentences: what it was not trained or tested on
    lineage: dict[str, Any] = Field(default_factory=dict)  # recipe, seed, counts, snapshot, history
    patients: dict[str, list[str]] = Field(default_factory=dict)  # split -> patient keys it was made with
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


@dataclass(frozen=True)
class Bundle:
    """A verified model, ready to predict."""

    manifest: Manifest
    network: Network
    spec: InputSpec
    typical: Typical | None = None  # what it was trained on looks like; None: not known


def publish(models_dir: Path, network: Network, facts: dict[str, Any], typical: Typical | None = None) -> Manifest:
    """Write a new version folder and return its manifest. `facts`: the manifest's fields but version, date, hash.

    The version is the date and the first digits of the weights' hash.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    tensors = {**network.state_dict(), **(typical.state() if typical else {})}
    state = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    weights = safetensors.torch.save(state)
    digest = hashlib.sha256(weights).hexdigest()
    now = datetime.now(UTC)
    version = _free_name(models_dir, f"{now:%Y-%m-%d}-{digest[:8]}")
    manifest = Manifest(version=version, created_at=now, weights_sha256=digest, **facts)
    text = manifest.model_dump_json(indent=1).encode()
    temporary = models_dir / f".{version}.{secrets.token_hex(4)}.tmp"
    temporary.mkdir()
    try:
        _write(temporary / WEIGHTS, weights)
        _write(temporary / MANIFEST, text)
        _write(temporary / MANIFEST_SHA, hashlib.sha256(text).hexdigest().encode())
        _sync_dir(temporary)
        temporary.rename(models_dir / version)
        _sync_dir(models_dir)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return read_manifest(models_dir / version)


def read_manifest(folder: Path) -> Manifest:
    """The manifest, its own hash checked. Raises BadBundle."""
    try:
        text = (folder / MANIFEST).read_bytes()
        expected = (folder / MANIFEST_SHA).read_text().strip()
    except OSError as error:
        raise BadBundle(f"{folder.name} is not a whole bundle: {error.strerror}.") from error
    if hashlib.sha256(text).hexdigest() != expected:
        raise BadBundle(f"The manifest of {folder.name} has been changed or damaged (SHA-256 differs).")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BadBundle(f"The manifest of {folder.name} is not one this version of Second Read knows.") from error
    if not set(manifest.classes) <= set(CLASSES) or len(manifest.classes) < 2:
        raise BadBundle(f"{folder.name} names classes outside the vocabulary: {', '.join(manifest.classes)}.")
    return manifest


def load(folder: Path) -> Bundle:
    """Verify and rebuild. Raises BadBundle where any byte is not as published."""
    manifest = read_manifest(folder)
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise BadBundle(f"{folder.name} has no weights.") from error
    if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
        raise BadBundle(f"The weights of {folder.name} have been changed or damaged (SHA-256 differs).")
    try:
        network = build(
            manifest.arch,
            len(manifest.classes),
            width=manifest.width,
            head=manifest.head,
            intensity=manifest.intensity,
            upright=manifest.upright,
            mirror=manifest.mirror,
        )
        tensors = safetensors.torch.load(weights)
        typical = Typical.from_state(tensors)
        network.load_state_dict({name: value for name, value in tensors.items() if not is_typical(name)})
        spec = InputSpec.from_json(manifest.input_spec)
    except (ValueError, TypeError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise BadBundle(f"{folder.name} does not rebuild: its weights and manifest do not fit.") from error
    return Bundle(manifest, network.eval(), spec, typical)


def state_dict(bundle: Bundle) -> dict[str, Tensor]:
    """The weights to start another training from."""
    return bundle.network.state_dict()


def versions(models_dir: Path) -> list[Path]:
    """Version folders, oldest first by name; temporary ones are not among them."""
    if not models_dir.is_dir():
        return []
    return sorted(path for path in models_dir.iterdir() if path.is_dir() and not path.name.startswith("."))


def point_to(models_dir: Path, order: Sequence[tuple[str, str]]) -> None:
    """Make the first (version, manifest SHA-256) of `order` serve, in one step; the rest is the way back."""
    models_dir.mkdir(parents=True, exist_ok=True)
    temporary = models_dir / f".{POINTER}.{secrets.token_hex(4)}.tmp"
    _write(temporary, json.dumps({"order": list(order)[:KEPT_WAYS_BACK]}, indent=1).encode())
    temporary.replace(models_dir / POINTER)
    _sync_dir(models_dir)


def pointer(models_dir: Path) -> list[tuple[str, str]]:
    """(version, manifest SHA-256), the one that should serve first; empty where none was promoted or it is damaged."""
    try:
        return [
            (str(version), str(digest)) for version, digest in json.loads((models_dir / POINTER).read_text())["order"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def manifest_sha256(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def sweep(models_dir: Path) -> None:
    """Remove what killed publications left behind more than an hour ago; a live one takes seconds."""
    for path in models_dir.glob(".*.tmp"):
        if time.time() - path.stat().st_mtime > STALE_S:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _free_name(models_dir: Path, wanted: str) -> str:
    name, number = wanted, 2
    while (models_dir / name).exists():
        name, number = f"{wanted}-{number}", number + 1
    return name


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_dir(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
