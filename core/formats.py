"""Bytes -> Scan, or UnreadableScan with a sentence that says why and what to do.

What a file is, its content says, never its name. Nothing that identifies a patient leaves this module:
of a DICOM header only `_TECHNICAL_TAGS` survive, and a patient's id only as a keyed hash.
"""

import io
import logging
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from core.burned_in import BURNED_IN, letters_in
from core.contrast import contrast_given
from core.extent import check_extent
from core.geometry import Plane, is_square, pixel_mm, thickness_mm
from core.identity import identity_of, relative_day, uid_in
from core.picture import read_picture
from core.pseudonym import Pseudonym
from core.scan import AIR_HU, CONTRAST, LOWEST_AIR_HU, Meta, Scan, UnreadableScan, check, check_size
from core.signatures import GZIP, ZIP, is_archive, is_dicom, is_nifti, is_phones_photograph, is_picture

# pydicom quotes header bytes in its messages, a patient's name among them.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

DENSEST_HU = 20.0
"""CT holds tissue: a slice whose brightest place is darker is not in HU."""
DAMAGED = "The DICOM file is damaged or cut off. Export the series again."
_TECHNICAL_TAGS = ("KVP", "GantryDetectorTilt", "InstanceNumber")
_SERIES_FILE_NAME = re.compile(
    r"^(?!img|dsc|pxl|image|scan|slice|series|head|brain|frame|screenshot|photo|download|export|untitled|"
    r"(im?|file)[\d_-]|0\d{3})(?=[\w-]*\d)"
    r"(?P<patient>[\w-]+?) ?\((?P<number>\d{1,9})\)( - Copy)?$",
    re.IGNORECASE,
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_OTHER_MODALITIES = {
    "MR": "an MR image",
    "SR": "a report, such as a dose report",
    "PR": "a presentation state",
    "KO": "a list of key images",
    "OT": "a screenshot or other capture",
    "SC": "a screenshot or other capture",
    "DOC": "a document",
    "CR": "an X-ray image",
    "DX": "an X-ray image",
    "XA": "an angiogram",
    "PT": "a PET image",
    "NM": "a scintigram",
    "US": "an ultrasound image",
    "SEG": "a segmentation",
    "RTSTRUCT": "a set of contours",
}


def read(data: bytes, name: str = "", *, pseudonym: Pseudonym | None = None, megapixels: float = 16) -> Scan:
    """Read a JPG, PNG, TIFF, BMP, GIF or WebP, or a single-slice CT DICOM.

    `name` is only looked at for a patient and slice number of the form ``PATIENT (N).jpg``. Without a
    `pseudonym` the scan carries no patient key.

    Raises UnreadableScan where the bytes are anything else, with a sentence for the sender.
    """
    if not data:
        raise UnreadableScan("The file is empty. Export it again.")
    if is_dicom(data):
        return _read_dicom(data, pseudonym, megapixels)
    if is_picture(data):
        return _with_series(read_picture(data, megapixels), name, pseudonym)
    if is_nifti(data) or data.startswith(GZIP):
        raise UnreadableScan(
            "A NIfTI or packed file may hold many slices, so that one label cannot be of it. Export one image a slice "
            "to train on or to measure."
        )
    if data.startswith(ZIP):
        raise UnreadableScan("This is a damaged zip, or a zip inside a zip. Unpack it and send what is in it.")
    if is_archive(data):
        raise UnreadableScan(
            "This is an archive that is not read here (7z, RAR, tar, bzip2). Pack what is in it as a zip."
        )
    if is_phones_photograph(data):
        raise UnreadableScan("This is a HEIC or AVIF image, as phones make them. Export it as JPG or PNG.")
    raise UnreadableScan(
        "The content is not a JPG, PNG, TIFF, BMP, GIF, WebP, DICOM or NIfTI image, whatever the name says. Upload the "
        "axial CT slices."
    )


def _with_series(scan: Scan, name: str, pseudonym: Pseudonym | None) -> Scan:
    """Patient and slice number where the file is named ``PATIENT (N).ext``, the way exports often are.

    PATIENT has a digit and is none of the names that cameras, viewers and operating systems give: browsers number
    downloads of one name in the same way, whoever they show.
    """
    match = _SERIES_FILE_NAME.match(PurePath(name.replace("\\", "/")).stem)
    if not match or pseudonym is None:
        return scan
    patient = pseudonym.of("file", match["patient"])
    meta = {**scan.meta, "number": float(match["number"])}
    return Scan(scan.pixels, scan.unit, patient, pseudonym.of("file-study", match["patient"]), meta)


def _read_dicom(data: bytes, pseudonym: Pseudonym | None, megapixels: float) -> Scan:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = header_of(data)
            check_is_axial_ct(header)
            check_size(int(header.Columns), int(header.Rows), megapixels)
            plane = plane_of(header)
            rescale = Rescale.of(*(header.get(tag) for tag in RESCALE))
            if (stored := header.pixel_array).ndim != 2:
                raise UnreadableScan("The DICOM file has more pixels than its header says. Export the series again.")
            hu = check(rescale.hounsfield(header, stored, plane))
            check_tissue(hu)
            check_square(spacing := pixel_mm(header.get))
            check_extent(hu, spacing)
            meta = technical(header, plane, hu) | relative_day(header, pseudonym)
            patient = identity_of(header, "PatientID", pseudonym)
            study = identity_of(header, "StudyInstanceUID", pseudonym)
            return Scan(hu, "HU", patient, study, meta, _series_of(header, plane, pseudonym))
    except (UnreadableScan, MemoryError):
        raise
    except Exception as error:  # a header can be wrong in more ways than pydicom has exceptions for
        raise damaged(error) from error


def _series_of(header: Dataset, plane: Plane | None, pseudonym: Pseudonym | None) -> str | None:
    """What slices have in common that are of one series, lie one upon the other and have pixels of one size."""
    uid, stack = uid_in(header, "SeriesInstanceUID"), plane.stack if plane else None
    if not (uid and stack and pseudonym):
        return None
    return pseudonym.of("SeriesInstanceUID", f"{uid} {stack} {pixel_mm(header.get)}")


def header_of(data: bytes) -> Dataset:
    """A DICOM file's data set. One that was written without file meta does not name its transfer syntax: it is the one
    by which it could be read."""
    header = pydicom.dcmread(io.BytesIO(data), force=True)
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, _ = header.original_encoding
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return header


def damaged(error: Exception) -> UnreadableScan:
    """What pydicom or a decoder raised, as a sentence."""
    if "exceptions were raised" in str(error):  # by decoders of its kind
        return UnreadableScan(
            "The DICOM file is damaged, or compressed in a way this installation cannot decode. Send it again, or "
            "export it uncompressed."
        )
    if "decompress" in str(error) or "decode" in str(error):
        return UnreadableScan(
            "The DICOM file is compressed in a way this installation cannot decode. Export it uncompressed."
        )
    return UnreadableScan(DAMAGED)


def check_is_axial_ct(header: Dataset, *, frames: bool = False) -> None:
    """Raise UnreadableScan where it is anything else; `frames`: it may hold several."""
    if "DirectoryRecordSequence" in header:
        raise UnreadableScan("This is the list of a DICOM folder (DICOMDIR), no image. Upload the images beside it.")
    if "Modality" not in header and "Rows" not in header:
        raise UnreadableScan(DAMAGED)
    modality = str(header.get("Modality", "") or "").strip().upper()
    if not modality:
        raise UnreadableScan("The DICOM file does not say what it shows (no Modality). Export the series again.")
    if modality != "CT":
        what = _OTHER_MODALITIES.get(modality, "another kind of image")
        raise UnreadableScan(f"This is {what} (modality {modality[:16]}), no CT slice. Upload the axial CT series.")
    if str(header.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE):
        raise UnreadableScan("This is a secondary capture, a screenshot or key image. Upload the axial CT series.")
    if "LOCALIZER" in header.get("ImageType", []):
        raise UnreadableScan("This is a scout image, not a slice. Upload the axial CT series.")
    check_kind(header.get("ImageType"), header.get("VolumeBasedCalculationTechnique"))
    _check_pixels(header, frames)


_PIXELS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
)
"""What a header must say of them (PS3.3 C.7.6.3)."""


def _check_pixels(header: Dataset, frames: bool) -> None:
    if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
        raise UnreadableScan(
            "The DICOM file holds decimals (float pixel data), as no scanner makes. Send the series as it made it."
        )
    if "PixelData" not in header:
        raise UnreadableScan("The DICOM file holds no image. Upload the axial CT series.")
    if missing := [tag for tag in _PIXELS if header.get(tag) in (None, "")]:
        raise UnreadableScan(
            f"The DICOM file does not say how its pixels are kept (no {missing[0]}). Send the series as the scanner "
            "made it."
        )
    if not frames and int(header.get("NumberOfFrames", 1) or 1) > 1:
        raise UnreadableScan("The DICOM file holds several frames. Export the series one slice a file to train on it.")
    if int(header.SamplesPerPixel) != 1 or "PALETTE" in str(header.PhotometricInterpretation):
        raise UnreadableScan("The DICOM image is in colour: a screenshot, not a slice. Upload the axial CT series.")


_PROJECTION = re.compile(r"(^|[ _])M(AX|IN)?[ _]?IP([ _]|$)|^M(AX|IN)IMUM$|^PROJECTION IMAGE$", re.IGNORECASE)
"""What says so: MIP, MINIP, CT_SOM5 MIP, MIP_THICK, MAX_IP, MAXIMUM."""
_MAP = re.compile(r"(^|[ _])(R?CB[FV]|MTT|TTP|TMAX|PERFUSION|SUBTRACTION)([ _]|$)", re.IGNORECASE)


def check_kind(kind: Any, technique: Any = "") -> None:
    """Raise UnreadableScan where an image's or frame's type, or how it was calculated, says that it is no slice as a
    scanner measures it: the brightest or darkest of many at each place (PS3.3 C.8.16.2.1.5), or a map."""
    said = [str(value).strip() for value in [*([kind] if isinstance(kind, str) else kind or []), technique or ""]]
    if any(map(_PROJECTION.search, said)):
        raise UnreadableScan("This is a projection of many slices (MIP), no slice. Upload the axial CT series.")
    if any(map(_MAP.search, said)):
        raise UnreadableScan("This is a map computed from several scans (perfusion, subtraction). Upload the plain CT.")


_HOUNSFIELD = ("", "HU", "US", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS")
"""Types of rescaled values that are Hounsfield units, or are taken for such: unspecified ones."""
RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType")


@dataclass(frozen=True)
class Rescale:
    """How stored values become Hounsfield units (PS3.3 C.11.1.1.2)."""

    slope: float
    intercept: float

    @classmethod
    def of(cls, slope: Any, intercept: Any, kind: Any) -> "Rescale":
        """From a header's values. Raises UnreadableScan where they are not those of Hounsfield units."""
        if slope in (None, "") or intercept in (None, ""):
            raise UnreadableScan(
                "The DICOM file does not say how its values become Hounsfield units (no rescale). Send the series as "
                "the scanner made it."
            )
        if (unit := str(kind or "").strip().upper()[:16]) not in _HOUNSFIELD:
            raise UnreadableScan(
                f"The DICOM file's values are no Hounsfield units but {unit}, as in a spectral map. Send the plain CT."
            )
        try:
            slope, intercept = float(slope), float(intercept)
        except (TypeError, ValueError):  # some writers put commas into numbers
            slope = intercept = math.nan
        if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
            raise UnreadableScan(
                "The DICOM file's rescale is not a usable number, so its densities are unknown. Send the series as the "
                "scanner made it."
            )
        return cls(slope, intercept)

    def hounsfield(self, header: Dataset, stored: np.ndarray, plane: Plane | None) -> np.ndarray:
        """(H, W) stored values -> float64 HU, padding as air, turned as radiologists view it. Raises UnreadableScan
        where they cannot be."""
        high, bits = header.get("HighBit"), header.get("BitsStored")
        if isinstance(high, int) and isinstance(bits, int) and high > bits - 1:
            raise UnreadableScan(
                "The DICOM file keeps its values in the upper bits (high bit), as old ones do. Export the series again."
            )
        hu, padding = stored.astype(np.float64) * self.slope + self.intercept, padding_of(header, stored)
        lifts = self.slope == 1 and self.intercept > LOWEST_AIR_HU  # where air is -1000, it is not so by the rescale
        if lifts and hu.min(where=~padding, initial=np.inf) > LOWEST_AIR_HU:
            raise UnreadableScan(
                "The DICOM file is not in Hounsfield units: its rescale changes next to nothing, and nothing in it is "
                "as dark as air. Send the series as the scanner made it."
            )
        hu[padding] = AIR_HU  # after the check, which must not take this for the scanner's air
        return plane.upright(hu) if plane else hu


def check_tissue(hu: np.ndarray) -> None:
    """Raise UnreadableScan where there is none."""
    if hu.max() < DENSEST_HU:
        raise UnreadableScan(
            f"Nothing in the image is as dense as tissue ({hu.max():.0f} HU at most): it shows air only, or its values "
            "are no Hounsfield units. Send the series as the scanner made it."
        )


def check_square(spacing: tuple[float, float] | None) -> None:
    """Raise UnreadableScan where a pixel's sides, in mm, are not alike: a head would be read as squeezed."""
    if spacing and min(spacing) > 0 and not is_square(*spacing):
        raise UnreadableScan(
            f"The slice's pixels are {spacing[0]:.2g} x {spacing[1]:.2g} mm, not square: it seems to be a reformat or "
            "squeezed. Send the axial series as the scanner made it."
        )


def padding_of(header: Dataset, stored: np.ndarray) -> np.ndarray:
    """Which stored values stand for no measurement: one value, or all from one to another (PS3.3 C.7.5.1.1.2)."""
    value, limit = header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return np.zeros(stored.shape, bool)
    # as the pixels have it: headers give -2000 as 63536
    ends = np.array([value, limit if isinstance(limit, int) else value]).astype(stored.dtype)
    return (stored >= ends.min()) & (stored <= ends.max())


def plane_of(header: Dataset) -> Plane | None:
    """Where the slice lies. Raises UnreadableScan where that is not across the body."""
    plane = Plane.of(header.get)
    if plane and not plane.axial:
        raise UnreadableScan("This is a coronal or sagittal reformat, no axial slice. Upload the axial CT series.")
    return plane


def letters_shown(hu: np.ndarray) -> Meta:
    """For a scan's `meta`: whether letters stand in (H, W) densities as the brain window shows them."""
    return {BURNED_IN: 1.0} if letters_in(np.clip(hu / 80, 0, 1)) else {}


def technical(header: Dataset, plane: Plane | None, hu: np.ndarray) -> Meta:
    """The allow-list, numbers only; where the slice lies; whether letters stand in it."""
    meta: Meta = {"format": "DICOM"}
    if thick := thickness_mm(header.get):
        meta["SliceThickness"] = thick
    for tag in _TECHNICAL_TAGS:
        text = str(header.get(tag, ""))[:16]
        if re.fullmatch(r"[+-]?\d+(\.\d*)?", text):
            meta[tag] = float(text)
    if str(header.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        meta[BURNED_IN] = 1.0
    meta |= letters_shown(hu)
    if contrast_given(header):
        meta[CONTRAST] = 1.0
    if plane and plane.place_mm is not None:
        meta["position_mm"] = plane.place_mm
    return meta
