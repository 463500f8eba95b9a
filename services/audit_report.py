"""The audit of a data set in words, and its suspicious pairs as a picture."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.dataset_audit import Audit, Pair
from core.labels import CLASSES, in_words
from core.preprocess import WINDOWS, windowed
from core.scan import Scan

SHOWN = 12


def in_markdown(audit: Audit, name: str, pairs_picture: str | None = None) -> str:
    """The report. Counts first, then each kind of fault with its first few files."""
    lines = [f"# Audit of {name}", "", verdict(audit), "", _counts(audit), ""]
    for title, explanation, rows in _sections(audit):
        lines += [f"## {title}", "", explanation, ""]
        lines += [f"- {row}" for row in rows[:SHOWN]]
        lines += [f"- and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
        lines.append("")
    if pairs_picture:
        lines += [f"![Pairs of files that show one image]({pairs_picture})", ""]
    return "\n".join(lines)


def verdict(audit: Audit) -> str:
    """One sentence: may a figure measured on this split be believed?"""
    if audit.leaks:
        return "**The split leaks.** What is in one part stands in another too; figures measured on it flatter a model."
    if set(audit.scans) == {"all"}:
        return "**The data name no parts**, so that nothing stands in two of them; train.py deals patients to parts."
    if audit.patients_known < audit.files - len(audit.unreadable):
        return "**No leak was found, but not every patient is known**: two scans of one patient may stand in two parts."
    return "**No leak was found**: no patient and no image stands in two parts."


def summary(audit: Audit) -> list[str]:
    """The findings, a sentence each; what `train.py` and `audit_data.py` say."""
    known = sum(audit.patients.values()) if audit.patients_known else 0
    across = sum(pair.across_splits for pair in audit.exact)
    sentences = [f"{audit.files} files, {audit.unique_images} unique images, {len(audit.unreadable)} unreadable."]
    if audit.leaking_patients:
        sentences.append(
            f"{len(audit.leaking_patients)} patients stand in more than one part ({_parts_shared(audit)})."
        )
    elif known:
        sentences.append("No patient stands in more than one part.")
    else:
        sentences.append("No file names a patient: leaks can only be seen as duplicate images.")
    if audit.exact:
        sentences.append(f"{len(audit.exact)} files are copies of others, {across} of them across parts.")
    if audit.near:
        near_across = sum(pair.across_splits for pair in audit.near)
        sentences.append(f"{len(audit.near)} pairs of files show nearly the same image, {near_across} across parts.")
    if audit.conflicts:
        sentences.append(f"{len(audit.conflicts)} images stand under two labels.")
    if len(audit.depths) > 1:
        taken = ", ".join(f"{n} for {bits} bits" for bits, n in audit.depths.items())
        sentences.append(
            f"Pictures of 16 bits do not say how deep their grey is; by their brightest pixel they were taken {taken}. "
            "Slices of one series may differ then: use DICOM, or pictures of 8 bits."
        )
    for cut in audit.shortcuts:
        sentences.append(
            f"The {cut.feature} alone tells the classes apart with an AUC of {cut.auc:.2f} on patients held out "
            f"(n = {cut.n}): a network may learn that instead of the finding."
        )
    return sentences


def _parts_shared(audit: Audit) -> str:
    """Which parts share how many patients: "82 in train and test, 69 in train and validation"."""
    pairs = (("train", "test"), ("train", "validation"), ("validation", "test"))
    shared = {pair: sum(set(pair) <= set(parts) for parts in audit.leaking_patients.values()) for pair in pairs}
    return ", ".join(f"{n} in {a} and {b}" for (a, b), n in shared.items() if n)


def _counts(audit: Audit) -> str:
    header = ["Part", *map(in_words, CLASSES), "Patients"]
    rows = [
        [part, *(str(by_class.get(c, 0)) for c in CLASSES), str(audit.patients[part] or "not known")]
        for part, by_class in audit.scans.items()
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def _sections(audit: Audit) -> list[tuple[str, str, Sequence[str]]]:
    """(title, explanation, rows) of each kind of fault that was found."""
    sections: list[tuple[str, str, Sequence[str]]] = [
        (
            "Patients in more than one part",
            f"{_parts_shared(audit)}. One file of each:",
            [f"`{file}`: {', '.join(parts)}" for file, parts in audit.leaking_patients.items()],
        ),
        ("Copies", "The same pixels in two files:", [_pair_line(pair) for pair in audit.exact]),
        ("Nearly the same image", "Rescaled, recompressed or touched up:", [_pair_line(pair) for pair in audit.near]),
        ("One image under two labels", "One of the two is wrong:", [_pair_line(pair) for pair in audit.conflicts]),
        (
            "Shortcuts",
            "What tells the classes apart without looking at the head:",
            [f"{cut.feature}: AUC {cut.auc:.2f}, n = {cut.n}" for cut in audit.shortcuts],
        ),
        ("Unreadable files", "Left out:", [f"`{file}`: {reason}" for file, reason in audit.unreadable]),
    ]
    return [section for section in sections if section[2]]


def _pair_line(pair: Pair) -> str:
    notes = [
        note for note, holds in (("across parts", pair.across_splits), ("two labels", pair.across_labels)) if holds
    ]
    return f"`{pair.first}` and `{pair.second}`" + (f" ({', '.join(notes)})" if notes else "")


def draw_pairs(pairs: Sequence[Pair], root: Path, reader: Callable[[Path], Scan], target: Path) -> bool:
    """The first pairs side by side, as a PNG; False where there are none."""
    side, shown = 200, list(pairs)[:SHOWN]
    if not shown:
        return False
    sheet = Image.new("L", (2 * side + 10, len(shown) * (side + 22)), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for row, pair in enumerate(shown):
        top = row * (side + 22)
        for column, file in enumerate((pair.first, pair.second)):
            grey = windowed(reader(root / file), WINDOWS["Brain"])
            image = Image.fromarray((grey * 255).astype(np.uint8)).resize((side, side))
            sheet.paste(image, (column * (side + 10), top))
            pen.text((column * (side + 10), top + side + 3), file[-36:], fill=0, font=font)
    sheet.save(target)
    return True
