"""Take files, folders and zips into the case log and have the serving model read them."""

import argparse
import contextlib
import json
import sys
import time
from collections import Counter
from pathlib import Path

from console import errors, sentences, user

from core.manifest import BadBundle
from core.reading import Model, not_head_ct
from core.settings import Settings
from db.session import UnusableLog
from services.files import incoming, landed
from services.intake import FROM_FOLDER, BatchGone, Received, receive
from services.models import load_serving, serving_order
from services.removal import sweep_images
from services.workspace import Workspace, open_workspace

LOOK_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument(
        "--watch", type=Path, metavar="DIR", help="go on taking in what lands in a folder, until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of words")
    args = parser.parse_args()
    if not args.paths and not args.watch:
        parser.error("name a file, a folder or a zip, or --watch a folder")
    with sentences():
        ws = open_workspace(Settings())
        sweep_images(ws)
        model = serving(ws)
        if args.paths:
            counts = take(ws, model, args.paths, args.json)
            if not args.watch and not (all(path.exists() for path in args.paths) and counts.keys() - {"refused"}):
                sys.exit(1)
        if args.watch:
            watch(ws, model, args.watch, args.json)


def serving(ws: Workspace) -> Model:
    """The model that serves; that it is not the one that should is said."""
    model, notice = load_serving(ws, serving_order(ws))
    if notice:
        errors.print(notice, markup=False)
    return model


def take(ws: Workspace, model: Model, paths: list[Path], as_lines: bool) -> Counter[str]:
    """One batch; how many files had which outcome."""
    counts: Counter[str] = Counter()
    files, blind = incoming(paths, limits=ws.settings.limits), ws.settings.review.blind_first
    for received in receive(ws, model, files, source=FROM_FOLDER, actor=user()):
        counts[received.outcome] += 1
        print(json.dumps(as_json(received)) if as_lines else in_a_line(received, blind_first=blind), flush=True)
    if not as_lines:
        print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()), flush=True)
    return counts


def watch(ws: Workspace, model: Model, folder: Path, as_lines: bool) -> None:
    """A batch whenever files have come to rest in the folder; each is read by the model that serves then."""
    if not folder.is_dir():
        raise NotADirectoryError(f"There is no folder {folder} to watch.")
    errors.print(f"Watching {folder}; Ctrl-C ends it.", markup=False)
    seen: dict[Path, tuple[int, int]] = {}
    order = serving_order(ws)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            if paths := landed(folder, seen):
                try:
                    if order != serving_order(ws):
                        order, model = serving_order(ws), serving(ws)
                    take(ws, model, paths, as_lines)
                except BrokenPipeError:  # nobody listens any more
                    raise
                except BatchGone as error:  # by a reader: what lands next is another batch
                    errors.print(str(error), markup=False)
                except (UnusableLog, BadBundle, OSError) as error:  # may pass; nothing is stored twice
                    errors.print(f"{error} They are taken in again in a moment.", markup=False)
                    for path in paths:
                        seen.pop(path, None)
            time.sleep(LOOK_S)


def as_json(received: Received) -> dict[str, object]:
    values: dict[str, object] = {"file": received.file, "outcome": received.outcome, "reason": received.reason}
    if received.scan_id is not None:
        values["scan_id"] = received.scan_id
        if reading := received.reading:
            values |= {
                "model": reading.model_version,
                "label": reading.label,
                "confidence": reading.confidence,
                "probabilities": reading.probabilities,
                "flags": list(reading.flags),
            }
    return values


def printable(name: str) -> str:
    """A file's name without what a terminal cannot show or would obey."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in name)


def in_a_line(received: Received, *, blind_first: bool) -> str:
    """In words, without what the model says where a reader is to give a verdict first."""
    what = f"{printable(received.file)}: {received.outcome}"
    hidden = blind_first or received.audit
    if received.reading and not_head_ct(received.reading) and not hidden:
        what += ". Perhaps no head CT: the model gives it no stroke type"
    return f"{what}. {received.reason}" if received.reason else what


if __name__ == "__main__":
    main()
