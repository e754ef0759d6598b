"""D4 at every position: are tokens predicted better where they are in the model's input than where they are not?

Only the last position of a row has a target that is in no input. So no other position may be better than the last one
by more than chance. A model whose predictions get worse along the row, because it was trained on shorter rows, fails
this test too. So a failure only raises a suspicion, which a second test checks directly: the end of each row is moved
forward until the last target, which no server ever received, belongs to a suspicious position.

Both tests compare how often a loss is small, at every threshold (the one-sided Kolmogorov-Smirnov statistic): a leak at
a few rows hardly changes the mean, but it makes predictions certain.

The test does not rely on a server without memory of earlier questions: it finds a leak even if servers could
communicate.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from target.scoring.scorer import Model, Validation, Watched, log_probs

_BLOCKS: Final = 8  # of positions, tested one by one
_SUSPICION: Final = 1e-2  # probability that an honest model is suspected, which costs a pass
_REFUSAL: Final = 1e-6  # probability that it is then refused


def suspicious_positions(watched: Watched) -> tuple[dict[str, float], NDArray[np.int64]]:
    """Return how much more often losses are small before the last position than at it, and where that is suspicious.

    Returns:
        The largest difference of shares over all blocks of positions, and the positions of the blocks beyond chance.
    """
    nll = watched.nll_nats
    blocks = [block for block in np.array_split(np.arange(nll.shape[1] - 1), _BLOCKS) if block.size]
    shares = [_excess_share(nll[:, block], nll[:, -1]) for block in blocks]
    limit = _limit(_SUSPICION / max(1, len(blocks)), len(nll))
    suspicious = [block for block, share in zip(blocks, shares, strict=True) if share > limit]
    return {"d4_early_share": max(shares, default=0.0)}, np.concatenate([np.empty(0, dtype=np.int64), *suspicious])


def probe_hidden(
    model: Model,
    validation: Validation,
    watched: Watched,
    positions: NDArray[np.int64],
    batch_rows: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Ask for the last target of each row at other positions.

    Args:
        model: A server that has seen no row in full.
        validation: The rows.
        watched: Log-probabilities of the scored pass.
        positions: The positions to test, 0..T-2.
        batch_rows: Rows of a pass, B.
        rng: Draws the position for each row.

    Returns:
        How much more often losses were small in the scored pass at these positions, and the limit.
    """
    rows, length = validation.inputs.shape
    asked = np.resize(rng.permutation(positions), rows)  # of each row
    donors = (np.arange(rows) + rng.integers(1, rows, size=rows)) % rows
    ids = np.repeat(validation.targets[:, -1:, None], length, axis=1)  # (R, T, 1)
    hidden = np.empty(rows, dtype=np.float32)
    for batch in rng.permutation(rows).reshape(-1, batch_rows):
        inputs = validation.inputs[donors[batch]]
        for own, row in zip(inputs, batch, strict=True):
            known = asked[row] + 1
            own[:known] = validation.inputs[row, length - known :]
        answers = log_probs(model(inputs), ids[batch])[:, :, 0]  # (B, T)
        hidden[batch] = -answers[np.arange(len(batch)), asked[batch]]
    return {
        "d4_hidden_share": _excess_share(watched.nll_nats[:, positions], hidden),
        "d4_hidden_limit": _limit(_REFUSAL, rows),
    }


def _excess_share(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the largest excess, over all x, of the share of values up to x in `first` over that in `second`."""
    values, others = np.sort(first, axis=None), np.sort(second, axis=None)
    share = np.arange(1, values.size + 1) / values.size
    return float((share - np.searchsorted(others, values, side="right") / others.size).max(initial=0.0))


def _limit(probability: float, rows: int) -> float:
    """Return the value that the excess exceeds with the given probability if both sides have one value from each row.

    Source: Smirnov's asymptotic distribution, P(D > d) = exp(-2 d^2 n m / (n + m)), with n = m.
    """
    return math.sqrt(-math.log(probability) / rows)
