"""A model on disk: weights and the manifest that rebuilds them. Published whole or not at all, never changed: a version
folder appears by one rename, after all in it is on the disk."""

import hashlib
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from core.manifest import (
    MANIFEST,
    MANIFEST_SHA,
    WEIGHTS,
    BadBundle,
    Manifest,
    read_manifest,
    read_weights,
    sync_dir,
    write,
)
from core.network import Network, build
from core.outlier import Typical, is_typical
from core.preprocess import InputSpec

STALE_S = 3600


@dataclass(frozen=True)
class Bundle:
    """A verified model, ready to predict."""

    manifest: Manifest
    network: Network
    spec: InputSpec
    typical: Typical | None = None  # what it was trained on looks like; None: not known


def publish(models_dir: Path, network: Network, facts: dict[str, Any], typical: Typical | None = None) -> Manifest:
    """Write a new version folder and return its manifest. `facts`: the manifest's fields but version, date, hash.

    The version is the minute (UTC), by which versions are ordered, and the first digits of the weights' hash.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    tensors = {**network.state_dict(), **(typical.state() if typical else {})}
    state = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    weights = safetensors.torch.save(state)
    digest = hashlib.sha256(weights).hexdigest()
    now = datetime.now(UTC)
    version = _free_name(models_dir, f"{now:%Y-%m-%d-%H%M}-{digest[:8]}")
    manifest = Manifest(version=version, created_at=now, weights_sha256=digest, **facts)
    text = manifest.model_dump_json(indent=1).encode()
    temporary = models_dir / f".{version}.{secrets.token_hex(4)}.tmp"
    temporary.mkdir()
    try:
        write(temporary / WEIGHTS, weights)
        write(temporary / MANIFEST, text)
        write(temporary / MANIFEST_SHA, hashlib.sha256(text).hexdigest().encode())
        sync_dir(temporary)
        temporary.rename(models_dir / version)
        sync_dir(models_dir)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return read_manifest(models_dir / version)


def load(folder: Path) -> Bundle:
    """Verify and rebuild. Raises BadBundle where any byte is not as published."""
    manifest = read_manifest(folder)
    weights = read_weights(folder, manifest)
    try:
        network = build(
            manifest.arch,
            manifest.classes,
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
