"""Look for what makes a data set's figures untrue: shared patients, copies, two labels, shortcuts. Exit 1 on a leak."""

import argparse
import json
import sys
from pathlib import Path

from console import bar, sentences, writable
from data_options import add_data_options, root_of, samples_from

from core.dataset import DatasetError, file_reader
from core.dataset_audit import Auditor, clean_samples, look_at_all
from core.listing import write_manifest
from core.settings import Settings
from services.audit_report import draw_pairs, in_markdown, summary, verdict
from services.workspace import open_workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    parser.add_argument(
        "--write-clean",
        type=Path,
        metavar="CSV",
        help="write a manifest without copies and contradictions, patients apart; take it with --manifest",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the findings there")
    parser.add_argument(
        "--report", type=Path, metavar="OUT.md", help="write a report, and beside it a picture of pairs"
    )
    args = parser.parse_args()
    with sentences():
        for path in (args.json, args.report, args.write_clean):
            writable(path)
        ws = open_workspace(Settings())
        samples = samples_from(args, ws.pseudonym)
        root = root_of(args)
        reader = file_reader(ws.pseudonym, ws.settings.limits.megapixels)
        auditor = Auditor(root)
        with bar("looking at scans") as progress:
            look_at_all(samples, auditor, reader=reader, progress=progress)
        if not auditor.samples:
            name, reason = auditor.unreadable[0]
            raise DatasetError(f"None of {len(samples)} files can be read. The first, {name}: {reason}")
        found = auditor.findings()
        if args.write_clean:
            clean = clean_samples(auditor.samples, found, root)
            write_manifest(clean, root, args.write_clean)
        if args.json:
            args.json.write_text(json.dumps(found.to_json(), indent=1))
        if args.report:
            picture = args.report.with_suffix(".pairs.png")
            drawn = draw_pairs([*found.near, *found.exact], root, reader, picture)
            report = in_markdown(found, root.resolve().name, picture.name if drawn else None)
            args.report.write_text(report, "utf-8", "backslashreplace")  # a file's name may be no UTF-8
        print("\n".join([*summary(found), verdict(found).replace("**", "")]))
        if args.write_clean:
            print(f"{args.write_clean}: {len(clean)} scans, patients apart, without copies and contradictions.")
    sys.exit(1 if found.leaks else 0)


if __name__ == "__main__":
    main()
