"""The measurements of a model before its score counts: a scored pass and all probes, on each text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from target.draft import Draft
from target.scoring.hidden_targets import probe_hidden, suspicious_positions
from target.scoring.probes import (
    Plan,
    compare_tries,
    judge,
    probe_contrast,
    probe_last_position,
    probe_replica,
    probe_state,
)
from target.scoring.scorer import Validation, Watched, score
from target.scoring.served import ServedModel
from target.spec import Scoring


@dataclass(frozen=True, slots=True)
class Text:
    """A text that gives a number, and the questions on it. They are drawn once, even if the scoring is tried twice.

    Attributes:
        name: validation, contrast or holdout.
        rows: Its rows.
        plan: The probes.
        watched: Log-probabilities of the scored pass; NaN where not asked yet.
    """

    name: str
    rows: Validation
    plan: Plan
    watched: Watched

    @classmethod
    def draw(
        cls,
        name: str,
        rows: Validation,
        scoring: Scoring,
        sequence_tokens: int,
        rng: np.random.Generator,
        *,
        thorough: bool,
    ) -> Self:
        """Draw the questions; if `thorough`, with a cut in every row."""
        plan = Plan.draw(replace(scoring, rows=len(rows.rows)), sequence_tokens, rng, thorough=thorough)
        return cls(name, rows, plan, Watched.draw(rows, rng))


def measure_served(
    serve: Callable[[], AbstractContextManager[ServedModel]],
    texts: Sequence[Text],
    scoring: Scoring,
    rng: np.random.Generator,
    draft: Draft,
) -> float:
    """Return the validation bits per byte of a model, after it passes the probes on each text.

    One server is scored on all texts. A second server, a replica that has seen no complete row, answers the probes.

    Args:
        serve: Starts a server of the model.
        texts: The validation text first.
        scoring: Settings of the score.
        rng: The scorer's randomness.
        draft: Gets what is found, including the holdout's bits per byte if it is one of the texts.

    Raises:
        CandidateFailure: The model cannot be scored, or a probe refuses it.
    """
    bpb: dict[str, float] = {}
    measured: dict[str, dict[str, float]] = {}
    suspicious = {}
    with serve() as model:
        draft.n_parameters = model.n_parameters
        for text in texts:
            before = text.watched.log_probs.copy()  # from a server that was killed
            bpb[text.name] = score(model, text.rows, text.plan.batches, text.watched)
            shares, suspicious[text.name] = suspicious_positions(text.watched)
            state = probe_state(model, text.rows, text.plan, text.watched)["d3_state_nats"]
            again = compare_tries(before, text.watched.log_probs)["d3_state_nats"]
            last = probe_last_position(text.watched, text.rows)
            measured[text.name] = last | shares | {"d3_state_nats": _worse(state, again)}
    draft.probes = _named(measured)
    with serve() as replica:
        for text in texts:
            found = measured[text.name]
            found |= probe_replica(replica, text.rows, text.plan, text.watched, rng)
            if (positions := suspicious[text.name]).size:
                found |= probe_hidden(replica, text.rows, text.watched, positions, scoring.batch_rows, rng)
    contrast = probe_contrast(bpb["validation"], bpb["contrast"]) if "contrast" in bpb else {}
    draft.probes = _named(measured) | contrast
    for name, found in measured.items():
        judge(found, scoring.tolerance_nats, text=name)
    if "holdout" in bpb:
        draft.holdout_bpb = bpb["holdout"]
    return bpb["validation"]


def _worse(first: float, second: float) -> float:
    return float(np.maximum(first, second))  # NaN if one of them is


def _named(measured: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the values by the names of the probes, with the text as a prefix if it is not the validation text.

    An infinite value, for which a model is refused, is left out: JSON cannot hold it.
    """
    return {
        name if text == "validation" else f"{text}_{name}": value
        for text, values in measured.items()
        for name, value in values.items()
        if math.isfinite(value)
    }
