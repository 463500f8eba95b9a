"""A NIfTI file as a volume that is cut axially: what its header must say of how the head lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np

from core.geometry import AXIAL, SQUARE, is_square
from core.scan import UnreadableScan, check_megabytes
from core.signatures import is_nifti_2

LARGEST_FIELD_MM = 500
"""What a scanner sees at once."""


@dataclass(frozen=True)
class Volume:
    """A CT volume as its file keeps it: as densities it could take four times the memory."""

    stored: np.ndarray  # (W, D, H) to the right, front and up
    slope: float
    intercept: float
    zooms: list[float]  # a voxel's sides in mm

    def axial(self, number: int) -> np.ndarray:
        """(D, W) float32 of one slice, as radiologists view it."""
        return self._densities(self.stored[::-1, ::-1, number].T)

    def parts(self) -> Iterator[np.ndarray]:
        """All densities, in the order in which the file holds them, which takes the least time."""
        return map(self._densities, np.moveaxis(self.stored, np.argmax(np.abs(self.stored.strides)), 0))

    def _densities(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # `read_all` asks what became of it
            if (self.slope, self.intercept) != (1, 0):
                values = values.astype(np.float64) * self.slope + self.intercept
            return values.astype(np.float32)

    @property
    def sizes_known(self) -> bool:
        """Whether a voxel's sides are what the header says: not where each is exactly 1 mm, which programs write that
        do not know, and a slice would be wider than a scanner's field."""
        return self.zooms != [1, 1, 1] or max(self.stored.shape[:2]) <= LARGEST_FIELD_MM


def axial_volume(data: bytes, megabytes: float) -> Volume:
    """A NIfTI file's. Raises UnreadableScan."""
    if data[344:347] == b"ni1" or data[4:7] == b"ni2":
        raise UnreadableScan(
            "The file is one half of a NIfTI pair (.hdr and .img). Convert the two to one file (.nii or .nii.gz)."
        )
    try:
        kind = nibabel.Nifti2Image if is_nifti_2(data) else nibabel.Nifti1Image
        image = kind.from_bytes(data)
        _check_header(image, megabytes)
        turns = nibabel.io_orientation(image.affine)  # to right, front, up
        sides = nibabel.affines.voxel_sizes(image.affine)
        zooms = [float(sides[axis]) for axis in np.argsort(turns[:, 0])]
        _check_axial(image.affine, turns, zooms)
        proxy: Any = image.dataobj
        stored: np.ndarray = np.ndarray(image.shape[:3], proxy.dtype, data, proxy.offset, order="F")  # and no copy
        return Volume(nibabel.apply_orientation(stored, turns), proxy.slope, proxy.inter, zooms)
    except (UnreadableScan, MemoryError):
        raise
    except Exception as error:  # nibabel's readers raise whatever they meet
        raise UnreadableScan("The NIfTI file is damaged or cut off. Export or copy it again.") from error


def _check_header(image: Any, megabytes: float) -> None:
    """Raise UnreadableScan where an image has not three dimensions, does not say how it lies, or says two things."""
    if image.header.get_data_dtype().names:
        raise UnreadableScan("The NIfTI file is in colour: no CT. Send the volume that it was made from.")
    if len(image.shape) < 3 or set(image.shape[3:]) - {1}:
        raise UnreadableScan(
            f"The NIfTI file has {len(image.shape)} dimensions; a CT volume has 3. Send one such volume a file."
        )
    if image.header.get_data_dtype().kind == "c":
        raise UnreadableScan("The NIfTI file holds complex numbers: no CT. Send the volume that it was made from.")
    check_megabytes("The NIfTI volume has", int(np.prod(image.shape)) * 4, megabytes)
    _check_agrees(image)
    said = int(image.header["qform_code"]) or int(image.header["sform_code"])
    if not said or np.array_equal(np.abs(image.affine), np.eye(4)):  # as programs write it that do not know
        raise UnreadableScan(
            "The NIfTI file does not say how the head lies (no qform and no sform, or only a program's default), so "
            "left could be right. Convert the series again with its orientation, or send it as DICOM."
        )


def _check_agrees(image: Any) -> None:
    """Raise UnreadableScan where a NIfTI header says in two ways how the head lies or how large a voxel is."""
    ways = [way for way, known in (image.get_qform(coded=True), image.get_sform(coded=True)) if known]
    if len({str(nibabel.io_orientation(way).tolist()) for way in ways}) > 1:
        raise UnreadableScan(
            "The NIfTI file says in two ways how the head lies (qform and sform), and they differ: left could be "
            "right. Convert the series again, or send it as DICOM."
        )
    said, used = np.array(image.header.get_zooms()[:3], float), nibabel.affines.voxel_sizes(image.affine)
    unsaid = (said == 1).all()  # as programs write it that do not know
    if not unsaid and not np.allclose(said, used, rtol=SQUARE - 1):
        raise UnreadableScan(
            "The NIfTI file says in two ways how large its voxels are (pixdim and the affine), and they differ. "
            "Convert the series again, or send it as DICOM."
        )


def _check_axial(affine: np.ndarray, turns: np.ndarray, zooms: list[float]) -> None:
    """Raise UnreadableScan where slices that follow each other upwards are not across the body: `zooms`, the voxel's
    sides in mm to the right, to the front and up."""
    right, front, _ = (affine[:3, axis] for axis in np.argsort(turns[:, 0]))
    normal = np.cross(right, front)
    if min(abs(normal[2]) / np.linalg.norm(normal), abs(right[0]) / np.linalg.norm(right)) < AXIAL:
        raise UnreadableScan(
            "The NIfTI volume lies aslant: its rows or its slices are not across the body. Send the series as the "
            "scanner made it, or resample it."
        )
    across, deep, _ = zooms
    if not is_square(across, deep):
        raise UnreadableScan(
            f"The NIfTI volume's axial slices have voxels of {across:.2g} x {deep:.2g} mm: it seems to be a coronal or "
            "sagittal series. Send the axial one."
        )
