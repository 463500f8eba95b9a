"""Train on the reviewed scans, compare with the model that serves, let the new one serve where it is not worse."""

import argparse
import json
from dataclasses import asdict

from console import errors, sentences, training_bar

from core.settings import Settings
from services.learning import retrain
from services.workspace import open_workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained on, and stop")
    parser.add_argument("--json", action="store_true", help="print the decision as JSON")
    parser.add_argument("--demo", action="store_true", help="use the synthetic demo cases, and only them")
    args = parser.parse_args()
    with sentences():
        ws = open_workspace(Settings())
        with training_bar() as tell:
            decision = retrain(
                ws, dry_run=args.dry_run, synthetic=args.demo, progress=tell, say=lambda text: errors.print(text)
            )
    if args.json:
        print(json.dumps(asdict(decision), indent=1))
    else:
        print(decision.reason)
        if args.dry_run:
            return
        print(f"candidate: {decision.candidate or 'none'}; decision: {decision.decision}")


if __name__ == "__main__":
    main()
