import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from target.errors import TargetError
from target.feedback import CandidateFailure
from target.scoring.scorer import Validation, Watched, bits_per_byte, log_probs, score, split_holdout

B, T, V = 4, 6, 11


def draw(seed, *shape, scale=3.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def reference(logits):
    exact = logits.astype(np.float64)
    return exact - np.logaddexp.reduce(exact, axis=-1, keepdims=True)


@pytest.mark.parametrize("scale", [0.1, 5, 20, 200], ids=["flat", "usual", "some too large for exp", "most too large"])
@pytest.mark.parametrize("shape", [(4, 6, 11), (3, 700, 400)], ids=["one chunk", "a row is more than a chunk"])
def test_log_probs_are_a_log_softmax(shape, scale):
    logits = draw(0, *shape, scale=scale)
    ids = np.random.default_rng(1).integers(0, shape[2], size=(*shape[:2], 5))

    expected = np.take_along_axis(reference(logits), ids, axis=2)
    np.testing.assert_allclose(log_probs(logits, ids), expected, atol=2e-5, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [(0, 0, 0), (3, 5, 10)])
def test_logits_must_be_finite(value, position):
    logits = draw(0, B, T, V)
    logits[position] = value

    with pytest.raises(CandidateFailure, match="finite"):
        log_probs(logits, np.zeros((B, T, 1), dtype=np.int64))


def test_huge_logits_do_not_fool_the_softmax():
    logits = np.full((1, 1, V), -3e38, dtype=np.float32)
    logits[0, 0, 3] = 3e38

    with warnings.catch_warnings(action="error"):
        assert log_probs(logits, np.array([[[3]]])) == pytest.approx(0)


@given(shift=st.floats(-100, 100, width=32))
def test_only_differences_of_logits_count(shift):
    logits, ids = draw(0, B, T, V), np.tile(np.arange(V), (B, T, 1))

    np.testing.assert_allclose(log_probs(logits + np.float32(shift), ids), log_probs(logits, ids), atol=1e-4)
    np.testing.assert_allclose(np.exp(log_probs(logits, ids)).sum(axis=2), 1, rtol=1e-5)


def test_guessing_bytes_uniformly_costs_eight_bits():
    nll = np.full((2, 3), math.log(256), dtype=np.float32)

    assert bits_per_byte(nll, np.ones((2, 3), dtype=np.int32)) == pytest.approx(8.0)
    assert bits_per_byte(nll, np.full((2, 3), 2, dtype=np.int32)) == pytest.approx(4.0)


def test_special_tokens_are_left_out_of_both_sums():
    nll = np.array([[1.0, 99.0, 2.0]], dtype=np.float32)

    assert bits_per_byte(nll, np.array([[1, 0, 2]], dtype=np.int32)) == pytest.approx(1.0 / math.log(2))


def test_a_target_of_probability_zero_has_no_score():
    with pytest.raises(CandidateFailure, match="finite"):
        bits_per_byte(np.array([[np.inf]], dtype=np.float32), np.ones((1, 1), dtype=np.int32))


def test_the_score_does_not_depend_on_the_order_and_covers_every_target():
    rng = np.random.default_rng(0)
    validation = Validation(rng.integers(0, V, size=(8, T + 1)), np.arange(V, dtype=np.int32))
    table = draw(2, V, V)

    values = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(8).reshape(2, 4)
        watched = Watched.draw(validation, np.random.default_rng(seed))
        values.append(score(lambda tokens: table[tokens], validation, order, watched))

    exact = -np.take_along_axis(reference(table[validation.inputs]), validation.targets[:, :, None], axis=2)[:, :, 0]
    counts = validation.token_bytes[validation.targets]
    assert values == pytest.approx([exact[counts > 0].sum() / math.log(2) / counts.sum()] * 3, rel=1e-6)
    np.testing.assert_allclose(watched.nll_nats, exact, atol=1e-5)


def test_rows_are_spread_over_the_text_and_do_not_overlap(corpus):
    tokens = np.fromfile(corpus.val, dtype="<u2")

    rows = Validation.load(corpus, n_rows=10, sequence_tokens=32).rows

    assert rows.shape == (10, 33)
    np.testing.assert_array_equal(rows[0], tokens[:33])
    windows = (tokens.size - 1) // 32
    start = 9 * windows // 10 * 32
    np.testing.assert_array_equal(rows[9], tokens[start : start + 33])


def test_too_few_validation_tokens_are_an_error_that_says_how_many_there_are(corpus):
    with pytest.raises(TargetError, match=r"scoring\.rows must be at most \d+"):
        Validation.load(corpus, n_rows=10**6, sequence_tokens=32)


def test_the_contrast_text_and_the_sealed_one_are_a_quarter_and_the_rest(corpus):
    tokens = np.fromfile(corpus.holdout, dtype="<u2")
    contrast, sealed = split_holdout(tokens)

    rows = Validation.load_contrast(corpus, n_rows=10**6, batch_rows=16, sequence_tokens=32).rows

    assert 3 * contrast.size == pytest.approx(sealed.size, abs=3)
    np.testing.assert_array_equal(np.concatenate([contrast, sealed]), tokens)
    assert len(rows) % 16 == 0
    np.testing.assert_array_equal(rows[0], tokens[:33])
    np.testing.assert_array_equal(
        rows[-1], tokens[(last := (len(rows) - 1) * ((contrast.size - 1) // 32) // len(rows) * 32) : last + 33]
    )


def test_a_holdout_text_without_a_batch_of_contrast_is_an_error(corpus):
    with pytest.raises(TargetError, match="a quarter of it has"):
        Validation.load_contrast(corpus, n_rows=16, batch_rows=10**6, sequence_tokens=32)
