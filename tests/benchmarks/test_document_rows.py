"""Rows that begin at a document."""

import itertools

import numpy as np
import pytest

from benchmarks.document_rows import document_rows, split_documents

BOS = 99


@pytest.mark.parametrize("seed", range(5))
def test_a_row_is_filled_with_beginnings_of_documents_that_are_whole_except_for_its_last(seed):
    rng = np.random.default_rng(seed)
    text = np.concatenate([[BOS, *rng.integers(0, BOS, size=size)] for size in rng.integers(0, 40, size=30)])
    documents = split_documents(text.astype(np.uint16), BOS)
    assert len(documents) == 30
    assert np.array_equal(np.concatenate(documents), text)
    whole = {tuple(document.tolist()) for document in documents}

    for row in itertools.islice(document_rows(documents, 24, seed), 200):
        *complete, last = (tuple(each.tolist()) for each in split_documents(row.astype(np.uint16), BOS))
        assert row.shape == (25,)
        assert row[0] == BOS
        assert whole.issuperset(complete)
        assert any(each[: len(last)] == last for each in whole)


def test_the_longest_document_that_fits_comes_first_and_the_shortest_is_cut():
    documents = [np.full(size, size, dtype=np.uint16) for size in (3, 5, 20, 30)]

    row = next(document_rows(documents, 9, seed=0))

    assert row.tolist() == [5] * 5 + [5] * 5


def test_equal_seeds_give_equal_rows_and_others_do_not():
    documents = [np.full(size, size, dtype=np.uint16) for size in range(2, 60)]

    def rows(seed):
        return [row.tolist() for row in itertools.islice(document_rows(documents, 30, seed), 100)]

    assert rows(0) == rows(0) != rows(1)
