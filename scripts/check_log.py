"""Check the case log: the database file, the audit chain, and every stored image. Exit 1 where something is wrong."""

import argparse
import sys

from console import bar, sentences

from core.settings import Settings
from services.checking import problems
from services.workspace import open_workspace


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with sentences():
        ws = open_workspace(Settings())
        found = 0
        with bar("checking images") as tell:
            for problem in problems(ws, tell):
                print(problem, flush=True)
                found += 1
    if found:
        sys.exit(1)
    print("The case log is whole.")


if __name__ == "__main__":
    main()
