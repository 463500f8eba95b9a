"""Whether two images show the same scan: a copy stays alike through rescaling, JPEG and other containers, the next
slice of a series does not."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from core.labels import SPLITS
from core.preprocess import WINDOWS, windowed
from core.scan import Scan

HASH_SIDE = 16
HASH_DISTANCE = 40
"""Of 256 bits: pairs further apart are not looked at. Copies by rescaling and JPEG stay far below."""
LOOK_SIDE = 96
NEAR_DIFFERENCE = 0.012
"""Mean absolute grey difference (1 is full white) at LOOK_SIDE pixels below which two images are one."""
NOTHING = 0.03
"""Mean grey below which an image shows next to nothing, as all such images do. The sparsest real slices have 0.06."""


@dataclass(frozen=True)
class Appearance:
    """What a scan looks like from afar."""

    bits: np.ndarray  # (4,) uint64, a difference hash
    small: np.ndarray  # (LOOK_SIDE, LOOK_SIDE) float32 in [0, 1]

    @property
    def shows_nothing(self) -> bool:
        """Too little to be told from others that show as little: it is like all of them and a copy of none."""
        return bool(self.small.mean() < NOTHING)

    def difference(self, other: "Appearance") -> float:
        """Mean absolute grey difference."""
        return float(np.abs(self.small - other.small).mean())


def appearance(scan: Scan) -> Appearance:
    """A scan in the brain window, from afar."""
    image = Image.fromarray(np.ascontiguousarray(windowed(scan, WINDOWS["Brain"]), np.float32))
    small = np.asarray(image.resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX), np.float32)
    steps = np.asarray(image.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX), np.float32)
    return Appearance(np.packbits(steps[:, 1:] > steps[:, :-1] + 1e-3).view(np.uint64), small)


def distances(bits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(4,) and (N, 4) hashes -> (N,) how many of their 256 bits differ."""
    return np.asarray(np.bitwise_count(others ^ bits).sum(axis=1))


def connected(links: Iterable[tuple[Hashable, Hashable]]) -> dict[Hashable, int]:
    """What is linked, however far about -> the number of its group."""
    links = list(links)
    if not links:
        return {}
    from scipy import sparse  # which intake and pages do without

    place = {name: index for index, name in enumerate(dict.fromkeys(name for link in links for name in link))}
    rows, columns = np.array([(place[first], place[second]) for first, second in links]).T
    graph = sparse.coo_array((np.ones(len(links)), (rows, columns)), shape=(len(place), len(place)))
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    return {name: int(group[index]) for name, index in place.items()}


def in_first_part(splits: Sequence[str | None], groups: Sequence[Hashable | None]) -> list[int]:
    """Places of the scans that may stand where they do: of a group (scans that show one image) those in the first of
    train, validation and test that any of it is in. Patients whose splits were settled before it was known that they
    share images stay where they are, and what has been learned by heart is not tested on."""
    first: dict[Hashable, int] = {}
    for split, group in zip(splits, groups, strict=True):
        first[group] = min(SPLITS.index(split or ""), first.get(group, len(SPLITS)))
    return [
        place
        for place, (split, group) in enumerate(zip(splits, groups, strict=True))
        if group is None or SPLITS[first[group]] == split
    ]
