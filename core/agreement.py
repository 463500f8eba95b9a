"""How far two readers, or a reader and a model, agree beyond what chance would give."""

from collections.abc import Sequence

import numpy as np

from core.intervals import Clusters, Estimate, Figure, plain_figure


def cohens_kappa(first: Sequence[str], second: Sequence[str], *, patients: Sequence[str] | None = None) -> Figure:
    """Cohen's kappa (Cohen 1960) of two verdicts on each of N scans, in [-1, 1].

    The interval comes from kappa's influence per scan, summed by patient; without `patients` its variance is that of
    Fleiss, Cohen & Everitt (Psychological Bulletin 1969). NaN where both always say one and the same thing.

    Raises ValueError where the two are not as many, or none.
    """
    if not len(first) or len(first) != len(second):
        raise ValueError(f"got {len(first)} and {len(second)} verdicts, must be as many, not none")
    words = sorted({*first, *second})
    a, b = (np.array([words.index(word) for word in verdicts]) for verdicts in (first, second))
    share_a, share_b = (np.bincount(v, minlength=len(words)) / len(v) for v in (a, b))
    observed, chance = float((a == b).mean()), float(share_a @ share_b)
    clusters = Clusters.of(patients, len(a))
    if chance > 1 - 1e-12:
        return Figure(np.nan, np.nan, np.nan, len(a), clusters.count if clusters.known else None)
    of_observed = (a == b) - observed
    of_chance = share_b[a] + share_a[b] - 2 * chance
    influence = (of_observed * (1 - chance) - (1 - observed) * of_chance) / (1 - chance) ** 2 / len(a)
    kappa = Estimate((observed - chance) / (1 - chance), clusters.sums(influence), clusters.count)
    return plain_figure(kappa, len(a), clusters)
