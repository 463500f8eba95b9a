"""The model versions: list them, show one, let one serve, go back."""

import argparse
import json
from typing import Any

from console import errors, sentences, user

from core.manifest import read_manifest
from core.settings import Settings
from services.models import Version, folder_of, list_versions, promote, rollback
from services.workspace import open_workspace


def main() -> None:
    args = _arguments()
    with sentences():
        ws = open_workspace(Settings())
        if args.action == "list":
            versions = list_versions(ws)
            _print(args.json, [_summary(v) for v in versions], "\n".join(map(_line, versions)) or "No model yet.")
        elif args.action == "show":
            manifest = read_manifest(folder_of(ws, args.version))
            print(manifest.model_dump_json(indent=1))
        elif args.action == "promote":
            if promote(ws, args.version, actor=user()).demonstration:
                errors.print("It has only met synthetic images: what it says of real scans means nothing. Roll back.")
            _print(args.json, {"serving": args.version}, f"{args.version} serves from the next prediction on.")
        else:
            version = rollback(ws, actor=user())
            _print(args.json, {"serving": version}, f"{version} serves again.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, help_text in (("list", "all versions"), ("rollback", "let the version before serve again")):
        actions.add_parser(name, help=help_text).add_argument("--json", action="store_true")
    for name, help_text in (("show", "a version's manifest, as JSON"), ("promote", "let a version serve")):
        action = actions.add_parser(name, help=help_text)
        action.add_argument("version")
        action.add_argument("--json", action="store_true")
    return parser.parse_args()


def _summary(version: Version) -> dict[str, Any]:
    manifest = version.manifest
    return {
        "version": version.name,
        "serving": version.serving,
        "shipped": version.shipped,
        "problem": version.problem,
        **(manifest.model_dump(mode="json", exclude={"patients", "lineage", "version"}) if manifest else {}),
    }


def _line(version: Version) -> str:
    state = "serving" if version.serving else "shipped" if version.shipped else "candidate"
    return f"{version.name}  {state:<9}  {version.problem or (version.manifest.trained_on if version.manifest else '')}"


def _print(as_json: bool, values: Any, words: str) -> None:
    print(json.dumps(values, indent=1) if as_json else words)


if __name__ == "__main__":
    main()
