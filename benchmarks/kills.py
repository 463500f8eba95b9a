"""Kill an intake at random moments, again and again, and look at what it left behind.

    python -m benchmarks.kills [--times 100]

Each time a process of its own takes in new scans and is killed by the system, without a chance to tidy up. Afterwards
every row of the case log must have its file, whole; what no row names must be gone after the next start's sweep.
Needs a system that can fork (Linux, macOS).
"""

import argparse
import io
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import text

from core.settings import Limits, Settings
from db import queries
from services.intake import Incoming, receive
from services.models import serving_model
from services.removal import sweep_images
from services.workspace import Workspace, open_workspace, stored_scan

LONGEST_S = 0.6
"""After the first scan is stored."""


@dataclass
class Damage:
    """What was found after all kills."""

    kills: int = 0
    scans: int = 0  # stored, in all
    acknowledged_lost: int = 0  # told to whoever sent them, and not in the log
    rows_without_file: int = 0
    orphans: int = 0  # files that no row names, before the sweep
    orphans_left: int = 0


def kill_intakes(home: Path, times: int, seed: int = 0) -> Damage:
    """Kill `times` intakes into one home."""
    chance, damage = random.Random(seed), Damage()
    acknowledged = home.parent / "acknowledged"
    acknowledged.touch()
    for number in range(times):
        child = os.fork()
        if child == 0:
            _take_until_killed(home, number, acknowledged)
        while not (home / f"began-{number}").exists():
            time.sleep(0.005)
        time.sleep(chance.uniform(0, LONGEST_S))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        damage.kills += 1
    _look(open_workspace(Settings(home=home)), acknowledged, damage)
    return damage


def _take_until_killed(home: Path, number: int, acknowledged: Path) -> None:
    ws = open_workspace(Settings(home=home, limits=Limits(batch_size=4)))
    model = serving_model(ws)
    with acknowledged.open("a", buffering=1) as told:
        for received in receive(ws, model, _new_scans(number), source="ingest", actor="benchmark"):
            told.write(f"{received.scan_id}\n")
            (home / f"began-{number}").touch()
    os._exit(1)  # there are more scans than can be read in the time


def _new_scans(number: int) -> Iterator[Incoming]:
    rng = np.random.default_rng(number)
    for i in range(10_000):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(out, "PNG")
        yield Incoming(f"{i}.png", out.getvalue())


def _look(ws: Workspace, acknowledged: Path, damage: Damage) -> None:
    with ws.db.reading() as session:
        assert session.scalar(text("PRAGMA integrity_check")) == "ok"
        rows = queries.scans(session)
        read = queries.readings(session, scan_ids=None)
    damage.scans = len(rows)
    told = {int(line) for line in acknowledged.read_text().splitlines() if line.strip().isdigit()}
    damage.acknowledged_lost = len(told - {row.id for row in rows if row.id in read})
    known = {row.content_hash for row in rows}
    for digest in known:
        try:
            stored_scan(ws, digest)  # checks the hash
        except (LookupError, ValueError):
            damage.rows_without_file += 1
    damage.orphans = _strangers(ws, known)
    sweep_images(ws, stale_s=-1)
    damage.orphans_left = _strangers(ws, known)


def _strangers(ws: Workspace, known: set[str]) -> int:
    return sum(path.stem not in known for path in ws.images.root.glob("*/*.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(kill_intakes(Path(folder) / "home", args.times))


if __name__ == "__main__":
    main()
