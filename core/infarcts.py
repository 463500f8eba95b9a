"""Infarcts by vascular territory and age, drawn into real slices.

Territories follow Tatu et al., Neurology 1998;50:1699, in coordinates of the brain's own ellipse.
"""

import numpy as np
from scipy import ndimage

from core.anatomy import BONE_HU, Anatomy
from core.lesions import DRAWS, VISIBLE, Lesion, clutter_of, contrast_to_noise, mean_over, noise

TERRITORIES = ("MCA", "MCA branch", "ACA", "PCA", "lacunar", "striatocapsular", "watershed", "cerebellar")
DEEP = ("lacunar", "striatocapsular")
AGES = ("hyperacute", "acute", "subacute", "chronic")


def simulate_infarct(
    hu: np.ndarray, brain: Anatomy, rng: np.random.Generator, territory: str | None = None, age: str | None = None
) -> Lesion | None:
    """An infarct of one territory and age, drawn at random where not given; None where it finds no room or nobody
    could see it: what cannot be told from the slice as it was would only teach, and ask for, guesses."""
    if not territory:
        choices, weights = _likely(brain)
        territory = str(rng.choice(choices, p=weights))
    if territory in DEEP and not brain.at_ventricles:
        return None
    clutter = clutter_of(hu, brain)
    for _ in range(DRAWS):
        lesion = _infarct(hu, brain, rng, territory, age or _age(territory, rng))
        if lesion and contrast_to_noise(hu, lesion.hu, lesion.mask, clutter) > VISIBLE:
            return lesion
    return None


def _likely(brain: Anatomy) -> tuple[list[str], list[float]]:
    """Territories that a slice can show, and how often each is drawn."""
    if brain.low and not brain.wide:
        return ["cerebellar"], [1.0]
    if brain.low:
        return ["cerebellar", "PCA", "MCA branch"], [0.4, 0.3, 0.3]
    if not brain.at_ventricles:
        return ["MCA", "MCA branch", "ACA", "PCA", "watershed"], [0.26, 0.38, 0.11, 0.12, 0.13]
    return list(TERRITORIES[:-1]), [0.15, 0.2, 0.06, 0.1, 0.21, 0.2, 0.08]


def _age(territory: str, rng: np.random.Generator) -> str:
    """How old an infarct is; a small deep one shows later than a large one."""
    return str(rng.choice(AGES, p=[0.02, 0.23, 0.4, 0.35] if territory in DEEP else [0.14, 0.3, 0.34, 0.22]))


def _infarct(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator, territory: str, age: str) -> Lesion | None:
    """One draw of an infarct; None where the slice has no room for it."""
    region = _territory(territory, brain, rng) & brain.brain & (brain.depth > 0.015)
    if territory in DEEP:
        region &= ~ndimage.binary_dilation(brain.fluid, iterations=max(1, round(hu.shape[0] / 160)))
    if region.sum() < 0.004 * brain.brain.sum():
        return None
    border = brain.radius * (rng.uniform(0.012, 0.03) if age == "chronic" else rng.uniform(0.02, 0.07))
    border *= 0.5 if territory == "lacunar" else 1.0
    mask = ndimage.gaussian_filter(region.astype(np.float32), border) * brain.brain
    return Lesion(_infarcted(hu, mask, brain, age, rng), mask, f"{territory}, {age}")


def _territory(name: str, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Where one artery's territory lies, on a side drawn at random, its border made irregular."""
    size, side = brain.x.shape[0], rng.choice([-1.0, 1.0])
    rough = rng.uniform(0.04, 0.1)
    x = brain.x * side + rough * noise(rng, size, brain.radius / rng.uniform(2.5, 6))
    y = brain.y + rough * noise(rng, size, brain.radius / rng.uniform(2.5, 6))
    angle, r = np.degrees(np.arctan2(y, x)), np.hypot(x, y)  # 0 degrees: lateral; -90: front; on the lesion's side
    if name == "MCA":
        front, back, inner = rng.uniform(-58, -35), rng.uniform(25, 55), rng.uniform(0.16, 0.42)
        return (angle > front) & (angle < back) & (x > inner) & (r > inner)
    if name == "MCA branch":
        back = 0 if brain.low else 50  # at the base, of the temporal lobe, which lies in front of the cerebellum
        middle, half, inner = rng.uniform(-45, back), rng.uniform(10, 28), rng.uniform(0.3, 0.62)
        taper = np.clip((r - inner) / 0.25, 0.35, 1)
        return (np.abs(angle - middle) < half * taper) & (r > inner) & (x > 0.1)
    if name == "ACA":
        return (
            (x > 0.01) & (x < rng.uniform(0.2, 0.34)) & (y < rng.uniform(-0.45, -0.1)) & (y > rng.uniform(-1.2, -0.8))
        )
    if name == "PCA":
        return (x > 0.02) & (x < rng.uniform(0.3, 0.58)) & (y > rng.uniform(0.36, 0.55)) & (angle > rng.uniform(42, 55))
    if name == "watershed":
        middle, half = rng.choice([rng.uniform(-66, -50), rng.uniform(48, 64)]), rng.uniform(5, 11)
        return (np.abs(angle - middle) < half) & (r > rng.uniform(0.3, 0.55)) & (x > 0)
    if name == "cerebellar":
        at, axes = (rng.uniform(0.2, 0.5), rng.uniform(0.4, 0.68)), rng.uniform(0.12, 0.34, 2)
        return (np.hypot((x - at[0]) / axes[0], (y - at[1]) / axes[1]) < 1) & (x > 0.02)
    deep = (rng.uniform(0.17, 0.42), rng.uniform(-0.3, 0.22))
    small = name == "lacunar"
    across, along = rng.uniform([0.06, 0.06] if small else [0.08, 0.16], [0.11, 0.13] if small else [0.15, 0.3])
    return np.hypot((x - deep[0]) / across, (y - deep[1]) / along) < 1


def _infarcted(hu: np.ndarray, mask: np.ndarray, brain: Anatomy, age: str, rng: np.random.Generator) -> np.ndarray:
    """Lower density, less texture, less difference of grey from white; swollen when fresh, shrunken when old. What is
    as dense as bone stays: a calcification outlives the tissue around it."""
    fine = hu - ndimage.gaussian_filter(hu, 0.9)
    coarse = hu - fine
    bone = hu > BONE_HU
    tissue = brain.brain & ~brain.fluid & ~bone
    local = mean_over(coarse, tissue, brain.radius * 0.16)
    drop, blend = {
        "hyperacute": (rng.uniform(3.5, 6), rng.uniform(0.55, 0.9)),
        "acute": (rng.uniform(6, 11), rng.uniform(0.55, 0.95)),
        "subacute": (rng.uniform(9, 16), rng.uniform(0.6, 0.95)),
        "chronic": (rng.uniform(14, 24), rng.uniform(0.6, 0.95)),
    }[age]
    kept = np.where(brain.fluid, np.maximum(coarse, local - 6), coarse) if age in ("acute", "subacute") else coarse
    level = blend * local + (1 - blend) * kept - drop * (1 + 0.12 * noise(rng, hu.shape[0], brain.radius / 5))
    level = np.minimum(level, kept - 0.3 * drop) if age == "chronic" else level
    level = np.maximum(level, rng.uniform(4, 9))
    return np.where(bone, hu, coarse * (1 - mask) + level * mask + fine).astype(np.float32)
