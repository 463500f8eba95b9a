"""What looks like stroke and is none, drawn into real slices: brains that aged, and what is dense without being blood.

The patients of a trauma set are young; those of a stroke unit are not. Wider fluid spaces and pale white matter are
the old brain's (Fazekas et al., AJR 1987;149:351, for where); calcified choroid plexus, pineal gland, pallidum, falx
and arteries, dense venous sinuses, and bone that fills a slice's thickness in part, are nobody's hemorrhage. They are
met without a finding, and beneath simulated infarcts and hemorrhages too.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage

from core.anatomy import Anatomy
from core.lesions import angle_off, grain_of, mean_over, noise


def lookalike(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """(S, S) densities of a slice without a finding -> what was drawn, and the slice with it. Still no finding."""
    kind = rng.choice(["aged", "dense", "aged, dense", "watery"], p=[0.36, 0.3, 0.26, 0.08])
    if "aged" in kind:
        hu = aged(hu, brain, rng)
    if "watery" in kind:
        hu = watery(hu, brain, rng)
    if "dense" in kind:
        hu = dense(hu, brain, rng)
    return str(kind), hu


def aged(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """The same slice with wider fluid spaces and, on both sides alike, paler white matter."""
    fine = hu - ndimage.gaussian_filter(hu, 0.9)
    coarse = hu - fine
    inner = ndimage.gaussian_filter((brain.brain & (brain.depth > 0.02)).astype(np.float32), 1.0)
    wide = coarse
    for _ in range(rng.integers(1, 3)):
        wide = np.where(brain.brain, ndimage.grey_erosion(np.where(brain.brain, wide, 40), size=(3, 3)), wide)
    wide = np.maximum(wide, 4)
    # only what is already darker than its surroundings widens; noise does not grow holes
    local = mean_over(coarse, brain.brain, brain.radius * 0.2)
    darker = np.clip((local - ndimage.gaussian_filter(coarse, 1.0) - 2) / 6, 0, 1)
    spread = ndimage.gaussian_filter(ndimage.maximum_filter(darker, 3), 0.7)
    coarse = coarse + (
        np.minimum(wide - 2, np.maximum(coarse, 4)) - np.maximum(coarse, 4)
    ) * spread * inner * rng.uniform(0.4, 1.0)
    if not brain.low and rng.random() < 0.6:
        coarse = coarse - _pale(brain, rng) * inner
    return (coarse + fine).astype(np.float32)


def _pale(brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """How many HU the white matter of small-vessel disease loses: around the ventricles, or where there are none in
    a ring."""
    if brain.at_ventricles and rng.random() < 0.6:
        ventricles = brain.fluid & (brain.depth > 0.3) & (np.abs(brain.x) < 0.5)
        away = ndimage.distance_transform_edt(~ventricles) / brain.radius
        around = np.exp(-((away / rng.uniform(0.07, 0.22)) ** 2)) * ~brain.fluid * (brain.depth > 0.12)
        patchy = np.clip(1 + rng.uniform(0, 0.6) * noise(rng, away.shape[0], brain.radius / 5), 0, 1.6)
        return ndimage.gaussian_filter(around * patchy, 1.5) * rng.uniform(3, 12)
    ring = np.exp(-(((brain.r - rng.uniform(0.35, 0.5)) / rng.uniform(0.1, 0.2)) ** 2)) * (np.abs(brain.x) > 0.12)
    return ndimage.gaussian_filter(ring, 2.0) * rng.uniform(2, 9)


def wide_ventricles(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator, side: int = 0) -> np.ndarray:
    """The same slice with wider ventricles, as of hydrocephalus or of an old brain: what lies around them is pushed
    outwards, at times paler; `side` -1 or 1: only those on the image's left or right. As it was where none shows."""
    deep = brain.fluid & (brain.depth > 0.3) & (np.abs(brain.x) < 0.45) & (brain.x * side > -0.05)
    if not deep.any():
        return hu
    grain, grid = grain_of(hu), np.mgrid[0 : hu.shape[0], 0 : hu.shape[1]].astype(np.float32)
    away, nearest = ndimage.distance_transform_edt(~deep, return_indices=True)
    reach = brain.radius * rng.uniform(0.02, 0.12) * np.clip(1 + 0.4 * noise(rng, len(hu), brain.radius / 4), 0.2, 2)
    here = np.clip((brain.depth - 0.1) / 0.1, 0, 1) * (brain.x * side > -0.1)
    push = reach * np.exp(-np.maximum(away - reach, 0) / (brain.radius * rng.uniform(0.15, 0.4))) * here
    source = grid - push * (grid - nearest) / np.maximum(away, 1)
    moved = ndimage.map_coordinates(hu - grain, source, order=1, mode="nearest")
    if rng.random() < 0.5:
        around = np.maximum(away - reach, 0) / brain.radius
        moved = moved - here * np.exp(-((around / rng.uniform(0.05, 0.2)) ** 2)) * rng.uniform(2, 10)
    fluid = np.clip(reach * here - away + 0.5, 0, 1) * (here > 0)
    level = float(np.median(hu[deep]))
    changed = np.where(deep, np.minimum(hu - grain, level), moved * (1 - fluid) + level * fluid) + grain
    return np.where(brain.brain & (here > 0), changed, hu).astype(np.float32)


def watery(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """The same slice with all of its brain paler, as an infant's is, or one that swells as a whole: what stays as it
    is, falx, sinuses and the skull's edge, seems dense (Given et al., AJNR 2003;24:254)."""
    fine = hu - ndimage.gaussian_filter(hu, 0.9)
    coarse = hu - fine
    tissue = brain.brain & ~brain.fluid & (brain.depth > 0.02)
    falx = np.exp(-((brain.x / rng.uniform(0.015, 0.03)) ** 2)) * (np.abs(brain.y) > 0.3)
    where = ndimage.gaussian_filter(tissue.astype(np.float32), 1.0) * brain.brain * (1 - falx)
    alike = rng.uniform(0, 0.7) * (mean_over(coarse, tissue, brain.radius * 0.15) - coarse)
    return (coarse + where * (alike - rng.uniform(5, 13)) + fine).astype(np.float32)


def dense(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """The same slice with one or several of `DENSE`, as its level has them."""
    shares = likely(brain)
    for name in [name for name, share in shares.items() if rng.random() < share] or [next(iter(shares))]:
        hu = DENSE[name](hu, brain, rng)
    return hu.astype(np.float32)


def likely(brain: Anatomy) -> Mapping[str, float]:
    """Which of `DENSE` a slice of this level may show, and in what share of such slices each is drawn."""
    if brain.low:
        return {"ridge": 0.6, "arteries": 0.4, "sinus": 0.4, "slope": 0.4}
    if brain.at_ventricles:
        return {"plexus": 0.5, "slope": 0.5, "pineal": 0.3, "pallidum": 0.15, "falx": 0.3, "sinus": 0.2}
    return {"slope": 0.6, "falx": 0.6, "sinus": 0.4}


def _spot(
    hu: np.ndarray, brain: Anatomy, rng: np.random.Generator, at: tuple[float, float], size: float, density: float
) -> np.ndarray:
    """A small dense spot at (x, y) of the brain, `size` in its radii: irregular, and no wider than the brain."""
    row, column = np.unravel_index(np.argmin((brain.x - at[0]) ** 2 + (brain.y - at[1]) ** 2), hu.shape)
    down, across = np.mgrid[0 : hu.shape[0], 0 : hu.shape[1]] - np.array([row, column])[:, None, None]
    turn, stretch, radius = rng.uniform(0, np.pi), rng.uniform(0.5, 1.7), max(size * brain.radius, 0.7)
    u, v = across * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - across * np.sin(turn)
    rough = rng.uniform(0, 0.2) * noise(rng, hu.shape[0], max(2.0, radius))
    mask = ndimage.gaussian_filter(np.clip(1.5 - np.hypot(u / stretch, v) / radius - rough, 0, 1), 0.6) * brain.brain
    return hu * (1 - mask) + np.maximum(hu, density) * mask


def _calcified(rng: np.random.Generator) -> float:
    """HU; a small calcification fills its pixels only in part."""
    return float(rng.uniform(85, 320))


def _plexus(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """The choroid plexus, at the back of the lateral ventricles, mostly on both sides."""
    x, y = rng.uniform(0.2, 0.42), rng.uniform(0.15, 0.5)
    sides = (1, -1) if rng.random() < 0.75 else (rng.choice([1, -1]),)
    for side in sides:
        at = side * (x + rng.normal(0, 0.03)), y + rng.normal(0, 0.03)
        hu = _spot(hu, brain, rng, at, rng.uniform(0.02, 0.07), _calcified(rng))
    return hu


def _pineal(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    at = rng.normal(0, 0.02), rng.uniform(0.05, 0.35)
    return _spot(hu, brain, rng, at, rng.uniform(0.015, 0.055), _calcified(rng))


def _pallidum(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Both globi pallidi, as they calcify with age."""
    x, y, density = rng.uniform(0.18, 0.3), rng.uniform(-0.2, 0.1), rng.uniform(55, 160)
    for side in (1, -1):
        at = side * (x + rng.normal(0, 0.01)), y + rng.normal(0, 0.02)
        hu = _spot(hu, brain, rng, at, rng.uniform(0.02, 0.055), density * rng.uniform(0.8, 1.2))
    return hu


def _falx(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """A dense falx in front, behind, or both; now and then with calcified pieces."""
    front, back = rng.uniform(-1, -0.2), rng.uniform(0.3, 1)
    part = rng.choice(["front", "back", "both"])
    along = ((brain.y < front) & (part != "back")) | ((brain.y > back) & (part != "front"))
    thin = np.exp(-(((brain.x - rng.normal(0, 0.015)) / rng.uniform(0.01, 0.03)) ** 2))
    hu = hu + thin * ndimage.gaussian_filter(along.astype(np.float32), 1.0) * brain.brain * rng.uniform(8, 32)
    for _ in range(rng.choice([0, 0, 1, 2])):
        at = rng.normal(0, 0.015), rng.choice([rng.uniform(-0.9, -0.3), rng.uniform(0.4, 0.9)])
        hu = _spot(hu, brain, rng, at, rng.uniform(0.012, 0.04), _calcified(rng))
    return hu


def _sinus(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """A dense superior sagittal sinus or, at the base, where it runs, a transverse one of either side."""
    place = rng.choice(["back", "front", "side"] if brain.low else ["back", "front"])
    angle = {"back": np.pi / 2, "front": -np.pi / 2, "side": rng.choice([np.pi / 4, 3 * np.pi / 4])}[place]
    angle += rng.normal(0, 0.25 if place == "side" else 0.05)
    at = 0.95 * np.cos(angle), 0.95 * np.sin(angle)
    long, wide = rng.uniform(0.1, 0.25) if place == "side" else 0.07, rng.uniform(0.05, 0.08)
    dx, dy = brain.x - at[0], brain.y - at[1]
    out, around = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return hu + np.exp(-((around / long) ** 2) - (out / wide) ** 2) * brain.brain * rng.uniform(12, 35)


def _slope(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """The skull's inner table where it runs aslant through the slice, on one side or both: what is seen of it fades
    into the brain, where a clot would end, and nothing gives way to it."""
    middle, half = rng.uniform(-np.pi / 2, np.pi / 2), rng.uniform(0.2, 1.4)
    sides = (middle, np.pi - middle) if rng.random() < 0.65 else (middle + rng.choice([0.0, np.pi]),)
    for angle in sides:
        reach = rng.uniform(0.008, 0.03) * np.clip(1 - (angle_off(brain.angle, angle) / half) ** 2, 1e-3, 1)
        reach *= np.clip(1 + 0.3 * noise(rng, hu.shape[0], brain.radius / 3), 0.3, 2)
        hu = _with_bone(hu, rng.uniform(0.1, 0.5) * np.exp(-brain.depth / reach) * brain.brain)
    return hu


def _ridge(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """The orbits' roofs or the petrous ridges, cut where they begin: dim islands of bone, mostly on both sides."""
    roof = rng.random() < 0.5
    place = ([0.25, -0.8, -0.6], [0.6, -0.4, 0.6]) if roof else ([0.4, -0.1, 0.2], [0.8, 0.4, 0.9])
    x, y, turn = rng.uniform(*place)
    long, wide = rng.uniform(0.1, 0.25), rng.uniform(0.04, 0.12)
    for side in (1, -1) if rng.random() < 0.75 else (rng.choice([1, -1]),):
        dx, dy = brain.x * side - x - rng.normal(0, 0.03), brain.y - y - rng.normal(0, 0.03)
        u, v = dx * np.cos(turn) - dy * np.sin(turn), dx * np.sin(turn) + dy * np.cos(turn)
        island = np.exp(-(((u / long) ** 2 + (v / wide) ** 2) ** 2))
        island *= np.clip(1 + 0.5 * noise(rng, hu.shape[0], brain.radius / 6), 0, 2)
        hu = _with_bone(hu, rng.uniform(0.05, 0.5) * island.clip(0, 1) * brain.brain)
    return hu


def _with_bone(hu: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The slice where bone fills that part of its thickness; 600 HU, as spongy bone between two tables has."""
    return hu + np.maximum(600 - hu, 0) * part


def _arteries(hu: np.ndarray, brain: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Calcified walls of the arteries at the base: a few small spots near the midline."""
    for _ in range(rng.integers(1, 4)):
        at = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)
        hu = _spot(hu, brain, rng, at, rng.uniform(0.01, 0.03), _calcified(rng))
    return hu


DENSE: Mapping[str, Callable[[np.ndarray, Anatomy, np.random.Generator], np.ndarray]] = {
    "plexus": _plexus,
    "pineal": _pineal,
    "pallidum": _pallidum,
    "falx": _falx,
    "sinus": _sinus,
    "slope": _slope,
    "ridge": _ridge,
    "arteries": _arteries,
}
"""By name: densities of a slice -> the same with something that is dense and no hemorrhage."""
