"""Put synthetic demo cases into an empty case log, or go on where that was killed; or train their model."""

import argparse

from console import sentences, training_bar

from core.settings import Settings
from services.demo import is_due, load_demo
from services.demo_model import train_demo_model
from services.models import demonstration_model
from services.workspace import DEMO_BUNDLES, open_workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--train-model", action="store_true", help="train the demo model into bundles/demonstration instead"
    )
    args = parser.parse_args()
    with sentences():
        ws = open_workspace(Settings())
        if args.train_model:
            with training_bar() as tell:
                print(train_demo_model(ws, DEMO_BUNDLES, tell).version)
            return
        if is_due(ws):
            print(f"{load_demo(ws, demonstration_model(ws))} synthetic demo cases loaded.")
        else:
            print("The case log is not empty; nothing was added.")


if __name__ == "__main__":
    main()
