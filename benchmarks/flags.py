"""What the "not a head CT" flag catches of other images, and what it wrongly flags of head CT from elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.other_images import other_images
from core.dataset import to_bytes
from core.formats import read
from core.intervals import Clusters, Figure, share_figure
from core.preprocess import InputSpec
from core.scan import UnreadableScan
from core.train import predict
from services.crossvalidation import CrossValidation, Fold
from services.tables import measured_percent


@dataclass(frozen=True)
class Flagged:
    """Images of one kind, each shown to every fold's model."""

    kind: str
    images: int
    share: float  # flagged, or refused by intake


def others(data: Path) -> Iterator[tuple[str, bytes]]:
    """(file, content) of what is no head CT: the drawn and shipped images, and the plastic head."""
    yield from other_images()
    for path in sorted((data / "dicom_philips_phantom").iterdir()):
        if path.name != "LICENSE":
            yield f"plastic head-{path.name}", path.read_bytes()


def strangers(data: Path) -> Iterator[tuple[str, bytes]]:
    """(file, content) of head CT from other hospitals, which should not be flagged."""
    for path in sorted((data / "dicom_ge_head").glob("*.dcm")):
        yield f"GE series, HU-{path.name}", path.read_bytes()
    for path in sorted((data / "cpaisd" / "images").glob("*.png")):
        yield f"CPAISD, wide dark window-{path.name}", path.read_bytes()


def flagged_by_kind(found: CrossValidation, spec: InputSpec, files: Iterator[tuple[str, bytes]]) -> list[Flagged]:
    """By kind: the name up to the first "-"."""
    caught: dict[str, list[float]] = {}
    inputs: list[torch.Tensor] = []
    kinds: list[str] = []
    for name, data in files:
        kind = name.split("-")[0]
        try:
            inputs.append(to_bytes(read(data, name), spec))
            kinds.append(kind)
        except UnreadableScan:
            caught.setdefault(kind, []).append(1.0)
    shares = np.mean([_flags(fold, torch.stack(inputs)) for fold in found.folds], axis=0)
    for kind, share in zip(kinds, shares, strict=True):
        caught.setdefault(kind, []).append(float(share))
    return [Flagged(kind, len(of), float(np.mean(of))) for kind, of in caught.items()]


def _flags(fold: Fold, x: torch.Tensor) -> np.ndarray:
    typical = fold.rules.typical
    return typical.unlike(predict(fold.network, x).profile).numpy() if typical else np.zeros(len(x), bool)


def false_flags(found: CrossValidation) -> Figure:
    """The share of real scans of patients not met that the flag calls no head CT."""
    rows = found.table[found.table["synthetic"] == ""]
    flagged = rows["flagged"].to_numpy(bool)
    return share_figure(flagged, np.ones(len(flagged), bool), Clusters.of(rows["patient"], len(flagged)))


def in_markdown(rows: list[Flagged]) -> str:
    return "\n".join(f"| {row.kind} | {row.images} | {measured_percent(row.share)} |" for row in rows)
