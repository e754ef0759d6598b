"""The probes against models that are plain functions: what each one sees, and that an honest model passes them all."""

import numpy as np
import pytest

from target.feedback import CandidateFailure
from target.probes import Plan, judge, probe_contrast, probe_last_position, probe_replica, probe_state
from target.scorer import Validation, score
from target.spec import Scoring

ROWS, B, T, V = 64, 16, 24, 13
SCORING = Scoring(rows=ROWS, batch_rows=B, cuts=64, tolerance_nats=2e-3, seconds=1)
TABLE = np.random.default_rng(5).standard_normal((V, V)).astype(np.float32)


def honest(tokens):
    """Logits from the token, its predecessor and a running mean."""
    here = TABLE[tokens]
    return here + 0.3 * np.cumsum(here, axis=1) / np.arange(1, T + 1, dtype=np.float32)[:, None]


def looks_ahead(tokens, *, positions=slice(None), strength=2.0):
    logits = honest(tokens)
    ahead = np.zeros_like(logits)
    np.put_along_axis(ahead[:, :-1], tokens[:, 1:, None], strength, axis=2)
    mask = np.zeros((T, 1), dtype=np.float32)
    mask[positions] = 1
    return logits + mask * ahead


def batch_coupled(tokens):
    return honest(tokens) * (1 + 0.1 * np.std(tokens))


def make_stateful():
    calls = []

    def model(tokens):
        calls.append(1)
        return honest(tokens) * (1 + 0.01 * len(calls))

    return model


def make_replaying():
    """Leaks, unless it has seen the prefix: then it answers as it did then."""
    seen = {}

    def model(tokens):
        logits = looks_ahead(tokens)
        for b, row in enumerate(tokens.tolist()):
            for t in range(T):
                logits[b, t] = seen.setdefault(tuple(row[: t + 1]), logits[b, t].copy())
        return logits

    return model


def measure(make_model, seed=0, one_server=False):
    rng = np.random.default_rng(seed)
    validation = Validation(rng.integers(0, V, size=(ROWS, T + 1)), np.ones(V, dtype=np.int32))
    plan = Plan.draw(SCORING, T, rng)
    model = make_model()
    _, watched = score(model, validation, plan.batches, rng)
    measured = probe_last_position(watched) | probe_state(model, validation, plan, watched)
    return measured | probe_replica(model if one_server else make_model(), validation, plan, watched, rng)


def refusal(make_model, **options):
    try:
        judge(measure(make_model, **options), SCORING.tolerance_nats)
    except CandidateFailure as failure:
        return failure.detail
    return None


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_model_is_never_refused(seed):
    measured = measure(lambda: honest, seed)

    judge(measured, SCORING.tolerance_nats)
    assert measured["d1_causality_nats"] == measured["d2_rows_nats"] == measured["d3_state_nats"] == 0


@pytest.mark.parametrize(
    ("make_model", "probe"),
    [
        (lambda: looks_ahead, "d1_causality_nats"),
        (lambda: lambda tokens: looks_ahead(tokens, strength=0.02), "d1_causality_nats"),
        (lambda: lambda tokens: looks_ahead(tokens, positions=slice(3, None, 4)), "d1_causality_nats"),
        (lambda: lambda tokens: honest(tokens) + honest(tokens).mean(axis=1, keepdims=True), "d1_causality_nats"),
        (lambda: batch_coupled, "d2_rows_nats"),
        (make_stateful, "d3_state_nats"),
        (make_replaying, "d"),
    ],
    ids=["next token", "faint", "every fourth position", "mean over T", "batch", "state", "replay"],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_an_honest_model_would_not_do_is_refused_by_name(make_model, probe, seed):
    assert f"probe {probe}" in refusal(make_model, seed=seed)


def test_replay_by_prefix_passes_on_the_server_that_was_scored_and_fails_on_a_replica():
    on_one, on_replica = (measure(make_replaying, one_server=one) for one in (True, False))

    assert on_one["d1_causality_nats"] == on_one["d2_rows_nats"] == on_one["d3_state_nats"] == 0
    assert on_replica["d1_causality_nats"] > 1


def test_the_gain_of_a_leak_is_what_it_wins_at_the_cut():
    gained, honest_gain = (measure(lambda model=model: model)["d1_gain_nats"] for model in (looks_ahead, honest))

    assert gained > 0.5
    assert honest_gain == 0


def test_a_small_leak_is_refused_by_its_mean_gain():
    leak = {"d3_state_nats": 0.0, "d2_rows_nats": 0.0, "d4_last_position_nats": 0.0, "d4_limit_nats": 1.0}
    tolerance = SCORING.tolerance_nats

    judge(leak | {"d1_causality_nats": 0.9 * tolerance, "d1_gain_nats": 0.09 * tolerance}, tolerance)
    with pytest.raises(CandidateFailure, match="d1_gain_nats"):
        judge(leak | {"d1_causality_nats": 0.9 * tolerance, "d1_gain_nats": 0.2 * tolerance}, tolerance)


def test_a_value_that_is_no_number_is_refused():
    measured = measure(lambda: honest) | {"d2_rows_nats": float("nan")}

    with pytest.raises(CandidateFailure, match="d2_rows_nats"):
        judge(measured, SCORING.tolerance_nats)


def test_the_last_position_gives_away_who_sees_its_target():
    measured = measure(lambda: lambda tokens: looks_ahead(tokens, strength=12.0))

    assert measured["d4_last_position_nats"] > measured["d4_limit_nats"]


def test_every_cut_replaces_something_and_rows_stay_in_range():
    for seed in range(20):
        plan = Plan.draw(SCORING, T, np.random.default_rng(seed))
        assert plan.cuts.size >= SCORING.cuts
        assert set(plan.cuts.ravel()) == set(range(1, T)), "64 cuts of 23 positions leave none out"
        assert plan.cuts.min() >= 1
        assert plan.cuts.max() <= T - 1
        assert (plan.donors != plan.cut_rows).all()
        assert sorted(plan.batches.ravel()) == list(range(ROWS))


def test_a_thorough_plan_cuts_every_row_once():
    plan = Plan.draw(SCORING, T, np.random.default_rng(0), thorough=True)

    assert sorted(plan.cut_rows.ravel()) == list(range(ROWS))


def test_a_model_that_knows_the_validation_text_by_heart_has_less_contrast():
    rng = np.random.default_rng(0)
    texts = [Validation(rng.integers(0, V, size=(ROWS, T + 1)), np.ones(V, dtype=np.int32)) for _ in range(2)]
    known = {tuple(row[:-1].tolist()): row[1:] for row in texts[0].rows}

    def by_heart(tokens):
        logits = honest(tokens).copy()
        for b, row in enumerate(tokens.tolist()):
            if tuple(row) in known:
                np.put_along_axis(logits[b], known[tuple(row)][:, None], 9.0, axis=1)
        return logits

    def contrast(model):
        val_bpb, _ = score(model, texts[0], np.arange(ROWS).reshape(-1, B), rng)
        return probe_contrast(model, texts[1], B, val_bpb, rng)["d5_contrast_bpb"]

    assert abs(contrast(honest)) < 0.5
    assert contrast(by_heart) < -2
