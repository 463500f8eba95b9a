"""Check the case log: the database file, the audit chain, the key, and every stored image. Changes nothing.

Exit 1 where something is wrong, 2 where there is no case log.
"""

import argparse
import sys

from console import bar, sentences

from core.labels import counted
from core.settings import Settings
from services.checking import Checked, problems


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    checked, found = Checked(), 0
    with sentences(), bar("checking images") as tell:
        for problem in problems(Settings(), checked, tell):
            print(problem, flush=True)
            found += 1
    last = f", the last of {checked.last:%Y-%m-%d %H:%M} UTC" if checked.last else ""
    print(f"Checked {counted(checked.scans, 'scan')} and {counted(checked.events, 'event')}{last}.")
    if found:
        sys.exit(1)
    print(
        "What was checked is whole: database, audit chain, key, verdicts, images; and readings and splits agree with "
        "themselves, which is all that can be asked of them."
    )


if __name__ == "__main__":
    main()
