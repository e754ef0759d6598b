"""Tests whether the model predicts each token only from the tokens before it, by questions with known answers.

All passes have the shape of a scored batch. Passes of the same shape agree to rounding for an honest model, while
another length differs by more than any useful tolerance. D1 and D2 go to a replica that did not see the scored pass,
and are compared with that pass, so remembering the scored rows does not help. D3 goes to the scored server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from target.evaluation import Outcome
from target.feedback import CandidateFailure
from target.scoring.scorer import Model, Validation, Watched, log_probs
from target.spec import Scoring

# A leak gains something at every cut, and rounding does not, so the limit for the mean is lower than for single values.
_GAIN_FRACTION: Final = 0.1

# D4 compares means over different tokens, so its limit allows for the noise of text: six standard errors and half a
# nat. A model that sees its targets is worse at the one position without its target by its whole loss, 1 to 3 nats.
_LAST_SLACK_NATS: Final = 0.5
_LAST_STANDARD_ERRORS: Final = 6.0

# In this order: the most general fault is named first, because it affects the later probes too.
_REQUIREMENTS: Final = {
    "d3_state_nats": "in eval() the same batch must give the same logits: no dropout, no memory of earlier calls",
    "d2_rows_nats": "a row's logits must not depend on the other rows of the batch, nor on earlier calls: "
    "no batch statistics, no routing with a shared capacity",
    "d1_causality_nats": "logits at position t must depend on tokens 0..t only: "
    "check masks, shifts, pooling and normalisation over the sequence",
    "d1_gain_nats": "predictions must not get better with the tokens after them: check masks and shifts",
    "d4_last_position_nats": "the last position, the only one whose target is in no input, must be about as good "
    "as those before it: check masks and shifts",
    "d4_hidden_share": "a token must be predicted about as well when it is in no input as when it follows in the same "
    "row: check masks and shifts",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The questions; drawn by the scorer, unknown to the candidate.

    Attributes:
        batches: (R / B, B), rows in the order of the scored pass.
        again: Index of the batch that is repeated at the end of the scored pass.
        cut_rows: (n, B), rows of the causality probe.
        cuts: (n, B), first replaced position, 1..T-1.
        donors: (n, B), rows that the replacement is taken from.
        mixed: (B,), rows of the row probe: the first half are scored rows, the others are changed completely.
        places: (B,), place in the batch for each of `mixed`.
    """

    batches: NDArray[np.int64]
    again: int
    cut_rows: NDArray[np.int64]
    cuts: NDArray[np.int64]
    donors: NDArray[np.int64]
    mixed: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def draw(cls, scoring: Scoring, sequence_tokens: int, rng: np.random.Generator, *, thorough: bool = False) -> Plan:
        """Draw a plan; `scoring.cuts` is rounded up to whole batches, and `thorough` makes a cut in every row."""
        rows, size = scoring.rows, scoring.batch_rows
        shape = (math.ceil((rows if thorough else scoring.cuts) / size), size)
        cut_rows = np.resize(rng.permutation(rows), shape)
        return cls(
            batches=rng.permutation(rows).reshape(-1, size),
            again=int(rng.integers(rows // size)),
            cut_rows=cut_rows,
            cuts=_spread(rng, shape, sequence_tokens),
            donors=(cut_rows + rng.integers(1, rows, size=shape)) % rows,  # never the row itself
            mixed=rng.choice(rows, size, replace=False),
            places=rng.permutation(size),
        )


def _spread(rng: np.random.Generator, shape: tuple[int, ...], sequence_tokens: int) -> NDArray[np.int64]:
    """Draw cuts in rounds without replacement: no position has two before every position has one."""
    positions = np.arange(1, max(2, sequence_tokens))
    rounds = math.ceil(math.prod(shape) / positions.size)
    return np.concatenate([rng.permutation(positions) for _ in range(rounds)])[: math.prod(shape)].reshape(shape)


def probe_state(model: Model, validation: Validation, plan: Plan, watched: Watched) -> dict[str, float]:
    """D3: repeat a scored batch at the end of the scored pass."""
    batch = plan.batches[plan.again]
    again = log_probs(model(validation.inputs[batch]), watched.ids[batch])
    return {"d3_state_nats": _largest(_change(watched.log_probs[batch], again))}


def probe_replica(
    model: Model, validation: Validation, plan: Plan, watched: Watched, rng: np.random.Generator
) -> dict[str, float]:
    """D1 and D2: rows with another end, and rows in another batch, on a server that did not see the scored pass."""
    return _probe_rows(model, validation, plan, watched, rng) | _probe_causality(model, validation, plan, watched)


def probe_last_position(watched: Watched, validation: Validation) -> dict[str, float]:
    """D4: how much worse the last position, whose target was never sent, is than the late positions before it.

    Special tokens are left out, as in the score: a model may predict anything for them, and their losses would hide
    the others.
    """
    nll, counted = watched.nll_nats, validation.token_bytes[validation.targets] > 0
    half = nll.shape[1] // 2
    last, late = nll[:, -1][counted[:, -1]], nll[:, half:-1][counted[:, half:-1]]
    if not late.size or not last.size:
        return {"d4_last_position_nats": 0.0, "d4_limit_nats": _LAST_SLACK_NATS}
    standard_error = float(last.std() / math.sqrt(last.size))
    return {
        "d4_last_position_nats": float(last.mean() - late.mean()),
        "d4_limit_nats": _LAST_SLACK_NATS + _LAST_STANDARD_ERRORS * standard_error,
    }


def probe_contrast(val_bpb: float, contrast_bpb: float) -> dict[str, float]:
    """D5: how much worse the validation text is predicted than other text that no program has trained on.

    By itself the figure says how the two texts differ. It hardly differs between two programs, unless one has seen the
    validation text: then it is lower by the gain from that. There is no limit here, because there is no other program
    to compare with; the search has a limit.
    """
    return {"d5_contrast_bpb": val_bpb - contrast_bpb}


def compare_tries(first: NDArray[np.float32], second: NDArray[np.float32]) -> dict[str, float]:
    """D3 across servers: compare the answers of a killed server with those of the next one, with equal weights.

    Args:
        first: (R, T, K), log-probabilities in nats; NaN where not asked.
        second: (R, T, K), of the same tokens.
    """
    asked = ~np.isnan(first)
    return {"d3_state_nats": _largest(_change(first[asked], second[asked]))}


def judge(measured: Mapping[str, float], tolerance_nats: float, *, text: str = "validation") -> None:
    """Refuse a model whose answers disagree.

    Args:
        measured: Values of the probes by name.
        tolerance_nats: Largest accepted change of a log-probability that must not change.
        text: The text of the probes.

    Raises:
        CandidateFailure: A probe exceeds its limit.
    """
    limits = {
        "d3_state_nats": tolerance_nats,
        "d2_rows_nats": tolerance_nats,
        "d1_causality_nats": tolerance_nats,
        "d1_gain_nats": tolerance_nats * _GAIN_FRACTION,
        "d4_last_position_nats": measured["d4_limit_nats"],
        "d4_hidden_share": measured.get("d4_hidden_limit", math.inf),  # measured only for a suspected model
    }
    place = "" if text == "validation" else f", on the {text} text"
    for name, requirement in _REQUIREMENTS.items():
        if name == "d4_hidden_share" and name not in measured:
            continue
        if not measured[name] <= limits[name]:
            raise CandidateFailure(
                Outcome.REJECTED,
                f"probe {name}: {requirement}; measured {measured[name]:.3g}, limit {limits[name]:.3g}{place}",
            )


def _probe_rows(
    model: Model, validation: Validation, plan: Plan, watched: Watched, rng: np.random.Generator
) -> dict[str, float]:
    inputs = validation.inputs[plan.mixed]  # a copy
    kept = len(inputs) // 2
    inputs[kept:] = rng.permuted(inputs[kept:], axis=1)
    ids = watched.ids[plan.mixed]
    placed = np.empty_like(plan.places)
    placed[plan.places] = np.arange(len(placed))
    answers = log_probs(model(inputs[placed]), ids[placed])[plan.places]
    return {"d2_rows_nats": _largest(_change(watched.log_probs[plan.mixed[:kept]], answers[:kept]))}


def _probe_causality(model: Model, validation: Validation, plan: Plan, watched: Watched) -> dict[str, float]:
    positions = np.arange(validation.inputs.shape[1])
    largest, gains = 0.0, []
    for rows, cuts, donors in zip(plan.cut_rows, plan.cuts, plan.donors, strict=True):
        before = positions < cuts[:, None]  # (B, T)
        inputs = np.where(before, validation.inputs[rows], validation.inputs[donors])
        change = _change(log_probs(model(inputs), watched.ids[rows]), watched.log_probs[rows])  # (B, T, K)
        largest = max(largest, _largest(change[before]))
        gains.append(change[np.arange(len(rows)), cuts - 1, 0])  # of the target whose token was replaced in the input
    return {"d1_causality_nats": largest, "d1_gain_nats": float(np.concatenate(gains).mean())}


def _change(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the differences of log-probabilities; 0, not NaN, for tokens that are impossible in both."""
    with np.errstate(invalid="ignore"):
        change: NDArray[np.float32] = second - first
    return np.where(first == second, np.float32(0), change)


def _largest(change: NDArray[np.float32]) -> float:
    return float(np.abs(change).max(initial=0.0))
