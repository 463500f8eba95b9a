"""The model that reads demo cases: trained on synthetic heads, and good for nothing else."""

from pathlib import Path

import torch

from core.dataset import Examples, Sample, to_bytes
from core.labels import CLASSES
from core.manifest import Manifest
from core.phantom import phantom
from core.preprocess import InputSpec
from core.settings import Recipe
from core.train import Progress, fit
from services.publishing import UNTESTED, Origin, publish_fit
from services.workspace import Workspace

_FIRST_SEED = {"train": 10_000, "validation": 20_000, "test": 30_000}
_SCANS = {"train": 900, "validation": 300, "test": 300}


def train_demo_model(ws: Workspace, target: Path, progress: Progress) -> Manifest:
    """Train the demo model on phantoms and publish it under `target`. Its figures are of phantoms, too."""
    recipe = Recipe(epochs=12, patience=12, width=12, crop="head", image_size=96)
    spec = recipe.input_spec
    parts = {split: _phantoms(split, count, spec) for split, count in _SCANS.items()}
    result = fit(parts["train"], parts["validation"], CLASSES, recipe, progress=progress)
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
        inputs.append(to_bytes(phantom(label, seed), spec))
        samples.append(Sample(Path(f"phantom-{seed}"), label, f"phantom:{seed}", split))
    y = torch.tensor([CLASSES.index(sample.label) for sample in samples])
    return Examples(torch.stack(inputs), y, tuple(samples))
