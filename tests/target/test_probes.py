"""The probes against models that are plain functions: what each one sees, and that an honest model passes them all."""

import contextlib

import numpy as np
import pytest

from target.draft import Draft
from target.feedback import CandidateFailure
from target.scoring import Text, measure_served
from target.scoring.probes import Plan, compare_tries, judge
from target.scoring.scorer import Validation
from target.spec import Scoring

ROWS, B, T, V = 64, 16, 24, 13
SCORING = Scoring(rows=ROWS, batch_rows=B, cuts=64, tolerance_nats=2e-3, start_seconds=1, pass_seconds=1)
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
    text = Text.draw("validation", validation, SCORING, T, rng, thorough=False)
    return ask(make_model, [text], rng, one_server=one_server)


def measure_with_a_special_token(model, seed=0):
    """Token 0 is a special one, which is left out of the score: a model may say anything of it."""
    rng = np.random.default_rng(seed)
    token_bytes = np.ones(V, dtype=np.int32)
    token_bytes[0] = 0
    validation = Validation(rng.integers(0, V, size=(ROWS, T + 1)), token_bytes)
    return ask(lambda: model, [Text.draw("validation", validation, SCORING, T, rng, thorough=False)], rng, one_server=0)


def ask(make_model, texts, rng, *, one_server):
    """Return what the probes measure; with one server, it remembers as a replica what it was asked at the score."""
    first = make_model()
    models = iter((first, first if one_server else make_model()))
    draft = Draft(seed=0)

    @contextlib.contextmanager
    def serve():
        model = next(models)

        def served(tokens):
            return model(tokens)

        served.n_parameters = 0
        yield served

    with contextlib.suppress(CandidateFailure):
        measure_served(serve, texts, SCORING, rng, draft)
    return draft.probes


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


def impossible_at_the_start(logits):
    """Return logits by which token 0 has probability 0 at the first position, and all others the same."""
    logits[:, 0] = 3e38
    logits[:, 0, 0] = -3e38
    return logits


@pytest.mark.parametrize("seed", range(5))
def test_an_honest_model_may_find_a_special_token_impossible(seed):
    measured = measure_with_a_special_token(lambda tokens: impossible_at_the_start(honest(tokens)), seed)

    judge(measured, SCORING.tolerance_nats)
    assert measured["d1_causality_nats"] == measured["d2_rows_nats"] == measured["d3_state_nats"] == 0


def test_an_impossible_token_does_not_hide_what_changes():
    measured = measure_with_a_special_token(lambda tokens: impossible_at_the_start(looks_ahead(tokens)))

    assert measured["d1_causality_nats"] > 1


def test_losses_of_special_tokens_do_not_hide_who_sees_its_target():
    def model(tokens):
        logits = looks_ahead(tokens, strength=12.0)
        logits[..., 0] -= 1e6
        return logits

    measured = measure_with_a_special_token(model)

    assert measured["d4_last_position_nats"] > measured["d4_limit_nats"]


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
        asked = [
            Text.draw(name, text, SCORING, T, rng, thorough=True)
            for name, text in zip(("validation", "contrast"), texts, strict=True)
        ]
        return ask(lambda: model, asked, rng, one_server=False)["d5_contrast_bpb"]

    assert abs(contrast(honest)) < 0.5
    assert contrast(by_heart) < -2


def make_recognising(leaked_rows, positions=range(4, 12)):
    """Leaks at some positions of some rows, and recognises them by how they begin: then it answers as it did before."""
    seen = {}

    def model(tokens):
        logits = honest(tokens)
        for b, row in enumerate(tokens.tolist()):
            known = seen.setdefault(tuple(row[:4]), row)
            if leaked_rows(known):
                for t in positions:
                    logits[b, t, known[t + 1]] += 12.0
        return logits

    return model


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_in_the_first_half_is_refused_although_the_replica_knows_what_was_asked(seed):
    measured = measure(lambda: make_recognising(lambda _: True), seed, one_server=True)

    assert measured["d1_causality_nats"] == measured["d2_rows_nats"] == measured["d3_state_nats"] == 0
    assert measured["d4_last_position_nats"] < measured["d4_limit_nats"]
    with pytest.raises(CandidateFailure, match="d4_hidden_share"):
        judge(measured, SCORING.tolerance_nats)


def test_a_leak_in_a_quarter_of_many_rows_is_refused_too():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, V, size=(1024, T + 1))
    text = Text.draw("validation", Validation(rows, np.ones(V, dtype=np.int32)), SCORING, T, rng, thorough=False)

    measured = ask(lambda: make_recognising(lambda row: row[3] % 4 == 0), [text], rng, one_server=True)

    assert measured["d1_causality_nats"] == 0
    with pytest.raises(CandidateFailure, match="d4_hidden_share"):
        judge(measured, SCORING.tolerance_nats)


@pytest.mark.parametrize("seed", range(5))
def test_an_honest_model_whose_predictions_get_worse_along_the_row_is_suspected_and_accepted(seed):
    """As one does that was trained on short rows."""
    worse = np.where(np.arange(T) < T // 2, 1, 8).astype(np.float32)[:, None]

    measured = measure(lambda: lambda tokens: honest(tokens) * worse, seed)

    assert measured["d4_early_share"] > measured["d4_hidden_share"]
    judge(measured, SCORING.tolerance_nats)


def test_an_honest_model_is_rarely_suspected():
    suspected = [seed for seed in range(40) if "d4_hidden_share" in measure(lambda: honest, seed)]

    assert len(suspected) < 4


def test_a_second_try_must_give_the_answers_of_the_first():
    first = np.full((4, 3, 2), np.nan, dtype=np.float32)
    second = np.zeros((4, 3, 2), dtype=np.float32)
    assert compare_tries(first, second)["d3_state_nats"] == 0

    first[2] = second[2] = -np.inf
    assert compare_tries(first, second)["d3_state_nats"] == 0

    first[1, 0, 0] = 0.5
    assert compare_tries(first, second)["d3_state_nats"] == 0.5


@pytest.mark.parametrize("leaking", ["contrast", "holdout"])
def test_a_leak_on_another_text_than_that_of_the_score_is_refused_by_the_name_of_the_text(leaking):
    rng = np.random.default_rng(0)
    names = ("validation", "contrast", "holdout")
    rows = {name: rng.integers(0, V, size=(ROWS, T + 1)) for name in names}
    known = {tuple(row[:3]) for row in rows[leaking].tolist()} - {tuple(row[:3]) for row in rows["validation"].tolist()}
    texts = [
        Text.draw(name, Validation(rows[name], np.ones(V, dtype=np.int32)), SCORING, T, rng, thorough=True)
        for name in names
    ]

    def model(tokens):
        mine = np.array([tuple(row[:3]) in known for row in tokens.tolist()])
        return np.where(mine[:, None, None], looks_ahead(tokens, strength=12.0), honest(tokens))

    measured = ask(lambda: model, texts, rng, one_server=False)

    assert measured["d1_causality_nats"] == 0
    assert measured[f"{leaking}_d1_causality_nats"] > 1
