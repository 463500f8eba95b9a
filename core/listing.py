"""Folders or a manifest -> which files are labelled scans."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from core.dataset import DatasetError, Sample
from core.labels import CLASSES, SPLITS, counted, parse_class, parse_split
from core.pseudonym import Pseudonym, are_keys
from core.signatures import HEAD, is_dicom, is_picture

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".dcm", ""}
"""Files named so are taken for scans, and named where they are none; others only where their content says so: exports
often call a DICOM file by its UID."""


SKIP = "skip"
"""What a mapping gives for a word of the data's own that is to be left out."""


def from_folders(
    root: Path, mapping: Mapping[str, str] = MappingProxyType({}), say: Callable[[str], None] = lambda text: None
) -> list[Sample]:
    """Samples of ``root/[split/]class/file``; split and class folders in any case and common spelling, or as `mapping`
    translates them. Links to folders are followed. What folders of no class hold is left out, which `say` is told.

    Raises DatasetError where no folder under `root` names a class.
    """
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}.")
    samples, unclaimed, levels = list[Sample](), list[tuple[str, ...]](), Counter[int]()
    for path in _files(root):
        parts = path.relative_to(root).parts[:-1]
        means = [SKIP if mapping.get(part) == SKIP else parse_class(mapping.get(part, part)) for part in parts]
        label = next(filter(None, reversed(means)), None)
        if label == SKIP or path.name.startswith(".") or not _may_be_scan(path):
            continue
        if label:
            split = next(filter(None, map(parse_split, parts)), None)
            samples.append(Sample(path, label, split=split))
            levels[len(means) - 1 - means[::-1].index(label)] += 1
        elif path.suffix and parts:
            unclaimed.append(parts)
    level = levels.most_common(1)[0][0] if levels else -1  # at which class folders lie
    for folder, count in Counter(parts[min(level, len(parts) - 1)] for parts in unclaimed).items():
        say(
            f"left out: {counted(count, 'file')} in {folder}, which names no class. Where it is one, say which: "
            f"--map '{folder}=hemorrhagic' (or ischemic, no_stroke; or skip, to hear no more of it)."
        )
    if not samples:
        raise DatasetError(
            f"No class folder with an image in it under {root}. Expected train/, validation/ and test/, each with "
            f"folders named {', '.join(CLASSES)} (any case, British or American) that hold pictures or single DICOM "
            "slices, or give --manifest CSV."
        )
    return samples


def _files(root: Path) -> Iterator[Path]:
    """Files below a folder in the order of their names, each folder once, whatever links lead there."""
    met = set[Path]()
    for place, folders, names in os.walk(root, followlinks=True):
        if (real := Path(place).resolve()) in met:
            folders.clear()
            continue
        met.add(real)
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(place) / name).is_file())


def _may_be_scan(path: Path) -> bool:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return is_dicom(head) or is_picture(head)


@dataclass(frozen=True)
class ManifestColumns:
    """Which column of a manifest says what."""

    file: str = "file"
    label: str = "label"
    patient: str = "patient"
    split: str = "split"


PATIENT_KEY = "patient_key"
"""The column of a table that was written here: a patient's key, not to be hashed again."""


def from_manifest(
    csv: Path,
    root: Path,
    columns: ManifestColumns,
    mapping: Mapping[str, str],
    pseudonym: Pseudonym,
    say: Callable[[str], None] = lambda text: None,
) -> list[Sample]:
    """Samples listed in a CSV; files are relative to `root`. `mapping` translates the table's own label words.

    The patient and split columns are optional, and `say` is told where there is none for patients; a column
    `patient_key` may hold keys as `write_manifest` writes them.
    Rows whose label maps to "skip" are left out, and in a table of ours those about a simulated image.

    Raises DatasetError where a column is missing, a label names no class or a split none of ours.
    """
    table = _table(csv, columns, say)
    samples, ours = [], PATIENT_KEY in table and are_keys(table[PATIENT_KEY])
    for row in table.to_dict("records"):
        if ours and row.get("synthetic"):  # in the answers of a cross-validation: its file is not what it is about
            continue
        word, key = row[columns.label], row.get(PATIENT_KEY, "").strip()
        mapped = mapping.get(word, word)
        if mapped == SKIP:
            continue
        label = parse_class(mapped)
        if label is None:
            raise DatasetError(
                f"{csv.name} has the label {word!r}, which names no class. Say what it means: --map {word}=hemorrhagic "
                "(or ischemic, no_stroke, skip)."
            )
        patient, part = row.get(columns.patient, "").strip(), row.get(columns.split, "").strip()
        if part and parse_split(part) is None:
            raise DatasetError(
                f"{csv.name} has the split {part!r}, which is none of {', '.join(SPLITS)}. Correct it, or leave the "
                "column out of account: --split-column none."
            )
        samples.append(
            Sample(
                root / row[columns.file],
                label,
                key if ours and key else pseudonym.of("file", patient or key) if patient or key else None,
                parse_split(part),
            )
        )
    if not samples:
        raise DatasetError(f"{csv.name} lists no scan.")
    return samples


def _table(csv: Path, columns: ManifestColumns, say: Callable[[str], None]) -> pd.DataFrame:
    """A manifest's rows, as text. Raises DatasetError where a column is missing that it must have."""
    try:
        table = pd.read_csv(csv, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise DatasetError(f"The manifest {csv} cannot be read: {error}.") from error
    for column in (columns.file, columns.label):
        if column not in table:
            raise DatasetError(f"{csv.name} has no column {column!r}; it has {', '.join(table.columns)}.")
    if columns.patient not in table and PATIENT_KEY not in table:
        say(
            f"{csv.name} has no column {columns.patient!r}, so that patients are those whom the files name. Where one "
            f"of its columns ({', '.join(table.columns)}) is the patient: --patient-column NAME."
        )
    return table


def relative(path: Path | str, root: Path) -> str:
    """A file's name in a listing of what lies below `root`: its own path where it lies elsewhere."""
    path = Path(path)
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def write_manifest(samples: Sequence[Sample], root: Path, target: Path) -> None:
    """The inverse of `from_manifest`, with its default columns; patients as the keys they have become."""
    rows = [
        {"file": relative(s.path, root), "label": s.label, PATIENT_KEY: s.patient or "", "split": s.split or ""}
        for s in samples
    ]
    pd.DataFrame(rows).to_csv(target, index=False)


def with_patients(samples: Sequence[Sample], pattern: str, pseudonym: Pseudonym, root: Path) -> list[Sample]:
    """Patients by file name: the first group of the regular expression `pattern`, searched in the name without its
    ending or, where it is not found there, in the path below `root`. A patient that a manifest names stays.

    Raises DatasetError where the pattern is none, has no group, or names no patient in some file.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DatasetError(f"--patient-pattern is no regular expression: {error}.") from error
    if not compiled.groups:
        raise DatasetError(f"--patient-pattern needs a group that is the patient, as in '^CT(\\d+)_'; got '{pattern}'.")
    named, strangers = [], []
    for sample in samples:
        match = compiled.search(sample.path.stem) or compiled.search(relative(sample.path.with_suffix(""), root))
        if sample.patient is None and not (match and match[1]):
            strangers.append(sample.path.name)
        patient = sample.patient or (pseudonym.of("file", match[1]) if match and match[1] else None)
        named.append(replace(sample, patient=patient))
    if strangers:
        raise DatasetError(
            f"--patient-pattern '{pattern}' names no patient in {len(strangers)} of {len(samples)} files, "
            f"{strangers[0]} for one. Widen the pattern, or leave those files out."
        )
    return named
