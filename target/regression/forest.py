"""Extremely randomised trees (Geurts et al. 2006), kept as plain arrays: a prediction costs about a millisecond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from target.regression.gaussian import Floats

Ints = NDArray[np.int64]

_TREES: Final = 150


@dataclass(frozen=True)
class Forest:
    """Trees as arrays over all their nodes; a leaf is its own child.

    Attributes:
        roots: (T,), index of each tree's root.
        column: (N,), input that a node tests.
        threshold: (N,), a point goes left if the input is at most this.
        left: (N,), index of the left child.
        right: (N,), index of the right child.
        value: (N,), mean of the targets at a node.
        depth: (), of the deepest tree.
    """

    roots: Ints
    column: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    depth: Ints

    def mean(self, points: Floats) -> Floats:
        """Return the mean over all trees at (M, D) points, (M,)."""
        nodes = np.broadcast_to(self.roots, (len(points), len(self.roots)))
        rows = np.arange(len(points))[:, None]
        for _ in range(int(self.depth)):
            goes_left = points[rows, self.column[nodes]] <= self.threshold[nodes]
            nodes = np.where(goes_left, self.left[nodes], self.right[nodes])
        values: Floats = self.value[nodes].mean(1)
        return values

    def arrays(self) -> dict[str, Any]:
        """Return all of its arrays."""
        return dict(vars(self))


def fit_forest(inputs: Floats, targets: Floats, counts: Floats) -> Forest:
    """Fit trees to (N, D) inputs and (N,) targets, each the mean of (N,) `counts` observations; deterministic."""
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(_TREES, max_features=0.7, random_state=0).fit(
        inputs.astype(np.float32), targets, sample_weight=counts
    )
    trees = [estimator.tree_ for estimator in model.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    own = [np.arange(tree.node_count) for tree in trees]
    left, right = (
        np.concatenate(
            [
                np.where(child >= 0, child, index) + start
                for child, index, start in zip([getattr(tree, side) for tree in trees], own, starts, strict=True)
            ]
        )
        for side in ("children_left", "children_right")
    )
    return Forest(
        roots=starts,
        column=np.concatenate([np.maximum(tree.feature, 0) for tree in trees]),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        left=left,
        right=right,
        value=np.concatenate([tree.value[:, 0, 0] for tree in trees]),
        depth=np.array(max(tree.max_depth for tree in trees)),
    )
