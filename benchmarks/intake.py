"""Take in many real JPGs, and see what the time goes into, beside a plain loop. Both in one run.

    python -m benchmarks.intake --data ../shared/data [--scans 2000]

The plain loop opens each file with Pillow in the server's own process, without limits, hash, pseudonym or near
duplicates, has the same model read it alone, and commits it alone.
"""

import argparse
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.model_process import ModelProcess
from core.reading import Model
from core.scan import Scan
from core.settings import ROOT, Settings
from db.images import ImageStore
from services import intake
from services.files import incoming
from services.models import folder_of, serving_model
from services.workspace import Workspace, open_workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder that holds ct_ich")
    parser.add_argument("--scans", type=int, default=2000)
    args = parser.parse_args()
    paths = sorted((args.data / "ct_ich").rglob("*.jpg"))[: args.scans]
    with tempfile.TemporaryDirectory() as folder:
        ws = open_workspace(Settings(home=Path(folder) / "home"))
        model = serving_model(ws)
        model.read([Scan(np.zeros((64, 64), np.float32), "display")])
        before = memory_mb()
        shares: dict[str, float] = {}
        ours, outcomes = _ours(ws, model, paths, shares)
        after = memory_mb()
        model.close()
        ws.decoder.close()
        children = memory_mb(of_children=True)
        plain = _plain(model.manifest.version, ws, paths, Path(folder) / "plain.sqlite")
    print(f"{len(paths)} files: " + ", ".join(f"{n} {name}" for name, n in outcomes.items()))
    print(f"intake      {len(paths) / ours:6.0f} files/s   {ours / plain:.2f} times as long as the plain loop")
    print(f"plain loop  {len(paths) / plain:6.0f} files/s")
    for name, seconds in sorted(shares.items(), key=lambda item: -item[1]):
        print(f"  {name:<52} {seconds / ours:5.0%} of the intake")
    print(f"memory at its highest: {after:.0f} MB, {after - before:.0f} MB more than before the first file")
    print(f"of the larger of its two child processes, the model's: {children:.0f} MB")


def memory_mb(*, of_children: bool = False) -> float:
    """The highest resident size of this process so far, or of the largest of its children that have ended."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF).ru_maxrss / 1024


def _ours(ws: Workspace, model: Model, paths: list[Path], shares: dict[str, float]) -> tuple[float, Counter[str]]:
    with (
        _timed(type(ws.decoder), "read_all", "decoding, in its own process", shares, lazy=True),
        _timed(ModelProcess, "read", "preparing and the forward pass, in the model's process", shares),
        _timed(ImageStore, "put", "image store (PNG to disk, fsync)", shares),
        _timed(intake, "to_stored", "encoding as PNG", shares),
        _timed(intake, "_store", "database and near duplicates", shares),
    ):
        began = time.perf_counter()
        files = incoming(paths, limits=ws.settings.limits)
        outcomes: Counter[str] = Counter(
            one.outcome for one in intake.receive(ws, model, files, source="ingest", actor="benchmark")
        )
        return time.perf_counter() - began, outcomes


@contextmanager
def _timed(owner: Any, name: str, what: str, shares: dict[str, float], *, lazy: bool = False) -> Iterator[None]:
    """Add the time spent in a function, or in drawing from the iterator it returns, to `shares`."""
    real: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        with _clock(what, shares):
            result = real(*args, **kwargs)
        return _drawn(result, what, shares) if lazy else result

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, real)


def _drawn(items: Iterator[Any], what: str, shares: dict[str, float]) -> Iterator[Any]:
    while True:
        with _clock(what, shares):
            item = next(items, None)
        if item is None:
            return
        yield item


def _clock(what: str, shares: dict[str, float]) -> AbstractContextManager[None]:
    @contextmanager
    def running() -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            shares[what] = shares.get(what, 0.0) + time.perf_counter() - began

    return running()


def _plain(version: str, ws: Workspace, paths: list[Path], database: Path) -> float:
    from core.bundle import load  # PyTorch, which the intake does without
    from core.predict import Predictor

    predictor = Predictor(load(folder_of(ws, version)))
    predictor.read([Scan(np.zeros((64, 64), np.float32), "display")])
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE answers (file TEXT, label TEXT, confidence REAL)")
    began = time.perf_counter()
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"), np.float32)
        [reading] = predictor.read([Scan(pixels, "display")])
        connection.execute("INSERT INTO answers VALUES (?, ?, ?)", (str(path), reading.label, reading.confidence))
        connection.commit()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
