"""Which versions there are, which one serves, and how that changes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from filelock import FileLock

from core import manifest as manifests
from core.manifest import BadBundle, Manifest
from core.model_process import ModelProcess, ModelStopped
from db import audit, queries
from services.workspace import DEMO_BUNDLES, SHIPPED_BUNDLES, Workspace

CARD = "card.md"


class NoSuchVersion(LookupError):
    """No bundle has that version."""


class ServesNoMore(RuntimeError):
    """Another version serves than the one whose place was to be taken; nothing was changed."""


@dataclass(frozen=True)
class Version:
    """A model version as lists show it; `problem` says why it cannot serve."""

    name: str
    serving: bool
    shipped: bool
    manifest: Manifest | None
    problem: str | None = None
    card: str | None = None  # Markdown


def folder_of(ws: Workspace, version: str) -> Path:
    """Where the bundle is. Raises NoSuchVersion."""
    for root in (ws.models_dir, SHIPPED_BUNDLES, DEMO_BUNDLES):
        if version and Path(version).name == version and (root / version).is_dir():
            return root / version
    raise NoSuchVersion(
        f"There is no model version {version!r}. `python scripts/models.py list` shows those there are."
    )


def serving_order(ws: Workspace) -> tuple[tuple[str, str], ...]:
    """(version, manifest SHA-256) to try in turn: the promoted version (where that was a shipped one which an update
    has replaced, today's), those it replaced, the shipped one, the demonstration."""
    promoted = manifests.pointer(ws.models_dir)
    replaced = [
        entry for entry in promoted[1:] if any((root / entry[0]).is_dir() for root in (ws.models_dir, SHIPPED_BUNDLES))
    ]
    shipped = [
        (path.name, _digest(path))
        for root in (SHIPPED_BUNDLES, DEMO_BUNDLES)
        for path in reversed(manifests.versions(root))
    ]
    first = shipped[:1] if promoted and _left_with_an_update(ws, promoted[0][0]) else promoted[:1]
    return tuple(dict.fromkeys([*first, *replaced, *shipped]))


def _left_with_an_update(ws: Workspace, version: str) -> bool:
    """Whether a version that was let serve shipped then, and ships no more: nothing is damaged."""
    if any((root / version).is_dir() for root in (ws.models_dir, SHIPPED_BUNDLES, DEMO_BUNDLES)):
        return False
    with ws.db.reading() as session:
        event = audit.last(session, "promote", "rollback")
    return bool(event and event["version"] == version and event.get("shipped"))


def _digest(folder: Path) -> str:
    """Of its manifest; none where there is none, as in a folder that an update left: it fails its check when asked."""
    try:
        return manifests.manifest_sha256(folder)
    except OSError:
        return ""


def manifest_of(ws: Workspace, version: str) -> Manifest:
    """What is known of a version. Raises NoSuchVersion, BadBundle."""
    return manifests.read_manifest(folder_of(ws, version))


def model_of(ws: Workspace, version: str) -> ModelProcess:
    """Any version, to read with. Raises NoSuchVersion, BadBundle."""
    return _registered(ws, folder_of(ws, version))


def is_demonstration(ws: Workspace, version: str) -> bool:
    """Whether a version has only met synthetic images; by the case log, where its record is gone."""
    try:
        return manifest_of(ws, version).demonstration
    except (BadBundle, NoSuchVersion, OSError):
        with ws.db.reading() as session:
            return queries.is_demonstration(session, version)


def trained_patients(ws: Workspace, version: str, part: str = "train") -> frozenset[str]:
    """Keys of the patients a version was trained on, or that were its `part`; of none, where its record is gone."""
    try:
        return frozenset(manifest_of(ws, version).patients.get(part, []))
    except (BadBundle, NoSuchVersion, OSError):
        return frozenset()


def mistaken_for(ws: Workspace, version: str, label: str) -> str | None:
    """What a version, or one that it was trained on from, has been seen to take for a class; None where nothing is
    known, or its record is gone."""
    try:
        return manifest_of(ws, version).mistaken.get(label)
    except (BadBundle, NoSuchVersion, OSError):
        return None


def trained_elsewhere(ws: Workspace, manifest: Manifest) -> bool:
    """Whether its patients' keys were made with another secret, so that nobody can tell who was trained on."""
    return manifest.keyed_by not in (None, ws.pseudonym.fingerprint) and not manifest.demonstration


UNREADABLE = "The record of which version serves (models/serving.json) is damaged or may not be read here"


def load_serving(ws: Workspace, order: tuple[tuple[str, str], ...]) -> tuple[ModelProcess, str | None]:
    """The first of `order` that passes its check, and a sentence where it is not the first.

    Raises BadBundle where none does, ModelStopped where the process of one does not start.
    """
    problems = [UNREADABLE] if manifests.pointer_unreadable(ws.models_dir) else []
    for version, digest in order:
        try:
            model = ModelProcess(_as_promoted(ws, version, digest))
        except ModelStopped:
            raise
        except (BadBundle, NoSuchVersion, OSError) as error:
            _note_failure(ws, version, error)
            problems.append(f"{version} failed its check and does not serve ({str(error).removesuffix('.')})")
            continue
        _register(ws, model.manifest, digest)
        notice = f"{'; '.join(problems)}. {version} serves instead." if problems else None
        return model, notice
    raise BadBundle("No model can serve: " + ("; ".join(problems) or "none is installed") + ".")


def _as_promoted(ws: Workspace, version: str, digest: str) -> Path:
    """Its folder. Raises NoSuchVersion, BadBundle or OSError where its manifest is not the one that was promoted."""
    folder = folder_of(ws, version)
    if manifests.manifest_sha256(folder) != digest:
        raise BadBundle(f"The manifest of {version} is not the one that was promoted.")
    return folder


def serving_model(ws: Workspace) -> ModelProcess:
    """The model that serves now, for commands that run once. Raises BadBundle."""
    return load_serving(ws, serving_order(ws))[0]


def demonstration_model(ws: Workspace) -> ModelProcess:
    """The model that reads demo cases. Raises BadBundle where it is damaged or missing."""
    folders = manifests.versions(DEMO_BUNDLES)
    if not folders:
        raise BadBundle("The demonstration model is missing from this checkout.")
    return _registered(ws, folders[-1])


def _registered(ws: Workspace, folder: Path) -> ModelProcess:
    """The model of a bundle, known to the case log."""
    model = ModelProcess(folder)
    _register(ws, model.manifest, manifests.manifest_sha256(folder))
    return model


def _register(ws: Workspace, manifest: Manifest, digest: str) -> None:
    """Readings name their version: the case log has to know it."""
    with ws.db.writing() as session:
        queries.register_version(session, manifest.version, digest, manifest.parent, manifest.demonstration)


def champion(ws: Workspace) -> str | None:
    """The version that serves: the first whose files are as they were when it was promoted, and that has not failed to
    load in this process. None without one."""
    return next((version for version, digest in serving_order(ws) if _is_whole(ws, version, digest)), None)


def _is_whole(ws: Workspace, version: str, digest: str) -> bool:
    try:
        return _damage(_as_promoted(ws, version, digest)) is None
    except (BadBundle, NoSuchVersion, OSError):
        return False


def preferred(ws: Workspace) -> tuple[str, ...]:
    """Whose readings are shown, in this order, the first there is: the version's that serves, then those of the
    versions before it. A candidate that never served comes after them."""
    return tuple(dict.fromkeys([*filter(None, [champion(ws)]), *(version for version, _ in serving_order(ws))]))


def _damage(folder: Path) -> str | None:
    """Why a bundle cannot serve: what is not as published in it, or why it did not load; None where it is whole. Raises
    OSError where a file is missing."""
    state = _state(folder)
    return _failed_to_load.get((folder, state)) or _damage_since(folder, state)


_State = tuple[tuple[int, int], ...]
_failed_to_load: dict[tuple[Path, _State], str] = {}
"""Why bundles that are whole did not load, for as long as their files stay as they are."""


def _state(folder: Path) -> _State:
    """Its files' times and sizes."""
    files = [folder / name for name in (manifests.MANIFEST, manifests.MANIFEST_SHA, manifests.WEIGHTS)]
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in (file.stat() for file in files))


def _note_failure(ws: Workspace, version: str, why: Exception) -> None:
    with suppress(NoSuchVersion, OSError):
        folder = folder_of(ws, version)
        _failed_to_load[folder, _state(folder)] = str(why)


@lru_cache(maxsize=64)
def _damage_since(folder: Path, state: _State) -> str | None:
    """The same, once for as long as the files' times and sizes stay: pages ask at every click."""
    try:
        manifests.read_weights(folder, manifests.read_manifest(folder))
    except BadBundle as error:
        return str(error)
    return None


def list_versions(ws: Workspace) -> list[Version]:
    """Newest first, the shipped ones last."""
    serving = champion(ws)
    found = []
    for root in (ws.models_dir, SHIPPED_BUNDLES, DEMO_BUNDLES):
        for path in reversed(manifests.versions(root)):
            shipped = root != ws.models_dir
            try:
                manifest = manifests.read_manifest(path)
                if problem := _damage(path):
                    raise BadBundle(problem)
                found.append(Version(path.name, path.name == serving, shipped, manifest, card=_card(path)))
            except (BadBundle, OSError) as error:
                found.append(Version(path.name, path.name == serving, shipped, None, str(error)))
    return found


def _card(folder: Path) -> str | None:
    """The card that lies beside a bundle's weights, without its title, its pictures and its links to other documents: a
    page has no place for them, and headings of its own."""
    card = folder / CARD
    if not card.is_file():
        return None
    text = re.sub(r"!\[[^]]*\]\([^)]*\)|^# .*\n", "", card.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^(?=##+ )", "##", text, flags=re.MULTILINE)
    return re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


def promote(ws: Workspace, version: str, *, actor: str, instead_of: str | None = None) -> Manifest:
    """Let `version` serve from the next prediction on; with `instead_of` only in that version's place.

    Raises NoSuchVersion, BadBundle where it fails its check, or ServesNoMore."""
    folder = folder_of(ws, version)
    manifest = _checked(folder)
    with _switching(ws, instead_of):
        history = [entry for entry in serving_order(ws) if entry[0] != version]
        _serve(ws, [(version, manifests.manifest_sha256(folder)), *history], "promote", actor)
    return manifest


def rollback(ws: Workspace, *, actor: str, instead_of: str | None = None) -> str:
    """Let the version that served before serve again; returns it. With `instead_of` only in that version's place: two
    who go back from it at once go back one step.

    Raises ServesNoMore, BadBundle, or NoSuchVersion where there is none before."""
    with _switching(ws, instead_of):
        rest = _behind(ws)
        if not rest:
            raise NoSuchVersion("There is no earlier version to go back to.")
        version = rest[0][0]
        try:
            _checked(folder_of(ws, version))
        except ModelStopped:
            raise
        except BadBundle as error:  # the way back leads past it from now on
            _note_failure(ws, version, error)
            raise
        _serve(ws, rest, "rollback", actor)
    return version


def way_back(ws: Workspace) -> str | None:
    """The version that `rollback` lets serve; None where there is none."""
    return next((version for version, _ in _behind(ws)), None)


def _behind(ws: Workspace) -> list[tuple[str, str]]:
    """The serving order from the version on that served before and is whole: the way back ends at the model of real
    scans that ships, whole or not."""
    order, serving = serving_order(ws), champion(ws)
    for place, (before, entry) in enumerate(pairwise(order), 1):
        if (SHIPPED_BUNDLES / before[0]).is_dir() and (DEMO_BUNDLES / entry[0]).is_dir():
            return []
        if serving in {version for version, _ in order[:place]} and _is_whole(ws, *entry):
            return list(order[place:])
    return []


@contextmanager
def _switching(ws: Workspace, instead_of: str | None) -> Iterator[None]:
    """One at a time decides what serves, and knows what it replaces. Raises ServesNoMore."""
    ws.models_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(ws.models_dir / ".serving.lock"):
        serving = champion(ws)
        if instead_of not in (None, serving):
            raise ServesNoMore(f"{instead_of} does not serve any more: {serving or 'no version'} does. Look again.")
        yield


def _checked(folder: Path) -> Manifest:
    """Its manifest, after it has been loaded once. Raises BadBundle."""
    return ModelProcess(folder).manifest


def _serve(ws: Workspace, order: list[tuple[str, str]], action: str, actor: str) -> None:
    """The event first: a pointer without its event could not be explained, an event without its pointer can."""
    version, digest = order[0]
    manifest = manifests.read_manifest(folder_of(ws, version))
    with ws.db.writing() as session:
        queries.register_version(session, version, digest, manifest.parent, manifest.demonstration)
        replaced = next((name for name, _ in serving_order(ws)), None)
        shipped = not (ws.models_dir / version).is_dir()
        audit.append(session, actor, action, {"version": version, "replaced": replaced, "shipped": shipped})
    manifests.point_to(ws.models_dir, order)
