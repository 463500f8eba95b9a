"""The Evaluation page on a full case log: server time of one run, against the same page on a tenth of it.

    python -m benchmarks.evaluation_page [--scans 20000]

The log is filled with rows only (no pixels): every scan read by one model and reviewed, some by two readers.
"""

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from core.labels import CLASSES
from core.settings import ROOT, Settings
from db import models
from services.workspace import DEMO_BUNDLES, Workspace, open_workspace

SCANS_PER_PATIENT = 10
TARGET_S = 2.0


def fill(ws: Workspace, scans: int, seed: int = 0) -> None:
    """`scans` reviewed scans with plausible readings, in one transaction."""
    rng = np.random.default_rng(seed)
    [version] = [path.name for path in DEMO_BUNDLES.iterdir() if path.is_dir()]
    patients = scans // SCANS_PER_PATIENT
    truth = rng.integers(len(CLASSES), size=scans)
    z = rng.normal(0, 1, (scans, len(CLASSES)))
    z[np.arange(scans), truth] += 2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    with ws.db.writing() as session:
        session.add(models.ModelVersion(version=version, manifest_sha256="0" * 64))
        session.add_all(models.Batch(id=i + 1, source=name, actor="b") for i, name in enumerate(("upload", "ingest")))
        session.add_all(models.Patient(key=f"p{i}", split="test") for i in range(patients))
        session.flush()
        session.add_all(models.Study(key=f"s{i}", patient_key=f"p{i}") for i in range(patients))
        session.flush()
        session.execute(insert(models.Scan), [_scan(i, patients) for i in range(scans)])
        session.execute(insert(models.Reading), [_reading(i, version, p[i]) for i in range(scans)])
        verdicts = np.where(rng.random(scans) < 0.95, truth, rng.integers(len(CLASSES), size=scans))
        reviews = [_review(i, i, "Ann", int(verdicts[i]), began) for i in range(scans)]
        reviews += [_review(scans + i, i, "Ben", int(truth[i]), began) for i in range(0, scans, 10)]
        session.execute(insert(models.Review), reviews)


def _scan(i: int, patients: int) -> dict[str, object]:
    return {
        "id": i + 1, "content_hash": f"{i:064x}", "study_key": f"s{i % patients}", "batch_id": 1 + i % 2,
        "unit": "display", "height": 512, "width": 512, "number": None, "meta": {}, "synthetic": False,
        "audit": i % 10 == 0, "version": 1, "created_at": models.now(),
    }  # fmt: skip


def _reading(i: int, version: str, p: np.ndarray) -> dict[str, object]:
    return {
        "id": i + 1, "scan_id": i + 1, "model_version": version, "label": CLASSES[int(p.argmax())],
        "confidence": float(p.max()), "probabilities": dict(zip(CLASSES, p.tolist(), strict=True)),
        "flags": ["uncertain"] if p.max() < 0.6 else [], "heat": b"", "heat_shape": {}, "created_at": models.now(),
    }  # fmt: skip


def _review(number: int, i: int, reader: str, verdict: int, began: datetime) -> dict[str, object]:
    return {
        "scan_id": i + 1, "reader": reader, "verdict": CLASSES[verdict], "blind": i % 10 == 0, "adjudication": False,
        "click_id": f"{number:036d}", "created_at": began + timedelta(minutes=15 * i),
    }  # fmt: skip


def draw(home: Path, runs: int = 3) -> float:
    """Seconds the page's script takes, the best of `runs` after a first one that imports and opens everything."""
    from streamlit.testing.v1 import AppTest

    from dashboard import resources

    os.environ["STROKE_HOME"] = str(home)
    resources.workspace.clear()
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=300)
    app.run()
    app.switch_page("app_pages/evaluation.py").run()
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        app.run()
        taken.append(time.perf_counter() - began)
        assert not app.exception, app.exception
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=20_000)
    args = parser.parse_args()
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for scans in (args.scans // 10, args.scans):
            home = Path(folder) / str(scans)
            fill(open_workspace(Settings(home=home)), scans)
            seconds[scans] = draw(home)
    small, large = seconds.values()
    print(f"{args.scans} reviewed scans: {large:.2f} s (target: under {TARGET_S:g} s)")
    print(
        f"{args.scans // 10} reviewed scans: {small:.2f} s; ten times the scans take {large / small:.1f} times as long"
    )


if __name__ == "__main__":
    main()
