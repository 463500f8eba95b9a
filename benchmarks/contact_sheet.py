"""Draw the simulated lesions, for eyes to judge.

python -m benchmarks.contact_sheet --out docs/lesions.png                      in synthetic heads
python -m benchmarks.contact_sheet --massive --out docs/massive.png            midline pushed over, wide ventricles
python -m benchmarks.contact_sheet --data ../shared/data --out sheet.png       in real slices, beside real bleeds
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from core.anatomy import Anatomy, Window, anatomy
from core.dataset import file_reader
from core.hemorrhages import COMPARTMENTS, OLD, simulate_hemorrhage
from core.infarcts import AGES, TERRITORIES, simulate_infarct
from core.labels import NO_STROKE
from core.lesions import Lesion
from core.lookalikes import lookalike, wide_ventricles
from core.mass_effect import MASSIVE
from core.phantom import phantom
from core.preprocess import InputSpec, to_input
from core.settings import ROOT
from services.shipping import PUBLIC

SIDE, COLUMNS = 192, 8
VIEW = Window(0, 80)
Base = tuple[np.ndarray, Anatomy]
Tile = tuple[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds ct_ich; without it: synthetic heads")
    parser.add_argument("--massive", action="store_true", help="those that push the midline over; wide ventricles")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "lesions.png")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    bases = _real_bases(args.data / "ct_ich", rng) if args.data else _synthetic_bases(rng)
    tiles = list((_massive if args.massive else _tiles)(bases, rng))
    if args.data:
        tiles += list(_real_bleeds(args.data / "ct_ich", rng))
    sheet(tiles).save(args.out)
    print(args.out)


def _tiles(bases: Iterator[Base], rng: np.random.Generator) -> Iterator[Tile]:
    for territory in TERRITORIES:
        yield _drawn(bases, partial(simulate_infarct, rng=rng, territory=territory))
    for age in AGES:
        yield _drawn(bases, partial(simulate_infarct, rng=rng, territory="MCA", age=age))
    for compartment in (*COMPARTMENTS * 2, OLD):
        yield _drawn(bases, partial(simulate_hemorrhage, rng=rng, compartment=compartment))
    for _ in range(2 * COLUMNS - (len(TERRITORIES) + len(AGES) + 2 * len(COMPARTMENTS) + 1) % COLUMNS):
        yield lookalike(*next(bases), rng)


def _massive(bases: Iterator[Base], rng: np.random.Generator) -> Iterator[Tile]:
    def of(label: str, hu: np.ndarray, brain: Anatomy) -> Lesion | None:
        return MASSIVE[label](hu, brain, rng)

    for label in MASSIVE:
        for _ in range(COLUMNS):
            yield _drawn(bases, partial(of, label))
    for hu, brain in islice(bases, COLUMNS):
        yield "wide ventricles", wide_ventricles(hu, brain, rng)


def _drawn(bases: Iterator[Base], make: Callable[[np.ndarray, Anatomy], Lesion | None]) -> Tile:
    for hu, brain in bases:
        if lesion := make(hu, brain):
            return lesion.kind, lesion.hu
    raise ValueError("no slice has room for this lesion")


def _synthetic_bases(rng: np.random.Generator) -> Iterator[Base]:
    while True:
        hu = phantom(NO_STROKE, int(rng.integers(1 << 30)), SIDE).pixels
        brain = anatomy(hu)
        if brain:
            yield hu, brain


def _slices(root: Path, finding: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Real slices as densities, cut to the head, in random order."""
    table = pd.read_csv(root / "findings.csv")
    spec, window = InputSpec(size=SIDE, window=(40, 120), crop="head"), Window(-20, 120)
    read = file_reader(PUBLIC, 16)
    for file in rng.permutation(table.loc[table["finding"] == finding, "file"].to_numpy()):
        yield window.hu(to_input(read(root / file), spec)[0])


def _real_bases(root: Path, rng: np.random.Generator) -> Iterator[Base]:
    for hu in _slices(root, "no_hemorrhage", rng):
        brain = anatomy(hu)
        if brain:
            yield hu, brain


def _real_bleeds(root: Path, rng: np.random.Generator) -> Iterator[Tile]:
    for _, hu in zip(range(2 * COLUMNS), _slices(root, "hemorrhage", rng), strict=False):
        yield "REAL hemorrhage", hu


def sheet(tiles: list[Tile]) -> Image.Image:
    """Densities with a caption each, in the brain window."""
    page = Image.new("L", (COLUMNS * SIDE, -(-len(tiles) // COLUMNS) * SIDE))
    draw = ImageDraw.Draw(page)
    for place, (name, hu) in enumerate(tiles):
        at = place % COLUMNS * SIDE, place // COLUMNS * SIDE
        page.paste(Image.fromarray(np.rint(VIEW.grey(hu) * 255).astype(np.uint8)).resize((SIDE, SIDE)), at)
        draw.text((at[0] + 4, at[1] + 2), name, fill=255, font_size=11)
    return page


if __name__ == "__main__":
    main()
