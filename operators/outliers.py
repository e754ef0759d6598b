"""Which programs have a training that went another way than the rest, such as one of two that diverged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_GROSS: Final = 10.0  # times the typical spread of a program's trainings: noise is hardly ever as far apart
_NORMAL_MEDIAN: Final = 0.6745  # of the absolute value of a standard normal number


def gross_outliers(present: Floats, residuals: Floats, *, fewest: int) -> NDArray[np.bool_]:
    """Return, (P,), which programs have trainings that are many times as far apart as is typical.

    They are compared after the median effect of each seed is taken off. That takes long with many seeds, so it is only
    done if some program's trainings are far apart as they are.

    Args:
        present: (P, S), 1 where a program has a training on a seed, else 0.
        residuals: (P, S), the measurements minus the mean of their program; 0 where there is none.
        fewest: Programs with two trainings that are needed to tell what is typical.
    """
    import numpy as np

    counts = present.sum(axis=1)
    found = np.zeros(len(counts), dtype=bool)
    repeated = np.flatnonzero(counts > 1)
    counts, left = counts[repeated], residuals[repeated]
    if len(repeated) < fewest or not _gross(left, counts).any():
        return found
    there = present[repeated]
    seeds = np.flatnonzero(there.any(axis=0))
    effects = np.zeros(there.shape[1])
    effects[seeds] = [np.median(left[there[:, seed] > 0, seed]) for seed in seeds]
    found[repeated] = _gross(left - there * (effects - (there @ effects / counts)[:, None]), counts)
    return found


def _gross(left: Floats, counts: Floats) -> NDArray[np.bool_]:
    """Return whose variance is far above the typical one; none if the typical one is 0, as with equal scores."""
    import numpy as np

    variances = np.sum(left**2, axis=1) / (counts - 1)
    typical = float(np.median(variances)) / _NORMAL_MEDIAN**2
    return variances > _GROSS**2 * typical if typical else np.zeros(len(variances), dtype=bool)
