"""Demo cases and the demo model: synthetic heads, so that the house can be walked through before a scan is in it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from core.bundle import Manifest
from core.dataset import Examples, Sample
from core.labels import CLASSES
from core.phantom import phantom, to_dicom
from core.predict import Predictor
from core.preprocess import InputSpec, to_input
from core.settings import Recipe
from core.train import Progress, fit
from db import queries
from services.intake import Incoming, receive
from services.publishing import UNTESTED, Origin, publish_fit
from services.review import new_click, record
from services.workspace import Workspace

CASES = 40
REVIEWED = 24
DEMO_READER = "Demo reader"
_FIRST_SEED = {"train": 10_000, "validation": 20_000, "test": 30_000}
_SCANS = {"train": 900, "validation": 300, "test": 300}


def demo_label(index: int) -> str:
    """The finding put into demo case `index`; which it is cannot be seen from the number."""
    return CLASSES[int(np.random.default_rng(index + 77).integers(len(CLASSES)))]


def is_empty(ws: Workspace) -> bool:
    """Whether the case log holds no scan."""
    with ws.db.reading() as session:
        return not queries.has_scans(session)


def load_demo(ws: Workspace, predictor: Predictor) -> int:
    """Fill an empty case log with demo cases, more than half of them reviewed; returns how many were stored."""
    if not is_empty(ws):
        return 0
    stored = [r for r in receive(ws, predictor, _files(), source="demo", actor="demo", synthetic=True) if r.scan_id]
    for index, received in enumerate(stored[:REVIEWED]):
        record(
            ws,
            received.scan_id or 0,
            reader=DEMO_READER,
            verdict=demo_label(index),
            expected_version=0,
            click_id=new_click(),
            blind=received.audit,
        )
    return len(stored)


def _files() -> Iterator[Incoming]:
    for index in range(CASES):
        scan = phantom(demo_label(index), seed=index)
        yield Incoming(f"demo-{index + 1:02}.dcm", to_dicom(scan, f"DEMO-{index + 1:02}", number=index + 1))


def train_demo_model(ws: Workspace, target: Path, progress: Progress) -> Manifest:
    """Train the demo model on phantoms and publish it under `target`. Its figures are of phantoms, too."""
    recipe = Recipe(epochs=12, patience=12, width=12, crop="head", image_size=96)
    spec = recipe.input_spec
    parts = {split: _phantoms(split, count, spec) for split, count in _SCANS.items()}
    result = fit(parts["train"], parts["validation"], len(CLASSES), recipe, progress=progress)
    return publish_fit(
        ws,
        result,
        parts,
        CLASSES,
        spec,
        recipe,
        Origin(
            f"{_SCANS['train']} synthetic head phantoms; no patient",
            ["A demonstration without clinical meaning: it has never seen a real scan.", UNTESTED],
            demonstration=True,
        ),
        models_dir=target,
    )


def _phantoms(split: str, count: int, spec: InputSpec) -> Examples:
    samples, inputs = [], []
    for index in range(count):
        label, seed = CLASSES[index % len(CLASSES)], _FIRST_SEED[split] + index
        inputs.append((to_input(phantom(label, seed), spec) * 255).round().to(torch.uint8))
        samples.append(Sample(Path(f"phantom-{seed}"), label, f"phantom:{seed}", split))
    y = torch.tensor([CLASSES.index(sample.label) for sample in samples])
    return Examples(torch.stack(inputs), y, tuple(s.patient or "" for s in samples), tuple(samples))
