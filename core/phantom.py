"""Synthetic head CT, with and without lesions: demo cases and tests. Never real, always marked.

Densities in HU follow textbook ranges: cerebrospinal fluid 0-15, white matter 20-30, grey matter 37-41, fresh
blood 50-80, an infarct of a day 10-20, skull 700-1400 (Hounsfield units at 120 kVp).
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

from core.labels import HEMORRHAGIC, ISCHEMIC
from core.scan import AIR_HU, Scan

MARK = "SYNTHETIC"


@dataclass(frozen=True)
class _Head:
    """Shapes of one synthetic head on an (S, S) grid, each a boolean mask or a coordinate."""

    x: np.ndarray  # -1..1 across the brain, left to right in the image
    y: np.ndarray  # -1..1, front to back
    scalp: np.ndarray
    skull: np.ndarray
    brain: np.ndarray
    ventricles: np.ndarray


def phantom(label: str, seed: int, size: int = 256) -> Scan:
    """One synthetic slice in HU, (size, size), with a lesion of `label`; the same seed gives the same pixels."""
    rng = np.random.default_rng(seed)
    head = _head(rng, size)
    hu = _tissue(head, rng)
    if label == HEMORRHAGIC:
        hu = _bleed(hu, head, rng)
    elif label == ISCHEMIC:
        hu = _infarct(hu, head, rng)
    hu += ndimage.gaussian_filter(rng.normal(0, 9, hu.shape), 0.7)
    hu = np.where(head.scalp, hu, AIR_HU)
    hu = _mark(np.clip(np.rint(hu), -1024, 3000))
    return Scan(hu.astype(np.float32), "HU", meta={"format": "phantom"})


def _head(rng: np.random.Generator, size: int) -> _Head:
    """An oval head, tilted and placed a little differently each time."""
    rows, columns = np.mgrid[0:size, 0:size] / size * 2 - 1
    angle, shift = np.deg2rad(rng.uniform(-8, 8)), rng.uniform(-0.05, 0.05, 2)
    width, length = rng.uniform(0.58, 0.66), rng.uniform(0.74, 0.8)
    u = (columns - shift[0]) * np.cos(angle) + (rows - shift[1]) * np.sin(angle)
    v = -(columns - shift[0]) * np.sin(angle) + (rows - shift[1]) * np.cos(angle)
    x, y = u / width, v / length
    radius = np.hypot(x, y)
    thickness = rng.uniform(0.07, 0.11)
    horn = rng.uniform(0.1, 0.17)
    ventricles = ((np.abs(x) - 0.16) / horn) ** 2 + ((y + 0.02) / rng.uniform(0.28, 0.4)) ** 2 < 1
    brain = radius < 1 - thickness
    return _Head(x, y, radius < 1.09, (radius < 1.0) & ~brain, brain, ventricles & brain)


def _tissue(head: _Head, rng: np.random.Generator) -> np.ndarray:
    """Grey over white matter with folds at the rim, fluid, falx, skull and scalp."""
    shape = head.x.shape
    folds = ndimage.gaussian_filter(rng.normal(0, 1, shape), shape[0] / 60)
    folds /= np.abs(folds).max()
    radius = np.hypot(head.x, head.y)
    grey = np.clip((radius + 0.16 * folds - 0.62) * 8, 0, 1)
    hu = 27 + 11 * grey
    hu = np.where((radius + 0.2 * folds > 0.88) & (folds > 0.15), 12, hu)  # sulci
    basal = (np.abs(np.abs(head.x) - 0.36) < 0.09) & (np.abs(head.y) < 0.2)
    hu = np.where(basal, 38, hu)
    hu = np.where(head.ventricles, 8, hu)
    hu = np.where((np.abs(head.x) < 0.012) & (np.abs(head.y) > 0.45), 44, hu)
    hu = np.where(head.brain, ndimage.gaussian_filter(hu, 0.8), 45)
    hu = np.where(head.skull, rng.uniform(800, 1300), hu)
    return np.where(head.scalp & (radius >= 1.0), 20, hu)


def _soft(mask: np.ndarray, head: _Head, edge: float) -> np.ndarray:
    """A mask with a soft border, kept inside the brain. (S, S) in [0, 1]."""
    return ndimage.gaussian_filter(mask.astype(float), edge) * head.brain


def _blob(head: _Head, rng: np.random.Generator, at: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """An irregular oval."""
    rough = ndimage.gaussian_filter(rng.normal(0, 1, head.x.shape), head.x.shape[0] / 24)
    rough *= 0.35 / np.abs(rough).max()
    return np.hypot((head.x - at[0]) / size[0], (head.y - at[1]) / size[1]) + rough < 1


def _bleed(hu: np.ndarray, head: _Head, rng: np.random.Generator) -> np.ndarray:
    """Fresh blood: in the brain's substance with a dark rim, along the skull, or in the ventricles."""
    side, density = rng.choice([-1, 1]), rng.uniform(48, 76)
    kind = rng.choice(["parenchymal", "subdural", "intraventricular"], p=[0.55, 0.3, 0.15])
    if kind == "parenchymal":
        at = (side * rng.uniform(0.25, 0.5), rng.uniform(-0.4, 0.45))
        size = (rng.uniform(0.1, 0.22), rng.uniform(0.1, 0.24))
        core = _blob(head, rng, at, size)
        edema = _soft(ndimage.binary_dilation(core, iterations=max(2, hu.shape[0] // 64)), head, 2)
        hu = hu * (1 - edema) + edema * np.minimum(hu, 20)
    elif kind == "subdural":
        radius = np.hypot(head.x, head.y)
        inner = radius[head.brain].max() - rng.uniform(0.09, 0.18)
        core = (radius > inner) & (head.x * side > rng.uniform(0.1, 0.3)) & (np.abs(head.y) < rng.uniform(0.55, 0.8))
    else:
        core = head.ventricles & (head.y > rng.uniform(-0.15, 0.05))
    blood = _soft(core, head, 1.0)
    return hu * (1 - blood) + blood * density


def _infarct(hu: np.ndarray, head: _Head, rng: np.random.Generator) -> np.ndarray:
    """A dark wedge to the cortex of one side, or a small dark spot deep in it."""
    side, depth = rng.choice([-1, 1]), rng.uniform(4, 16)
    if rng.random() < 0.8:
        bearing = np.arctan2(head.y, head.x * side)
        middle, half = rng.uniform(-0.5, 0.7), rng.uniform(0.3, 0.6)
        rough = ndimage.gaussian_filter(rng.normal(0, 1, hu.shape), hu.shape[0] / 30)
        bearing = bearing + 0.3 * rough / np.abs(rough).max()
        core = (np.abs(bearing - middle) < half) & (np.hypot(head.x, head.y) > rng.uniform(0.3, 0.5))
    else:
        core = _blob(head, rng, (side * rng.uniform(0.3, 0.45), rng.uniform(-0.25, 0.3)), (0.12, 0.14))
    dark = _soft(core, head, 2.5)
    inside = ndimage.gaussian_filter(head.brain.astype(float), 4)
    flat = ndimage.gaussian_filter(hu * head.brain, 4) / np.maximum(inside, 1e-3)  # swelling: no grey-white difference
    return hu * (1 - dark) + dark * np.clip(flat - depth, 9, None)


def _mark(hu: np.ndarray) -> np.ndarray:
    """The word SYNTHETIC burned into the air below the head."""
    size = hu.shape[0]
    page = Image.new("L", (size, size))
    font = ImageFont.load_default(size=max(9, size // 22))
    ImageDraw.Draw(page).text((size * 0.02, size * 0.93), MARK, fill=255, font=font)
    return np.where(np.asarray(page) > 128, 150, hu)


def to_dicom(scan: Scan, patient_id: str, *, number: int = 1) -> bytes:
    """A phantom as a CT DICOM file, the way a scanner would send it: signed 16 bit, rescale 1 and 0."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient_id, str(number)])
    file = Dataset()
    file.file_meta = meta
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    file.Modality, file.PatientID, file.InstanceNumber = "CT", patient_id, number
    file.StudyInstanceUID = generate_uid(entropy_srcs=[patient_id])
    file.SeriesDescription = MARK
    file.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    file.Rows, file.Columns = scan.pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
    file.RescaleSlope, file.RescaleIntercept = 1, 0
    file.PixelData = scan.pixels.astype("<i2").tobytes()
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()
