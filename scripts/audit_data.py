"""Look for what makes a data set's figures untrue: shared patients, copies, two labels, shortcuts. Exit 1 on a leak."""

import argparse
import json
import sys
from pathlib import Path

from console import bar, sentences
from data_options import add_data_options, samples_from

from core.dataset import file_reader
from core.dataset_audit import audit
from core.settings import Settings
from services.audit_report import draw_pairs, in_markdown, summary, verdict
from services.workspace import open_workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the findings there")
    parser.add_argument(
        "--report", type=Path, metavar="OUT.md", help="write a report, and beside it a picture of pairs"
    )
    args = parser.parse_args()
    with sentences():
        ws = open_workspace(Settings())
        root = args.data or args.manifest.parent
        samples = samples_from(args, ws.pseudonym)
        reader = file_reader(ws.pseudonym, ws.settings.limits.megapixels)
        with bar("looking at scans") as progress:
            found = audit(samples, root, reader=reader, progress=progress)
        if args.json:
            args.json.write_text(json.dumps(found.to_json(), indent=1))
        if args.report:
            picture = args.report.with_suffix(".pairs.png")
            drawn = draw_pairs([*found.near, *found.exact], root, reader, picture)
            args.report.write_text(in_markdown(found, root.resolve().name, picture.name if drawn else None))
        print("\n".join([*summary(found), verdict(found).replace("**", "")]))
    sys.exit(1 if found.leaks else 0)


if __name__ == "__main__":
    main()
