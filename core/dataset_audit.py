"""What is wrong with a data set, before anyone trains on it or believes a figure measured on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from core.dataset import Sample, assign_splits, by_study, patient_classes, patients_in_several_splits, whose
from core.labels import SPLITS, parse_class, parse_split
from core.likeness import HASH_DISTANCE, NEAR_DIFFERENCE, Appearance, appearance, connected, distances
from core.listing import relative
from core.preprocess import WINDOWS, windowed
from core.pseudonym import unnamed
from core.scan import ASSUMED_BITS, Scan, UnreadableScan

SHORTCUT_AUC = 0.65
"""A class told this well by an image's outside alone is told by it, not by what the image shows."""


@dataclass(frozen=True)
class Pair:
    """Two files that show the same image."""

    first: str
    second: str
    difference: float  # mean absolute grey difference; 0: the same pixels
    across_splits: bool
    across_labels: bool


@dataclass(frozen=True)
class Shortcut:
    """How well something that is no finding tells the classes apart: one-against-rest AUC on held-out patients."""

    feature: str
    auc: float
    n: int


@dataclass(frozen=True)
class Audit:
    """The findings. Files are named relative to the data folder."""

    files: int
    unreadable: tuple[tuple[str, str], ...]  # file, reason
    unique_images: int
    scans: dict[str, dict[str, int]]  # split -> class -> scans
    patients: dict[str, int]  # split -> patients
    patients_known: int  # scans whose file names a patient
    leaking_patients: dict[str, tuple[str, ...]]  # a file of the patient -> the parts they stand in
    exact: tuple[Pair, ...]  # each copy with the first file that has its pixels
    near: tuple[Pair, ...]
    shortcuts: tuple[Shortcut, ...]
    depths: dict[int, int]  # bits that 16-bit pictures were taken to have -> how many pictures

    @property
    def leaks(self) -> bool:
        """Whether something stands on two sides of the split."""
        return bool(self.leaking_patients) or any(pair.across_splits for pair in (*self.exact, *self.near))

    @property
    def conflicts(self) -> tuple[Pair, ...]:
        """One image under two labels."""
        return tuple(pair for pair in (*self.exact, *self.near) if pair.across_labels)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "leaks": self.leaks, "conflicts": [asdict(pair) for pair in self.conflicts]}


@dataclass(frozen=True)
class _Look:
    """What is kept of an image: enough to compare it, little enough to hold thousands."""

    sample: Sample
    name: str
    appearance: Appearance
    outside: dict[str, tuple[float, ...]]  # feature -> numbers
    study: str | None
    depth: int  # bits that its grey was taken to have; 0: no 16-bit picture


def audit(samples: Sequence[Sample], root: Path, *, reader: Callable[[Path], Scan]) -> Audit:
    """Look at every file once, then at what they have in common."""
    auditor = Auditor(root)
    look_at_all(samples, auditor, reader=reader)
    return auditor.findings()


def look_at_all(
    samples: Sequence[Sample],
    auditor: "Auditor",
    *,
    reader: Callable[[Path], Scan],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Show the auditor every file."""
    for index, sample in enumerate(samples):
        try:
            auditor.look(sample, reader(sample.path))
        except (UnreadableScan, OSError) as error:
            auditor.refuse(sample, str(error))
        progress(index + 1, len(samples))


class Auditor:
    """Collects what an audit needs while somebody else reads the files, so that each is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._looks: list[_Look] = []
        self._unreadable: list[tuple[str, str]] = []

    def look(self, sample: Sample, scan: Scan) -> None:
        self._looks.append(_look(sample, relative(sample.path, self._root), scan))

    def refuse(self, sample: Sample, reason: str) -> None:
        self._unreadable.append((relative(sample.path, self._root), reason))

    @property
    def unreadable(self) -> tuple[tuple[str, str], ...]:
        """File, relative to the data folder, and reason."""
        return tuple(self._unreadable)

    @property
    def samples(self) -> list[Sample]:
        """Those that could be read, with what was learned of their patients and pixels."""
        return by_study([look.sample for look in self._looks], [look.study for look in self._looks])

    def findings(self) -> Audit:
        kept = self.samples
        looks = [replace(look, sample=sample) for look, sample in zip(self._looks, kept, strict=True)]
        exact, originals = _exact(looks)
        parts = {part: [s for s in kept if (s.split or "all") == part] for part in _parts(kept)}
        return Audit(
            files=len(kept) + len(self._unreadable),
            unreadable=self.unreadable,
            unique_images=len(originals),
            scans={part: dict(Counter(s.label for s in of)) for part, of in parts.items()},
            patients={part: len({s.patient for s in of if s.patient}) for part, of in parts.items()},
            patients_known=sum(look.sample.patient is not None for look in self._looks),
            leaking_patients=_leaking(looks),
            exact=exact,
            near=_near(originals),
            shortcuts=_shortcuts(looks),
            depths=dict(sorted(Counter(look.depth for look in looks if look.depth).items())),
        )


def groups_of_images(audit: Audit, root: Path) -> dict[Path, int]:
    """Files that show one image, or nearly -> the number of their group; files unlike any other are not in it."""
    of = connected((pair.first, pair.second) for pair in (*audit.exact, *audit.near))
    return {root / str(name): group for name, group in of.items()}


def dealt_with(patients: Sequence[str], groups: Sequence[int | None]) -> dict[str, str]:
    """Patient -> one who stands for all that share an image with them, directly or through others: these belong in one
    part."""
    links = [(patient, group) for patient, group in zip(patients, groups, strict=True) if group is not None]
    of, first = connected(links), dict[int, str]()
    for patient in sorted(set(patients)):
        first.setdefault(of.get(patient, -1), patient)
    return {patient: first[of[patient]] if patient in of else patient for patient in patients}


def clean_samples(samples: Sequence[Sample], found: Audit, root: Path) -> list[Sample]:
    """What is left to train and test on: of every image the first file, none that stands under two labels, every
    patient in one part, and with them whoever shows the same image or nearly."""
    contradicted = {root / name for pair in found.conflicts for name in (pair.first, pair.second)}
    copies = {root / pair.second for pair in found.exact if pair.first != pair.second}
    of_image = groups_of_images(found, root)
    groups = [of_image.get(sample.path) for sample in samples]
    named = [sample.patient or unnamed(sample.content_hash or "") for sample in samples]
    patients = whose(named, groups)
    unit = dealt_with(patients, groups)
    kept = [
        replace(sample, patient=patient)
        for sample, patient in zip(samples, patients, strict=True)
        if sample.path not in contradicted | copies
    ]
    kept = list({sample.path: sample for sample in reversed(kept)}.values())[::-1]  # a list may name a file twice
    units = [replace(sample, patient=unit[sample.patient or ""]) for sample in kept]
    splits = assign_splits(patient_classes(units), salt="clean")
    return [replace(sample, split=splits[of.patient or ""]) for sample, of in zip(kept, units, strict=True)]


def _parts(samples: Iterable[Sample]) -> list[str]:
    found = {sample.split or "all" for sample in samples}
    return [part for part in (*SPLITS, "all") if part in found]


def _look(sample: Sample, name: str, scan: Scan) -> _Look:
    grey = np.ascontiguousarray(windowed(scan, WINDOWS["Brain"]), np.float32)
    known = replace(sample, patient=sample.patient or scan.patient_key, content_hash=scan.content_hash)
    folder = [part for part in Path(name).parts[:-1] if not (parse_class(part) or parse_split(part))]
    height, width = grey.shape
    rim = np.concatenate([grey[: height // 50 + 1].ravel(), grey[-height // 50 :].ravel()])
    outside = {
        "image size": (float(width), float(height)),
        "file format and mode": (_number(scan.meta.get("format")), _number(scan.meta.get("mode"))),
        "border": (float(rim.mean()), float(rim.std())),
        "source folder": (_number("/".join(folder)),),
    }
    return _Look(known, name, appearance(scan), outside, scan.study_key, int(scan.meta.get(ASSUMED_BITS, 0)))


def _number(word: object) -> float:
    """A word as a number for a tree: equal words, equal numbers."""
    return float(sum(ord(c) * 31**i for i, c in enumerate(str(word))) % 1_000_003)


def _leaking(looks: Sequence[_Look]) -> dict[str, tuple[str, ...]]:
    leaking = patients_in_several_splits(look.sample for look in looks)
    named = {}
    for look in looks:
        if look.sample.patient in leaking and look.sample.patient not in named:
            named[look.sample.patient] = look.name
    return {name: tuple(s for s in SPLITS if s in leaking[patient or ""]) for patient, name in named.items()}


def _exact(looks: Sequence[_Look]) -> tuple[tuple[Pair, ...], list[_Look]]:
    """Copies, each paired with the first file of the same pixels; and the files without their copies."""
    groups: dict[str, list[_Look]] = defaultdict(list)
    for look in looks:
        groups[look.sample.content_hash or ""].append(look)
    pairs = [_pair(group[0], copy, 0.0) for group in groups.values() for copy in group[1:]]
    return tuple(pairs), [group[0] for group in groups.values()]


def _pair(first: _Look, second: _Look, difference: float) -> Pair:
    return Pair(
        first.name,
        second.name,
        difference,
        first.sample.split != second.sample.split,
        first.sample.label != second.sample.label,
    )


def _near(looks: Sequence[_Look]) -> tuple[Pair, ...]:
    """Pairs whose hashes are close, kept where the images themselves hardly differ."""
    looks = [one for one in looks if not one.appearance.shows_nothing]
    bits = np.array([one.appearance.bits for one in looks])
    pairs = []
    for i, one in enumerate(looks[:-1]):
        for offset in np.flatnonzero(distances(one.appearance.bits, bits[i + 1 :]) <= HASH_DISTANCE):
            other = looks[i + 1 + int(offset)]
            difference = one.appearance.difference(other.appearance)
            if difference < NEAR_DIFFERENCE:
                pairs.append(_pair(one, other, difference))
    return tuple(sorted(pairs, key=lambda pair: pair.difference))


def _shortcuts(looks: Sequence[_Look]) -> tuple[Shortcut, ...]:
    """A small tree per feature, cross-validated by patient; those that tell the classes too well."""
    groups = [look.sample.patient or look.name for look in looks]
    labels = np.array([look.sample.label for look in looks])
    classes, counts = np.unique(labels, return_counts=True)
    folds = min(5, len(set(groups)))
    if len(classes) < 2 or counts.min() < 10 or folds < 3:
        return ()
    found = []
    for feature in looks[0].outside:
        x = np.array([look.outside[feature] for look in looks])
        tree = DecisionTreeClassifier(max_depth=3, min_samples_leaf=5, random_state=0)
        p = cross_val_predict(tree, x, labels, groups=groups, cv=GroupKFold(folds), method="predict_proba")
        auc = float(np.mean([roc_auc_score(labels == name, p[:, i]) for i, name in enumerate(classes)]))
        if auc >= SHORTCUT_AUC:
            found.append(Shortcut(feature, auc, len(looks)))
    return tuple(sorted(found, key=lambda shortcut: -shortcut.auc))
