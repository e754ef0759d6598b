"""Rows that begin at a document, as nanochat and autoresearch train on them."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BUFFER: Final = 1000  # documents to choose from


def document_rows(documents: Sequence[NDArray[np.uint16]], row_tokens: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield rows (T + 1,) of whole documents where they fit, without end.

    Among the documents at hand, the longest that fits is taken. If none fits, the shortest is cut.

    Args:
        documents: Tokens of each, its bos first.
        row_tokens: Targets of a row, T.
        seed: Of the order of the documents.
    """
    rng = np.random.default_rng(seed)

    def shuffled() -> Iterator[int]:
        while True:
            yield from rng.permutation(len(documents)).tolist()

    order = shuffled()
    at_hand = sorted((len(documents[i]), i) for i in (next(order) for _ in range(_BUFFER)))
    while True:
        row: list[NDArray[np.uint16]] = []
        left = row_tokens + 1
        while left:
            fitting = bisect.bisect_right(at_hand, (left, len(documents)))
            _, chosen = at_hand.pop(max(0, fitting - 1))
            row.append(documents[chosen][:left])
            left -= len(row[-1])
            new = next(order)
            bisect.insort(at_hand, (len(documents[new]), new))
        yield np.concatenate(row).astype(np.int64)


def split_documents(tokens: NDArray[np.uint16], bos: int) -> list[NDArray[np.uint16]]:
    """Return the documents of a text."""
    return np.split(tokens, np.flatnonzero(tokens == bos))[1:]
