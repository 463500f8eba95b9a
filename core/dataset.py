"""Folders or a manifest -> labelled scans, split so that no patient stands on two sides."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from core.formats import read
from core.labels import CLASSES, SHARES, SPLITS, parse_class, parse_split
from core.preprocess import InputSpec, to_input
from core.pseudonym import Pseudonym, unnamed
from core.scan import Scan, UnreadableScan

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".dcm", ""}


class DatasetError(ValueError):
    """The data set cannot be used as asked; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled scan on disk."""

    path: Path
    label: str
    patient: str | None = None  # patient key; None until known
    split: str | None = None
    content_hash: str | None = None
    synthetic: str | None = None  # what was simulated into it, such as "MCA, acute"


@dataclass(frozen=True)
class Examples:
    """Scans ready for a network, in memory."""

    x: Tensor  # (N, 1, S, S) uint8, 255 is the window's ceiling
    y: Tensor  # (N,) int64, index into `classes`
    patients: tuple[str, ...]
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.y)

    def of(self, split: str) -> "Examples":
        """Those of one split, in the same order."""
        return self.at([i for i, sample in enumerate(self.samples) if sample.split == split])

    def at(self, keep: Sequence[int]) -> "Examples":
        """Those at the places in `keep`."""
        return Examples(
            self.x[keep], self.y[keep], tuple(self.patients[i] for i in keep), tuple(self.samples[i] for i in keep)
        )

    @property
    def labels(self) -> list[str]:
        return [sample.label for sample in self.samples]

    def and_also(self, others: "Examples") -> "Examples":
        """These, then the others."""
        return Examples(
            torch.cat([self.x, others.x]),
            torch.cat([self.y, others.y]),
            self.patients + others.patients,
            self.samples + others.samples,
        )


@dataclass(frozen=True)
class Loaded:
    """What `load` made of a list of samples."""

    examples: Examples
    classes: tuple[str, ...]
    refused: tuple[tuple[Path, str], ...]  # path, reason


class Watcher(Protocol):
    """Somebody who looks on while `load` reads: core.dataset_audit.Auditor."""

    def look(self, sample: Sample, scan: Scan) -> None: ...

    def refuse(self, sample: Sample, reason: str) -> None: ...


def from_folders(root: Path) -> list[Sample]:
    """Samples of ``root/[split/]class/file``; split and class folders in any case and common spelling.

    Raises DatasetError where no folder under `root` names a class.
    """
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}.")
    samples = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts[:-1]
        label = next(filter(None, map(parse_class, reversed(parts))), None)
        if label and path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            split = next(filter(None, map(parse_split, parts)), None)
            samples.append(Sample(path, label, split=split))
    if not samples:
        raise DatasetError(
            f"No class folder under {root}. Expected train/, validation/ and test/, each with folders named "
            f"{', '.join(CLASSES)} (any case, British or American), or give --manifest CSV."
        )
    return samples


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
    csv: Path, root: Path, columns: ManifestColumns, mapping: Mapping[str, str], pseudonym: Pseudonym
) -> list[Sample]:
    """Samples listed in a CSV; files are relative to `root`. `mapping` translates the table's own label words.

    The patient and split columns are optional; a column `patient_key` holds keys as `write_manifest` writes them.
    Rows whose label maps to "skip" are left out.

    Raises DatasetError where a column is missing or a label names no class.
    """
    try:
        table = pd.read_csv(csv, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise DatasetError(f"The manifest {csv} cannot be read: {error}.") from error
    for column in (columns.file, columns.label):
        if column not in table:
            raise DatasetError(f"{csv.name} has no column {column!r}; it has {', '.join(table.columns)}.")
    samples = []
    for row in table.to_dict("records"):
        word = row[columns.label]
        mapped = mapping.get(word, word)
        if mapped == "skip":
            continue
        label = parse_class(mapped)
        if label is None:
            raise DatasetError(
                f"{csv.name} has the label {word!r}, which names no class. Say what it means: --map {word}=hemorrhagic "
                "(or ischemic, no_stroke, skip)."
            )
        patient = row.get(columns.patient, "").strip()
        samples.append(
            Sample(
                root / row[columns.file],
                label,
                row.get(PATIENT_KEY, "").strip() or (pseudonym.of("file", patient) if patient else None),
                parse_split(row.get(columns.split, "")),
            )
        )
    if not samples:
        raise DatasetError(f"{csv.name} lists no scan.")
    return samples


def write_manifest(samples: Sequence[Sample], root: Path, target: Path) -> None:
    """The inverse of `from_manifest`, with its default columns; patients as the keys they have become."""
    rows = [
        {"file": str(s.path.relative_to(root)), "label": s.label, PATIENT_KEY: s.patient or "", "split": s.split or ""}
        for s in samples
    ]
    pd.DataFrame(rows).to_csv(target, index=False)


def with_patients(samples: Sequence[Sample], pattern: str, pseudonym: Pseudonym) -> list[Sample]:
    """Patients by file name: the first group of the regular expression `pattern`, searched in the name without its
    ending. A patient that a manifest names stays.

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
        match = compiled.search(sample.path.stem)
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


def to_bytes(scan: Scan, spec: InputSpec) -> Tensor:
    """A scan as a training keeps it: `core.preprocess.to_input` in whole steps of grey, (1, S, S) uint8."""
    return torch.from_numpy(np.rint(to_input(scan, spec) * 255).astype(np.uint8))


def load(
    samples: Sequence[Sample],
    spec: InputSpec,
    *,
    reader: Callable[[Path], Scan],
    watcher: Watcher | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Loaded:
    """Read, preprocess and keep every sample in memory (one byte a pixel).

    Classes are those that occur, in the vocabulary's order. A file that cannot be read is left out and listed.
    A `watcher` is shown each scan as it is read.

    Raises DatasetError where nothing is left or only one class.
    """
    inputs: list[Tensor] = []
    kept: list[Sample] = []
    own: list[str | None] = []  # the key of the patient whom the file itself names
    refused: list[tuple[Path, str]] = []
    for index, sample in enumerate(samples):
        try:
            scan = reader(sample.path)
        except (UnreadableScan, OSError) as error:
            refused.append((sample.path, str(error)))
            if watcher:
                watcher.refuse(sample, str(error))
        else:
            if watcher:
                watcher.look(sample, scan)
            inputs.append(to_bytes(scan, spec))
            digest = scan.content_hash
            own.append(scan.patient_key)
            patient = sample.patient or scan.patient_key or unnamed(digest)
            kept.append(replace(sample, patient=patient, content_hash=digest))
        progress(index + 1, len(samples))
    kept = _as_their_files_say(kept, own)
    classes = tuple(label for label in CLASSES if any(sample.label == label for sample in kept))
    if len(classes) < 2:
        raise DatasetError(
            f"Training needs scans of at least two classes; {len(kept)} readable scans of "
            f"{', '.join(classes) or 'no class'} were found."
        )
    examples = Examples(
        torch.stack(inputs),
        torch.tensor([classes.index(sample.label) for sample in kept]),
        tuple(sample.patient or "" for sample in kept),
        tuple(kept),
    )
    return Loaded(examples, classes, tuple(refused))


def _as_their_files_say(samples: list[Sample], own: list[str | None]) -> list[Sample]:
    """The same; a patient whose files all name one and the same patient, whom no other's name, gets that one's key.

    It is the key by which intake knows the patient again. Where a table and the files disagree on who is who, the
    table decides.
    """
    named: dict[str | None, set[str | None]] = defaultdict(set)
    naming: dict[str | None, set[str | None]] = defaultdict(set)
    for sample, key in zip(samples, own, strict=True):
        named[sample.patient].add(key)
        naming[key].add(sample.patient)
    agreed = {
        patient: key
        for patient, keys in named.items()
        for key in keys
        if key and len(keys) == 1 and len(naming[key]) == 1
    }
    return [replace(sample, patient=agreed.get(sample.patient, sample.patient)) for sample in samples]


def file_reader(pseudonym: Pseudonym, megapixels: float) -> Callable[[Path], Scan]:
    """A reader of files as they lie in a data set."""

    def read_file(path: Path) -> Scan:
        return read(path.read_bytes(), path.name, pseudonym=pseudonym, megapixels=megapixels)

    return read_file


def assign_splits(patients: Mapping[str, str], *, salt: str, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """A split for every patient key in `patients` (key -> class used to stratify).

    Known patients keep theirs. Within each class the others are ranked by a salted hash and dealt so that the
    class comes as near to `SHARES` as it can; who is dealt what depends on the keys alone, not on their order.
    """
    assigned = {key: known[key] for key in patients if known and key in known}
    by_class: dict[str, list[str]] = defaultdict(list)
    for key, label in patients.items():
        by_class[label].append(key)
    for label in sorted(by_class):
        have = Counter(assigned[key] for key in by_class[label] if key in assigned)
        total = sum(have.values())
        for key in sorted((k for k in by_class[label] if k not in assigned), key=lambda k: _rank(salt, k)):
            total += 1
            split = max(SPLITS, key=lambda s: SHARES[s] * total - have[s])
            assigned[key] = split
            have[split] += 1
    return assigned


def _rank(salt: str, key: str) -> str:
    return hashlib.sha256(f"{salt}|{key}".encode()).hexdigest()


def patient_classes(samples: Iterable[Sample]) -> dict[str, str]:
    """Patient key -> the class the patient counts as: the first in the vocabulary's order they have a scan of."""
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        found[sample.patient or ""].add(sample.label)
    return {patient: min(labels, key=CLASSES.index) for patient, labels in found.items()}


def with_splits(examples: Examples, splits: Mapping[str, str]) -> Examples:
    """The same scans, each in its patient's split."""
    samples = tuple(replace(sample, split=splits[sample.patient or ""]) for sample in examples.samples)
    return Examples(examples.x, examples.y, examples.patients, samples)


def patients_in_several_splits(samples: Iterable[Sample]) -> dict[str, set[str]]:
    """Patient key -> splits, for those who stand in more than one."""
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.patient and sample.split:
            found[sample.patient].add(sample.split)
    return {patient: splits for patient, splits in found.items() if len(splits) > 1}
