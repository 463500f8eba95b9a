"""Take files, folders and zips into the case log and have the serving model read them."""

import argparse
import getpass
import json
from collections import Counter
from pathlib import Path

from console import sentences

from core.settings import Settings
from services.files import incoming
from services.intake import Received, receive
from services.models import serving_predictor
from services.review import not_head_ct
from services.workspace import open_workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of words")
    args = parser.parse_args()
    with sentences():
        ws = open_workspace(Settings())
        predictor = serving_predictor(ws)
        files = incoming(args.paths, file_mb=ws.settings.limits.file_mb)
        counts: Counter[str] = Counter()
        for received in receive(ws, predictor, files, source="ingest", actor=getpass.getuser()):
            counts[received.outcome] += 1
            print(json.dumps(as_json(received)) if args.json else in_a_line(received), flush=True)
        if not args.json:
            print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


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


def in_a_line(received: Received) -> str:
    what = f"{received.file}: {received.outcome}"
    if received.reading and not_head_ct(received.reading):
        what += ". It does not look like a head CT: the model gives it no stroke type"
    return f"{what}. {received.reason}" if received.reason else what


if __name__ == "__main__":
    main()
