"""Files that hold several slices: multi-frame CT and NIfTI. Each slice is a scan, in anatomical order.

A frame of a multi-frame CT has its rescale and its place in functional groups (DICOM PS3.3 C.7.6.16). A NIfTI file has
its orientation in an affine; slices are cut axially and laid out as radiologists view them: front up, the patient's
right at the image's left.
"""

import gzip
import hashlib
import io
import math
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset

from core.formats import (
    check,
    check_is_axial_ct,
    check_size,
    identity_of,
    padding_of,
    plane_of,
    read,
    relative_day,
    technical,
)
from core.pseudonym import Pseudonym
from core.scan import AIR_HU, Scan, UnreadableScan
from core.signatures import GZIP, is_dicom, is_nifti

MAX_SLICES = 2000
LOWEST_AIR_HU = -300.0
"""A CT volume holds air: one whose darkest voxel is brighter is not in HU."""


def read_all(
    data: bytes, name: str = "", *, pseudonym: Pseudonym | None = None, megapixels: float = 16, megabytes: float = 1024
) -> Iterator[Scan]:
    """Every slice a file holds; one where it is an image or a single-slice DICOM (see `core.formats.read`).

    `megabytes`: what a packed volume may unpack to. Raises UnreadableScan with a sentence for the sender.
    """
    if data.startswith(GZIP):
        data = _unpacked(data, megabytes)
    if is_nifti(data):
        yield from _nifti(data, megapixels, megabytes)
    elif is_dicom(data) and _frames(data) > 1:
        yield from _multi_frame(data, pseudonym, megapixels)
    else:
        yield read(data, name, pseudonym=pseudonym, megapixels=megapixels)


def _unpacked(data: bytes, megabytes: float) -> bytes:
    limit = int(megabytes * 1e6)
    try:
        with gzip.open(io.BytesIO(data)) as file:
            whole = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableScan("The packed file is damaged or cut off. Export or copy it again.") from error
    if len(whole) > limit:
        raise UnreadableScan(f"The packed file unpacks to more than {megabytes:g} MB. Send the series as DICOM slices.")
    return whole


def _frames(data: bytes) -> int:
    """How many frames a DICOM file says it holds; 1 where that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(
                io.BytesIO(data), force=True, stop_before_pixels=True, specific_tags=["NumberOfFrames"]
            )
        return int(header.get("NumberOfFrames", 1) or 1)
    except Exception:  # `read` will say what is wrong with it
        return 1


def _multi_frame(data: bytes, pseudonym: Pseudonym | None, megapixels: float) -> Iterator[Scan]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(io.BytesIO(data), force=True)
            check_is_axial_ct(header, frames=True)
            check_size(int(header.Columns), int(header.Rows), megapixels)
            _check_count(int(header.NumberOfFrames))
            stored = header.pixel_array  # (F, H, W)
            frames = [_frame(header, stored[i], i) for i in range(len(stored))]
    except UnreadableScan:
        raise
    except Exception as error:  # a header can be wrong in more ways than pydicom has exceptions for
        raise UnreadableScan("The multi-frame DICOM is damaged or cut off. Export the series again.") from error
    patient, study = (identity_of(header, tag, pseudonym) for tag in ("PatientID", "StudyInstanceUID"))
    nobody, nothing = _unnamed(data)
    day = relative_day(header, pseudonym)
    for scan in sorted(frames, key=_place):
        yield replace(scan, patient_key=patient or nobody, study_key=study or nothing, meta=scan.meta | day)


def _place(frame: Scan) -> float:
    return float(frame.meta.get("position_mm", frame.meta["number"]))


def _unnamed(data: bytes) -> tuple[str, str]:
    """Patient and study of a volume that names none: its slices belong together all the same."""
    digest = hashlib.sha256(data).hexdigest()[:16]
    return f"image:{digest}", f"study:{digest}"


def _frame(header: Dataset, stored: np.ndarray, number: int) -> Scan:
    """One frame in HU, its number, and where it lies along the normal, where that is said."""
    slope, intercept = _group(header, number, "PixelValueTransformationSequence", "RescaleSlope", "RescaleIntercept")
    if slope is None or intercept is None:
        raise UnreadableScan("The multi-frame DICOM does not say how its values become Hounsfield units (no rescale).")
    slope, intercept = float(slope), float(intercept)
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise UnreadableScan("The multi-frame DICOM's rescale is not a usable number, so its densities are unknown.")
    where = Dataset()
    for sequence, tag in (("PlanePosition", "ImagePositionPatient"), ("PlaneOrientation", "ImageOrientationPatient")):
        (value,) = _group(header, number, f"{sequence}Sequence", tag)
        if value is not None:
            setattr(where, tag, value)
    plane = plane_of(where)
    hu = stored.astype(np.float64) * slope + intercept
    hu[padding_of(header, stored)] = AIR_HU
    hu = check(plane.upright(hu) if plane else hu)
    return Scan(hu, "HU", meta=technical(header, plane, hu) | {"number": float(number)})


def _group(header: Dataset, number: int, sequence: str, *tags: str) -> list[Any]:
    """Values of a functional group: the frame's own, or those all frames share, or the file's."""
    places = [header]
    for groups, index in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", number)):
        items = header.get(groups)
        if items and index < len(items) and (inner := items[index].get(sequence)):
            places.insert(0, inner[0])
    return [next((place.get(tag) for place in places if place.get(tag) is not None), None) for tag in tags]


def _nifti(data: bytes, megapixels: float, megabytes: float) -> Iterator[Scan]:
    try:
        image = _checked_nifti(nibabel.Nifti1Image.from_bytes(data), megabytes)
        volume = np.asarray(nibabel.as_closest_canonical(image).dataobj, np.float32)  # right, front, up
        spacing = float(nibabel.as_closest_canonical(image).header.get_zooms()[2])
    except UnreadableScan:
        raise
    except Exception as error:  # nibabel's readers raise whatever they meet
        raise UnreadableScan("The NIfTI file is damaged or cut off. Export or copy it again.") from error
    check_size(volume.shape[0], volume.shape[1], megapixels)
    _check_count(volume.shape[2])
    if not np.isfinite(volume).all():
        raise UnreadableScan("The NIfTI volume holds values that are not numbers. Export the series again.")
    if volume.min() > LOWEST_AIR_HU:
        raise UnreadableScan("The NIfTI volume is not in Hounsfield units: nothing in it is as dark as air. Send a CT.")
    patient, study = _unnamed(data)
    for number in range(volume.shape[2]):
        axial = volume[::-1, ::-1, number].T
        if axial.min() < axial.max():  # padding slices of one grey hold nothing
            meta: dict[str, str | float] = {"format": "NIfTI", "position_mm": number * spacing}
            yield Scan(check(axial), "HU", patient, study, meta)


def _checked_nifti(image: Any, megabytes: float) -> Any:
    """An image of three dimensions that says how it lies. Raises UnreadableScan."""
    if len(image.shape) == 4 and image.shape[3] == 1:
        image = nibabel.funcs.four_to_three(image)[0]
    if len(image.shape) != 3:
        raise UnreadableScan(f"The NIfTI file has {len(image.shape)} dimensions; a CT volume has 3.")
    if int(np.prod(image.shape)) * 4 > megabytes * 1e6:
        raise UnreadableScan(f"The NIfTI volume has more than {megabytes:g} MB. Send the series as DICOM slices.")
    if not (int(image.header["qform_code"]) or int(image.header["sform_code"])):
        raise UnreadableScan(
            "The NIfTI file does not say how the head lies (no qform, no sform), so left could be right. "
            "Convert the series again with its orientation, or send it as DICOM."
        )
    return image


def _check_count(slices: int) -> None:
    if slices > MAX_SLICES:
        raise UnreadableScan(f"The file holds {slices} slices; the limit is {MAX_SLICES}. Send a single series.")
