"""Training runs in a process of its own, never in a page. Here it is started and listened to."""

import os
import subprocess
import sys
from pathlib import Path
from threading import Lock

from filelock import FileLock, Timeout

from core.settings import ROOT
from services.workspace import Workspace

_LAST_BYTES = 4000


class Busy(RuntimeError):
    """Another training runs in this home."""


def retraining(ws: Workspace) -> bool:
    """Whether a retraining holds this home's lock, whoever started it, or has been started here and is on its way."""
    started = _started.get(ws.settings.training_dir)
    if started and started.poll() is None:
        return True
    lock = lock_path(ws)
    if not lock.exists():
        return False
    try:
        with FileLock(lock).acquire(timeout=0):
            return False
    except Timeout:
        return True


_started: dict[Path, subprocess.Popen[bytes]] = {}
"""By training folder: it takes a process seconds to come to its lock."""
_starting = Lock()


def lock_path(ws: Workspace) -> Path:
    return ws.settings.training_dir / "retrain.lock"


def start_retraining(ws: Workspace) -> None:
    """Run scripts/retrain.py in the background, unless one runs; what it says goes to a log in the home."""
    environment = {
        **os.environ,
        "STROKE_HOME": str(ws.settings.home_dir),
        "STROKE_DATABASE_URL": ws.settings.database_url,
    }
    ws.settings.training_dir.mkdir(parents=True, exist_ok=True)
    with _starting:
        if retraining(ws):
            return
        with _log(ws).open("wb") as log:
            _started[ws.settings.training_dir] = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "retrain.py")],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # it outlives the page, and the dashboard
            )


def retraining_log(ws: Workspace) -> str:
    """The end of what the last retraining started here has said."""
    try:
        return _log(ws).read_bytes()[-_LAST_BYTES:].decode(errors="replace")
    except FileNotFoundError:
        return ""


def _log(ws: Workspace) -> Path:
    return ws.settings.training_dir / "retrain.log"
