"""Labelled scans, read and split so that no patient stands on two sides."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from core.formats import read
from core.labels import CLASSES, SHARES, SPLITS
from core.normalise import is_flat
from core.preprocess import InputSpec, to_input
from core.pseudonym import UNNAMED, Pseudonym, unnamed
from core.reading import why_not
from core.scan import Scan, UnreadableScan


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
    withheld: bool = False  # no model answers it, whatever it shows: `core.reading.why_not`


@dataclass(frozen=True)
class Examples:
    """Scans ready for a network, in memory."""

    x: Tensor  # (N, 1, S, S) uint8, 255 is the window's ceiling
    y: Tensor  # (N,) int64, index into `classes`
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.y)

    def of(self, split: str) -> "Examples":
        """Those of one split, in the same order."""
        return self.at([i for i, sample in enumerate(self.samples) if sample.split == split])

    def at(self, keep: Sequence[int]) -> "Examples":
        """Those at the places in `keep`."""
        return Examples(self.x[keep], self.y[keep], tuple(self.samples[i] for i in keep))

    @property
    def labels(self) -> list[str]:
        return [sample.label for sample in self.samples]

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Their keys, scan by scan."""
        return tuple(sample.patient or "" for sample in self.samples)

    @property
    def withheld(self) -> np.ndarray:
        """(N,) bool: see `Sample`."""
        return np.array([sample.withheld for sample in self.samples], dtype=bool)

    def and_also(self, others: "Examples") -> "Examples":
        """These, then the others."""
        return Examples(torch.cat([self.x, others.x]), torch.cat([self.y, others.y]), self.samples + others.samples)


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

    Raises DatasetError where nothing is left.
    """
    inputs: list[Tensor] = []
    kept: list[Sample] = []
    own: list[str | None] = []  # the key of the patient whom the file itself names
    studies: list[str | None] = []
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
            withheld = bool(why_not(scan, flat=bool(is_flat(inputs[-1][None].float() / 255))))
            own.append(scan.patient_key)
            studies.append(scan.study_key)
            patient = sample.patient or scan.patient_key
            kept.append(replace(sample, patient=patient, content_hash=scan.content_hash, withheld=withheld))
        progress(index + 1, len(samples))
    kept = [replace(one, patient=one.patient or unnamed(one.content_hash or "")) for one in by_study(kept, studies)]
    kept = _as_their_files_say(kept, own)
    classes = tuple(label for label in CLASSES if any(sample.label == label for sample in kept))
    if not kept:
        first = f" The first, {refused[0][0].name}: {refused[0][1]}" if refused else ""
        raise DatasetError(f"None of {len(samples)} files can be read.{first}")
    examples = Examples(
        torch.stack(inputs),
        torch.tensor([classes.index(sample.label) for sample in kept]),
        tuple(kept),
    )
    return Loaded(examples, classes, tuple(refused))


def check_classes(loaded: Loaded) -> None:
    """Raise DatasetError where one class is all that there is to learn."""
    if len(loaded.classes) < 2:
        raise DatasetError(
            f"Training needs scans of at least two classes; {len(loaded.examples)} readable scans of "
            f"{loaded.classes[0]} were found."
        )


def by_study(samples: Sequence[Sample], studies: Sequence[str | None]) -> list[Sample]:
    """The same; slices of one study are one patient's where their files name none: header fields are taken out more
    often than studies' numbers. What has no study stays as it is."""
    patients = whose([sample.patient or unnamed(sample.content_hash or "") for sample in samples], studies)
    return [
        replace(sample, patient=patient) if study else sample
        for sample, patient, study in zip(samples, patients, studies, strict=True)
    ]


def whose(patients: Sequence[str], groups: Sequence[Hashable | None]) -> list[str]:
    """The patient of each scan: whom its file names; where it names none, whom another file of its group names (files
    of the same image, `core.dataset_audit.groups_of_images`, or study); where none does, the group's first."""
    keys: dict[Hashable, str] = {}
    for patient, group in sorted(zip(patients, groups, strict=True), key=lambda one: one[0].startswith(UNNAMED)):
        if group is not None:
            keys.setdefault(group, patient)
    return [
        keys[group] if group is not None and patient.startswith(UNNAMED) else patient
        for patient, group in zip(patients, groups, strict=True)
    ]


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
        try:
            str(path).encode()
        except UnicodeEncodeError as error:  # no table could name it
            raise UnreadableScan("The name of this file, or of a folder it lies in, is no UTF-8: rename it.") from error
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
    return replace(examples, samples=samples)


def patients_in_several_splits(samples: Iterable[Sample]) -> dict[str, set[str]]:
    """Patient key -> splits, for those who stand in more than one."""
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.patient and sample.split:
            found[sample.patient].add(sample.split)
    return {patient: splits for patient, splits in found.items() if len(splits) > 1}
