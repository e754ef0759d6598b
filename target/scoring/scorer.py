"""The trusted score: bits per byte from logits, with our own rows, targets, byte counts, softmax and randomness.

It runs in a process that never executes candidate code, needs no torch, and unpickles nothing. A model is a function
from tokens to logits; its result is copied before it is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from target.corpus import CorpusFiles
from target.errors import TargetError
from target.evaluation import Outcome
from target.feedback import CandidateFailure


class DeviceLogits(Protocol):
    """Logits (B, T, V) on a device, where their softmax is computed."""

    def log_probs(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the log-probabilities (B, T, K) of tokens `ids` (B, T, K); NaN where a logit is not finite."""


# tokens (B, T) int64 -> logits (B, T, V) float32, in memory that the other side may still be writing to
Model = Callable[[NDArray[np.int64]], NDArray[np.float32] | DeviceLogits]

_CHUNK_BYTES: Final = 1 << 20  # a few rows of logits at a time, so that they stay in the CPU's cache
_SAFE_POWER: Final = 1e-30  # and its inverse: far from where exp() or a sum of a million of its values loses digits
_SECRET_IDS: Final = 3  # random tokens at each position whose log-probabilities the probes compare too


@dataclass(frozen=True, slots=True)
class Validation:
    """The rows of one held-out split.

    Attributes:
        rows: (R, T + 1), int64; the first T tokens are inputs, the last T targets.
        token_bytes: (V,), bytes of text of each token; 0 marks a special token, left out of the score.
    """

    rows: NDArray[np.int64]
    token_bytes: NDArray[np.int32]

    @property
    def inputs(self) -> NDArray[np.int64]:
        """(R, T); the last target of a row is in no input."""
        return self.rows[:, :-1]

    @property
    def targets(self) -> NDArray[np.int64]:
        """(R, T)."""
        return self.rows[:, 1:]

    @classmethod
    def load(cls, corpus: CorpusFiles, *, n_rows: int, sequence_tokens: int, holdout: bool = False) -> Validation:
        """Take rows spread evenly over the text of a split.

        Args:
            corpus: The text.
            n_rows: Rows, R.
            sequence_tokens: Targets of a row, T.
            holdout: Take the text that stays sealed for a final report instead of the text of the search's score.

        Raises:
            TargetError: The text is too short.
        """
        path = corpus.holdout if holdout else corpus.val
        tokens = split_holdout(_read(path))[1] if holdout else _read(path)
        windows = (tokens.size - 1) // sequence_tokens
        if windows < n_rows:
            raise TargetError(
                f"scoring.rows must be at most {windows}, which is what the {path.stem} text of the corpus has at "
                f"{sequence_tokens} tokens a row, got {n_rows}"
            )
        return cls._spread(tokens, corpus, n_rows, sequence_tokens)

    @classmethod
    def load_contrast(cls, corpus: CorpusFiles, *, n_rows: int, batch_rows: int, sequence_tokens: int) -> Validation:
        """Take rows spread evenly over the contrast text: `n_rows`, or as many whole batches as it has.

        Raises:
            TargetError: It has less than one batch.
        """
        contrast, _ = split_holdout(_read(corpus.holdout))
        windows = (contrast.size - 1) // sequence_tokens
        n_rows = min(n_rows, windows // batch_rows * batch_rows)
        if not n_rows:
            raise TargetError(
                f"the holdout text of the corpus is too short: a quarter of it has {windows} rows of {sequence_tokens} "
                f"tokens, scoring.batch_rows={batch_rows} are required"
            )
        return cls._spread(contrast, corpus, n_rows, sequence_tokens)

    @classmethod
    def _spread(cls, tokens: NDArray[np.uint16], corpus: CorpusFiles, n_rows: int, sequence_tokens: int) -> Validation:
        """Row i of n is window floor(i * windows / n)."""
        windows = (tokens.size - 1) // sequence_tokens
        starts = (np.arange(n_rows) * windows // n_rows) * sequence_tokens
        rows = tokens[starts[:, None] + np.arange(sequence_tokens + 1)].astype(np.int64)
        return cls(rows, np.fromfile(corpus.token_bytes, dtype="<i4"))


def split_holdout(tokens: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Split the holdout tokens into the contrast text and the text that stays sealed for a final report.

    A quarter is for contrast, on which each candidate for champion is measured. It is used often, so the report must
    not use it. Documents are in the order of a hash, so both parts are fair samples.
    """
    quarter = tokens.size // 4
    return tokens[:quarter], tokens[quarter:]


def _read(path: Path) -> NDArray[np.uint16]:
    """Map the tokens of a split: unread parts take no memory."""
    return np.memmap(path, dtype="<u2", mode="r")


@dataclass(frozen=True, slots=True)
class Watched:
    """Log-probabilities of the scored pass, for comparison by the probes.

    Attributes:
        ids: (R, T, K), watched tokens: the target, then random ones that no candidate can know.
        log_probs: (R, T, K), float32, in nats.
    """

    ids: NDArray[np.int64]
    log_probs: NDArray[np.float32]

    @classmethod
    def draw(cls, validation: Validation, rng: np.random.Generator) -> Watched:
        """Draw the watched tokens; every log-probability is NaN until it is measured."""
        rows, length = validation.targets.shape
        secret = rng.integers(0, validation.token_bytes.size, size=(rows, length, _SECRET_IDS))
        ids = np.concatenate([validation.targets[:, :, None], secret], axis=2)
        return cls(ids, np.full(ids.shape, np.nan, dtype=np.float32))

    @property
    def nll_nats(self) -> NDArray[np.float32]:
        """(R, T), negative log-likelihood of the targets."""
        return -self.log_probs[:, :, 0]


def score(model: Model, validation: Validation, batches: NDArray[np.int64], watched: Watched) -> float:
    """Run the scored pass, and return bits per byte, lower is better.

    Args:
        model: The model under test.
        validation: The rows.
        batches: (batches, B), each row's index once, in the order in which the model sees them.
        watched: Gets the log-probabilities of its tokens, batch by batch.

    Raises:
        CandidateFailure: Logits are not finite.
    """
    for batch in batches:
        watched.log_probs[batch] = log_probs(model(validation.inputs[batch]), watched.ids[batch])
    return bits_per_byte(watched.nll_nats, validation.token_bytes[validation.targets])


def bits_per_byte(nll_nats: NDArray[np.float32], byte_counts: NDArray[np.int32]) -> float:
    """Return how many bits a model spends on each byte of text.

    Unlike loss per token, this is comparable between tokenisers.

    Args:
        nll_nats: (R, T), negative log-likelihood of each target, in nats.
        byte_counts: (R, T), bytes of each target; 0 marks a special token, left out of both sums.

    Raises:
        CandidateFailure: The result is not finite.

    Source: `evaluate_bpb` in karpathy/autoresearch `prepare.py`, commit 228791f.
    """
    counted = byte_counts > 0
    bits = nll_nats.sum(where=counted, dtype=np.float64) / math.log(2)
    result = float(bits / byte_counts.sum(dtype=np.int64))
    if not math.isfinite(result):
        raise CandidateFailure(
            Outcome.REJECTED, f"finite: val_bpb must be finite, got {result}; a target has probability 0"
        )
    return result


def log_probs(logits: NDArray[np.float32] | DeviceLogits, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the log-probabilities (B, T, K) of tokens `ids` (B, T, K) under logits (B, T, V).

    Raises:
        CandidateFailure: A logit is not finite.
    """
    if not isinstance(logits, np.ndarray):
        found = logits.log_probs(ids)
        if np.isnan(found).any():
            raise _not_finite()
        return found
    rows = max(1, _CHUNK_BYTES // (logits[0].size * logits.itemsize))
    chunks = [_log_probs(logits[i : i + rows], ids[i : i + rows]) for i in range(0, len(logits), rows)]
    return np.concatenate(chunks)


def _log_probs(logits: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
    # A single read of memory that the other side can still write to: everything below uses this copy.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        powers = np.exp(logits, dtype=np.float32)
    if not (powers.min() > _SAFE_POWER and powers.max() < 1 / _SAFE_POWER):  # a NaN fails both
        return _log_probs_of_any(logits, ids)
    chosen = np.take_along_axis(powers, ids, axis=2)
    log_probs: NDArray[np.float32] = np.log(chosen) - np.log(powers.sum(axis=2, keepdims=True))
    return log_probs


def _log_probs_of_any(logits: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Do the same for logits that are too large or too far apart to be exponents; it needs more passes."""
    private = np.array(logits, dtype=np.float32)  # a copy: the other side can no longer change it
    top = private.max(axis=2, keepdims=True)
    if not (np.isfinite(top).all() and np.isfinite(private.min())):
        raise _not_finite()
    with np.errstate(over="ignore"):  # finite logits may be so far apart that a probability is 0
        private -= top
    chosen = np.take_along_axis(private, ids, axis=2)
    np.exp(private, out=private)
    log_probs: NDArray[np.float32] = chosen - np.log(private.sum(axis=2, keepdims=True))
    return log_probs


def _not_finite() -> CandidateFailure:
    return CandidateFailure(
        Outcome.REJECTED, "finite: every logit must be finite, but some are NaN or infinite; the training diverged?"
    )
