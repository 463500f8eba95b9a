"""Two hundred images that are no head CT, as files: what a model must flag and intake may refuse.

Photographs and textures are those that ship with scikit-learn and scikit-image; the rest is drawn here from a seed.
"""

import io
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from sklearn.datasets import load_sample_images

from core.phantom import phantom

TEXTURES = ("brick", "grass", "gravel")
PHOTOGRAPHS = (
    "astronaut", "camera", "cell", "chelsea", "coffee", "coins", "color", "horse", "hubble_deep_field", "ihc",
    "microaneurysms", "moon", "motorcycle_left", "phantom", "retina", "rocket",
)  # fmt: skip
PAGES = ("page", "text", "clock_motion", "chessboard_GRAY", "chessboard_RGB", "logo")
SIDE = 320
Rng = np.random.Generator


def other_images(seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """200 of (name, file content); the same seed gives the same."""
    rng = np.random.default_rng(seed)
    yield from _photographs(rng, 60)
    drawn: list[tuple[str, int, Callable[[Rng], Image.Image]]] = [
        ("chart", 30, _chart), ("screenshot", 20, _screenshot), ("noise", 30, _noise),
        ("xray-like", 30, _xray_like), ("mr-like", 30, _mr_like),
    ]  # fmt: skip
    for kind, count, draw in drawn:
        for number in range(count):
            yield f"{kind}-{number}.png", _file(draw(rng), "PNG")


def _file(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def _photographs(rng: Rng, count: int) -> Iterator[tuple[str, bytes]]:
    """Each as a whole, in grey or in colour; then crops of them until there are `count`."""
    folder = Path(skimage.__file__).parent / "data"
    files = [next(folder.glob(f"{name}.*")) for name in (*PHOTOGRAPHS, *TEXTURES, *PAGES)]
    whole = [(path.stem, Image.open(path).convert("RGB")) for path in files]
    whole += [(f"sample-{i}", Image.fromarray(pixels)) for i, pixels in enumerate(load_sample_images().images)]
    for number in range(count):
        name, image = whole[number % len(whole)]
        if number >= len(whole):
            side = int(min(image.size) * rng.uniform(0.4, 0.8))
            x, y = int(rng.integers(image.width - side + 1)), int(rng.integers(image.height - side + 1))
            image = image.crop((x, y, x + side, y + side))
        yield f"photograph-{number}-{name}.jpg", _file(image if number % 2 else image.convert("L"), "JPEG")


def _grey(values: np.ndarray) -> Image.Image:
    """Any array, stretched to 0..255."""
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8))


def _chart(rng: Rng) -> Image.Image:
    """Bars, lines, points or a pie, on white or on black, in grey."""
    dark = bool(rng.integers(2))
    page = Image.new("L", (SIDE + 60, SIDE), 0 if dark else 255)
    pen, ink = ImageDraw.Draw(page), 255 if dark else 0
    pen.line([(40, 20), (40, SIDE - 30), (SIDE + 40, SIDE - 30)], fill=ink, width=2)
    kind, n = rng.integers(4), int(rng.integers(5, 12))
    heights = rng.uniform(20, SIDE - 60, n)
    step = (SIDE - 20) / n
    if kind == 0:
        for i, h in enumerate(heights):
            pen.rectangle([50 + i * step, SIDE - 30 - h, 50 + (i + 0.7) * step, SIDE - 30], fill=int(rng.integers(256)))
    elif kind == 1:
        for _ in range(int(rng.integers(1, 4))):
            line = [(50 + i * step, SIDE - 30 - h) for i, h in enumerate(rng.permutation(heights))]
            pen.line(line, fill=int(rng.integers(60, 200)), width=3)
    elif kind == 2:
        for x, y in rng.uniform(50, SIDE - 40, (60, 2)):
            pen.ellipse([x, y, x + 6, y + 6], fill=int(rng.integers(256)))
    else:
        edges = np.cumsum(np.r_[0, rng.dirichlet(np.ones(n))]) * 360
        for start, end in pairwise(edges):
            pen.pieslice([50, 20, SIDE, SIDE - 40], start, end, fill=int(rng.integers(256)))
    pen.text((60, 4), "Admissions by month", fill=ink, font=ImageFont.load_default(size=14))
    return page


def _screenshot(rng: Rng) -> Image.Image:
    """A window with a bar, a menu and lines of text or a table."""
    dark = bool(rng.integers(2))
    page = Image.new("L", (480, 360), 24 if dark else 250)
    pen, ink = ImageDraw.Draw(page), 220 if dark else 30
    pen.rectangle([0, 0, 480, 26], fill=70 if dark else 200)
    pen.rectangle([0, 26, int(rng.integers(60, 140)), 360], fill=45 if dark else 225)
    font = ImageFont.load_default(size=int(rng.integers(10, 16)))
    words = [
        "patient",
        "report",
        "discharge",
        "ward",
        "12:40",
        "allergy",
        "bed 7",
        "lab",
        "CT head",
        "normal",
        "pending",
    ]
    for y in range(40, 340, int(rng.integers(16, 28))):
        pen.text((150, y), " ".join(rng.choice(words, int(rng.integers(2, 7)))), fill=ink, font=font)
    for _ in range(int(rng.integers(0, 4))):
        left, top = int(rng.integers(150, 380)), int(rng.integers(60, 300))
        pen.rectangle([left, top, left + 80, top + 30], outline=ink, fill=int(rng.integers(256)))
    return page


def _noise(rng: Rng) -> Image.Image:
    """White, smooth or streaked noise, with and without a round field of view."""
    values = rng.normal(0, 1, (SIDE, SIDE)) if rng.integers(2) else rng.uniform(0, 1, (SIDE, SIDE))
    scale = rng.choice([0, 0, 1, 3, 8, 20])
    if scale:
        values = ndimage.gaussian_filter(values, (scale, scale * rng.choice([1, 3])))
    if rng.integers(2):
        rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
        values = np.where(np.hypot(rows, columns) < rng.uniform(0.6, 0.95), values, values.min())
    return _grey(values)


def _xray_like(rng: Rng) -> Image.Image:
    """A chest or a limb in projection: soft shadows that add up."""
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    if rng.integers(2):
        body = np.exp(-((np.abs(columns) / 0.9) ** 6) - (np.abs(rows) / 1.1) ** 8)
        lungs = sum(
            np.exp(-(((columns - s * rng.uniform(0.38, 0.46)) / 0.28) ** 4) - (((rows + 0.1) / 0.6) ** 4))
            for s in (-1, 1)
        )
        ribs = 0.12 * np.cos(rows * rng.uniform(22, 30) + 3 * columns**2) * lungs
        shadow = body - 0.6 * lungs + ribs + 0.5 * np.exp(-((columns / 0.1) ** 2))
    else:
        bones = [rng.uniform(-0.6, 0.6) for _ in range(int(rng.integers(1, 6)))]
        soft = np.exp(-((columns / 0.85) ** 8))
        shafts = sum(np.exp(-(((columns - x - 0.1 * rows * rng.normal()) / 0.07) ** 2)) for x in bones)
        shadow = 0.4 * soft + shafts * (1 - 0.4 * (np.abs(np.sin(rows * rng.uniform(2, 5))) < 0.1))
    return _grey(shadow + rng.normal(0, 0.02, shadow.shape))


def _mr_like(rng: Rng) -> Image.Image:
    """A synthetic head with the contrasts of T1, T2 or FLAIR: bright scalp, black bone, fluid black or white."""
    hu = phantom("no_stroke", int(rng.integers(1 << 30)), SIDE).pixels
    fluid, white, grey = {"T1": (0.1, 0.75, 0.5), "T2": (1.0, 0.3, 0.5), "FLAIR": (0.05, 0.45, 0.6)}[
        str(rng.choice(["T1", "T2", "FLAIR"]))
    ]
    smooth = ndimage.gaussian_filter(hu, 0.8)
    signal = np.interp(smooth, [-200, -50, 10, 25, 40, 60, 150], [0, 0.9, fluid, white, grey, grey, 0.02])
    field = 1 + 0.25 * ndimage.gaussian_filter(rng.normal(0, 1, hu.shape), SIDE / 4) * SIDE / 8
    noise = np.hypot(signal * field + rng.normal(0, 0.03, hu.shape), rng.normal(0, 0.03, hu.shape))  # Rician
    return _grey(np.clip(noise, 0, 1.2))
