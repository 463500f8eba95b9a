"""Files that hold several slices: multi-frame CT and NIfTI. Each slice is a scan, in anatomical order; many thin ones
are put together (`core.slabs`).

A frame of a multi-frame CT has its rescale and its place in functional groups (DICOM PS3.3 C.7.6.16). A NIfTI file has
its orientation in an affine; slices are cut axially and laid out as radiologists view them: front up, the patient's
right at the image's left.
"""

import gzip
import hashlib
import io
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from core.extent import check_extent
from core.formats import (
    DAMAGED,
    DENSEST_HU,
    RESCALE,
    Rescale,
    check_is_axial_ct,
    check_kind,
    check_square,
    check_tissue,
    damaged,
    header_of,
    letters_shown,
    padding_of,
    plane_of,
    read,
    technical,
)
from core.geometry import Plane, pixel_mm, thickness_mm
from core.identity import identity_of, relative_day
from core.nifti import Volume, axial_volume
from core.pseudonym import Pseudonym
from core.scan import LOWEST_AIR_HU, PADDING_HU, Meta, Scan, UnreadableScan, check, check_megabytes, check_size
from core.signatures import GZIP, is_dicom, is_nifti
from core.slabs import SAME_MM, alone, put_together, slabs

MAX_SLICES = 2000


def read_all(
    data: bytes,
    name: str = "",
    *,
    pseudonym: Pseudonym | None = None,
    megapixels: float = 16,
    megabytes: float = 1024,
    slice_mm: float = 0,
) -> Iterator[Scan]:
    """Every slice a file holds; one where it is an image or a single-slice DICOM (see `core.formats.read`).

    `megabytes`: what a packed volume may unpack to. `slice_mm`: many thinner slices are put together to about this
    thickness; 0: none are. Raises UnreadableScan with a sentence for the sender.
    """
    if data.startswith(GZIP):
        data = _unpacked(data, megabytes)
    if is_nifti(data):
        yield from _nifti(data, megapixels, megabytes, slice_mm)
    elif is_dicom(data) and _has_frames(data):
        yield from _multi_frame(data, pseudonym, megapixels, megabytes, slice_mm)
    else:
        yield read(data, name, pseudonym=pseudonym, megapixels=megapixels)


def _unpacked(data: bytes, megabytes: float) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            whole = file.read(int(megabytes * 1e6) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableScan("The packed file is damaged or cut off. Export or copy it again.") from error
    check_megabytes("The packed file unpacks to", len(whole), megabytes)
    return whole


def _has_frames(data: bytes) -> bool:
    """Whether a DICOM file holds several frames, or one described as such; False where that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = ["NumberOfFrames", *_GROUPS]
            header = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True, specific_tags=list(tags))
        return int(header.get("NumberOfFrames", 1) or 1) > 1 or any(tag in header for tag in _GROUPS)
    except Exception:  # `read` will say what is wrong with it
        return False


_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def _multi_frame(
    data: bytes, pseudonym: Pseudonym | None, megapixels: float, megabytes: float, slice_mm: float
) -> Iterator[Scan]:
    """One frame after the other, none before all headers have been read."""
    kept = _Kept()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = header_of(data)
            check_is_axial_ct(header, frames=True)
            check_size(int(header.Columns), int(header.Rows), megapixels)
            count = int(header.get("NumberOfFrames", 1) or 1)
            _check_count(count)
            check_megabytes("The frames unpack to", count * int(header.Columns) * int(header.Rows) * 4, megabytes)
            frames = _frames(header, count, kept)
            patient = identity_of(header, "PatientID", pseudonym)
            study = identity_of(header, "StudyInstanceUID", pseudonym) or _study_of(data)
            day = relative_day(header, pseudonym)
    except (UnreadableScan, MemoryError):
        raise
    except Exception as error:  # a header can be wrong in more ways than pydicom has exceptions for
        raise damaged(error) from error

    def slice_at(number: int) -> Scan | None:
        frame = frames[number]
        try:
            stored = _frame(header, frame.number)
        except UnreadableScan as error:
            kept.leave_out(_DAMAGED, error)
            return None
        kept.decoded = True
        measured = stored[~padding_of(header, stored)]
        if not measured.size or measured.min() == measured.max():  # before it is asked what its values mean
            return None
        try:
            hu = check(frame.rescale.hounsfield(header, stored, frame.plane))
        except UnreadableScan as error:
            kept.leave_out(_UNFIT, error)
            return None
        if hu.max() < DENSEST_HU or not kept.admits(hu, frame.spacing):  # frames of air hold nothing
            return None
        meta = technical(header, frame.plane, hu) | {"number": float(frame.number)} | frame.thickness | day
        return Scan(hu, "HU", patient, study, meta)

    yield from put_together(_slabs_of(frames, slice_mm), slice_at)
    kept.tell()
    if not kept.some:
        raise UnreadableScan("Every frame has the same grey everywhere or shows air only: there is nothing to read.")


_TOO_LARGE, _DAMAGED, _UNFIT = "too large for a head, as shoulders are", "damaged or cut off", "unfit to read"


class _Kept:
    """Which slices of a volume are in. One that is larger than a head, as shoulders are, or has a fault of its own
    costs no other: it is left out, and that is told."""

    def __init__(self) -> None:
        self.some = self.decoded = False  # whether any is in; whether any could be decoded
        self._left_out: Counter[str] = Counter()
        self._first: dict[str, str] = {}  # of each kind: no error, which would keep its pixels

    def leave_out(self, what: str, why: UnreadableScan) -> None:
        """Count a slice."""
        self._left_out[what] += 1
        self._first.setdefault(what, str(why))

    def admits(self, hu: np.ndarray, spacing: tuple[float, float] | None) -> bool:
        """Whether a slice, which holds tissue, is a head's; either way it is counted."""
        try:
            check_extent(hu, spacing)
        except UnreadableScan as error:
            self.leave_out(_TOO_LARGE, error)
            return False
        self.some = True
        return True

    def tell(self) -> None:
        """Raise UnreadableScan where slices were left out."""
        if self.decoded and _DAMAGED in self._first:  # it is not the compression that cannot be decoded
            self._first[_DAMAGED] = DAMAGED
        if self._left_out and not self.some:
            [(most, _)] = self._left_out.most_common(1)
            raise UnreadableScan(self._first[most])
        if self._left_out:
            counts = " and ".join(f"{count} of its slices, {what}" for what, count in self._left_out.items())
            raise UnreadableScan(f"Left out {counts}; the others are in.{self._way_out()}")

    def _way_out(self) -> str:
        again = " Send the file again, or export the series again." if _DAMAGED in self._first else ""
        return again + (f" Why the first is unfit: {self._first[_UNFIT]}" if _UNFIT in self._first else "")


def _frame(header: Dataset, number: int) -> np.ndarray:
    """(rows, columns) of one frame: all at once, compressed ones would take longer than a slice may."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pixel_array(header, index=number)
    except MemoryError:
        raise
    except Exception as error:  # as in headers
        raise damaged(error) from error


def _study_of(data: bytes) -> str:
    """The study of a volume that names none: its slices belong together all the same."""
    return f"study:{hashlib.sha256(data).hexdigest()[:16]}"


@dataclass(frozen=True)
class _Frame:
    """What the header says of one frame."""

    number: int
    rescale: Rescale
    plane: Plane | None
    spacing: tuple[float, float] | None
    thick_mm: float  # 0 where that is not said

    @property
    def thickness(self) -> Meta:
        """For a scan's `meta`."""
        return {"SliceThickness": self.thick_mm} if self.thick_mm else {}

    @property
    def place(self) -> float:
        """Along the normal, where that is said; else by its number."""
        place = self.plane.place_mm if self.plane else None
        return float(self.number) if place is None else place

    @classmethod
    def of(cls, header: Dataset, number: int) -> "_Frame":
        """Raises UnreadableScan where it is no axial frame in HU."""
        where = Dataset()
        for group, tag in (("PlanePosition", "ImagePositionPatient"), ("PlaneOrientation", "ImageOrientationPatient")):
            (value,) = _group(header, number, f"{group}Sequence", tag)
            if value is not None:
                setattr(where, tag, value)

        def measures(tag: str) -> Any:
            return _group(header, number, "PixelMeasuresSequence", tag)[0]

        check_kind(*_group(header, number, "CTImageFrameTypeSequence", "FrameType", "VolumeBasedCalculationTechnique"))
        rescale = Rescale.of(*_group(header, number, "PixelValueTransformationSequence", *RESCALE))
        check_square(spacing := pixel_mm(measures))
        return cls(number, rescale, plane_of(where), spacing, thickness_mm(measures))


def _frames(header: Dataset, count: int, kept: _Kept) -> list[_Frame]:
    """In anatomical order, those that are axial ones in HU. Raises UnreadableScan where none is."""
    frames = []
    for number in range(count):
        try:
            frames.append(_Frame.of(header, number))
        except UnreadableScan as error:
            kept.leave_out(_UNFIT, error)
    if not frames:
        kept.tell()
    return sorted(_each_placed(frames), key=lambda frame: frame.place)


def _each_placed(frames: Sequence[_Frame]) -> list[_Frame]:
    """The same, without their place where it is one for all: the file's, or its first frame's, and not their own."""
    places = [None if frame.plane is None else frame.plane.place_mm for frame in frames]
    said = [place for place in places if place is not None]
    if len(said) < 2 or len(said) < len(frames) or max(said) - min(said) > SAME_MM:
        return list(frames)
    return [replace(frame, plane=frame.plane and replace(frame.plane, corner=None)) for frame in frames]


def _slabs_of(frames: Sequence[_Frame], slice_mm: float) -> list[range]:
    """Frames that become one scan; each by itself where they do not all lie one upon the other, with pixels of one
    size, or do not say."""
    stacks = {(frame.plane.stack if frame.plane else None, frame.spacing) for frame in frames}
    if len(stacks) > 1 or any(stack is None for stack, _ in stacks):
        return alone(len(frames))
    thickness = max(frame.thick_mm for frame in frames)
    return slabs([frame.place for frame in frames], slice_mm, thickness, [frame.number for frame in frames])


def _group(header: Dataset, number: int, sequence: str, *tags: str) -> list[Any]:
    """Values of a functional group: the frame's own, or those all frames share, or the file's."""
    places = [header]
    for groups, index in zip(_GROUPS, (0, number), strict=True):
        items = header.get(groups)
        if items and index < len(items) and (inner := items[index].get(sequence)):
            places.insert(0, inner[0])
    return [next((place.get(tag) for place in places if place.get(tag) is not None), None) for tag in tags]


def _nifti(data: bytes, megapixels: float, megabytes: float, slice_mm: float) -> Iterator[Scan]:
    volume = axial_volume(data, megabytes)
    across, deep, spacing = volume.zooms
    wide, high, count = volume.stored.shape
    check_size(wide, high, megapixels)
    _check_count(count)
    _check_densities(volume)
    study, kept = _study_of(data), _Kept()

    def slice_at(number: int) -> Scan | None:
        axial = volume.axial(number)
        if axial.min() == axial.max() or axial.max() < DENSEST_HU:  # padding and air hold nothing
            return None
        if not kept.admits(axial, (deep, across)):
            return None
        meta: Meta = {"format": "NIfTI", "position_mm": number * spacing}
        return Scan(check(axial), "HU", None, study, meta | letters_shown(axial))

    places = [number * spacing for number in range(count)]
    groups = slabs(places, slice_mm) if volume.sizes_known else alone(count)
    yield from put_together(groups, slice_at)
    kept.tell()


def _check_densities(volume: Volume) -> None:
    """Raise UnreadableScan where a NIfTI volume's values are no numbers, or no Hounsfield units; part by part, for all
    at once take up memory."""
    air, densest = False, -np.inf
    for part in volume.parts():
        if not np.isfinite(part).all():
            raise UnreadableScan("The NIfTI volume holds values that are not numbers. Export the series again.")
        air = air or bool(((part > PADDING_HU) & (part <= LOWEST_AIR_HU)).any())
        densest = part.max(initial=densest)
    if not air:
        raise UnreadableScan(
            "The NIfTI volume is not in Hounsfield units: nothing in it is as dark as air. Send the CT in these."
        )
    check_tissue(np.array(densest))


def _check_count(slices: int) -> None:
    if slices > MAX_SLICES:
        raise UnreadableScan(f"The file holds {slices} slices; the limit is {MAX_SLICES}. Send a single series.")
