from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from operators.base import MutationError
from operators.mix import MixOperator
from operators.population import Population
from operators.trial import Attempt, Mutation, Proposal, Status, Trial
from target.program import Program
from target.simulated.landscape import SOURCE
from tests.operators.composed import make_operator
from tests.operators.scripted_model import ScriptedModel, make_resources, obliging
from tests.search.builders import make_population, make_trial

FREE = ("constants", "tune", "switch")


class Named:
    """An operator that makes one program, or fails."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name = name
        self._fails = fails

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        if self._fails:
            raise MutationError("no idea", Attempt(cost_usd=0.5))
        return Mutation(program=Program("A = 1\n"), operator=self.name, description="d")


def make_mix(*, fails: bool = False, **settings: object) -> MixOperator:
    options: dict[str, object] = {
        "operators": {"cheap": Named("cheap", fails=fails), "dear": Named("dear", fails=fails)},
        "weights": {"cheap": 1, "dear": 3},
        "adaptive": False,
        "gpu_usd_per_hour": 3.6,
        "floor": 0.1,
    }
    return MixOperator(**{**options, **settings}, resources=make_resources(None))  # type: ignore[arg-type]


def with_program(source: str) -> Population:
    """Return a baseline with some source."""
    mutation = Mutation(program=Program(source), operator="seed", description="the seed program")
    return Population((replace(make_trial(0, 2.0, status=Status.BASELINE), mutation=mutation),))


def outcomes(*rows: tuple[str, float | None, float]) -> Population:
    """Return a baseline of 2.0 and children: operator, score or failure, money."""
    trials: list[Trial] = [make_trial(0, 2.0, status=Status.BASELINE)]
    for number, (name, score, cost_usd) in enumerate(rows, start=1):
        trial = make_trial(number, score, status=Status.NOT_BUILT if score is None else Status.DISCARD)
        mutation = trial.mutation and replace(trial.mutation, operator=f"mix/{name}", cost_usd=cost_usd)
        failure = None if mutation else Attempt(operator=f"mix/{name}", cost_usd=cost_usd)
        trials.append(replace(trial, mutation=mutation, failure=failure))
    return Population(tuple(trials))


def test_what_an_earlier_search_found_under_other_conditions_says_nothing_about_operators() -> None:
    measured = outcomes(("cheap", 1.9, 0.01), ("dear", 1.9, 0.5))
    known = make_trial(3, status=Status.UNMEASURED)
    assert known.mutation
    known = replace(known, mutation=replace(known.mutation, operator="mix/dear", cost_usd=9.0))
    mix = make_mix(adaptive=True)

    assert mix.probabilities(measured.with_trial(known)) == mix.probabilities(measured)


def test_weights_decide_how_often_an_operator_is_drawn() -> None:
    mix, population = make_mix(), make_population(2.0)
    drawn = Counter(mix.mutate(Proposal(parents=(0,), seed=seed), population).operator for seed in range(400))

    assert drawn.keys() == {"mix/cheap", "mix/dear"}
    assert 250 < drawn["mix/dear"] < 350
    assert make_mix(weights={"dear": 1, "cheap": 0}).probabilities(population) == {"dear": 1.0}


def test_a_failure_is_recorded_with_the_operator_that_failed() -> None:
    with pytest.raises(MutationError) as caught:
        make_mix(fails=True, weights={"dear": 1}).mutate(Proposal(parents=(0,), seed=0), make_population(2.0))

    assert (caught.value.attempt.operator, caught.value.attempt.cost_usd) == ("mix/dear", 0.5)


def test_without_a_model_the_default_mix_draws_what_needs_none_and_says_what_it_leaves_out() -> None:
    remarks: list[str] = []
    mix = make_operator("mix", replace(make_resources(None), remark=remarks.append))
    landscape = with_program(SOURCE)
    drawn = Counter(mix.mutate(Proposal(parents=(0,), seed=seed), landscape).operator for seed in range(90))

    assert drawn.keys() == {"mix/constants", "mix/switch", "mix/tune"}
    assert min(drawn.values()) > 20
    assert remarks == [
        "mix draws constants, switch, tune; without llm.model it leaves out crossover, patch, repair, rewrite, "
        "which need one"
    ]


def test_with_a_model_8_of_11_proposals_of_the_default_mix_ask_it() -> None:
    remarks: list[str] = []
    mix = make_operator("mix", replace(make_resources(ScriptedModel(obliging)), remark=remarks.append))
    assert isinstance(mix, MixOperator)
    shares = mix.probabilities(make_population(2.0))

    assert {name: round(11 * share, 6) for name, share in shares.items()} == {
        **dict.fromkeys(("constants", "crossover", "rewrite", "switch", "tune"), 1),
        "patch": 4,
        "repair": 2,
    }
    assert remarks == []


def test_a_mix_of_operators_that_all_need_a_model_needs_one() -> None:
    with pytest.raises(ValueError, match=r"operator crossover needs a language model: set llm\.model"):
        make_operator("mix", make_resources(None), *(f"operator.weights.{name}=0" for name in FREE))


def test_an_operator_to_which_the_parent_leaves_nothing_is_passed_over() -> None:
    mix = make_operator("mix", make_resources(None))
    bare = with_program("LR = 0.1  # knob: 0.01..1 log\n")
    drawn = {mix.mutate(Proposal(parents=(0,), seed=seed), bare).operator for seed in range(30)}
    assert drawn == {"mix/constants", "mix/tune"}, "there is no switch"

    with pytest.raises(MutationError, match="the parent has no") as caught:
        mix.mutate(Proposal(parents=(0,), seed=0), with_program("x = 1\n"))
    assert caught.value.attempt.operator.startswith("mix/")


def test_adaptive_shares_follow_gain_for_cost() -> None:
    mix = make_mix(adaptive=True, weights={"cheap": 1, "dear": 1})

    assert mix.probabilities(make_population(2.0)) == {"cheap": 0.5, "dear": 0.5}, "nothing is known"
    good = mix.probabilities(outcomes(*[("cheap", 1.9, 0.01), ("dear", 2.1, 0.01)] * 5))
    assert good["cheap"] > 0.7
    money = mix.probabilities(outcomes(*[("cheap", 1.9, 0.01), ("dear", 1.9, 1.0)] * 5))
    assert money["cheap"] > 0.6, "equal gains, one for more money"
    wasted = mix.probabilities(outcomes(*[("cheap", 1.9, 0.1), ("dear", 1.9, 0.1), ("dear", None, 0.5)] * 5))
    assert wasted["cheap"] > 0.6, "failures cost as well"
    for shares in (good, money, wasted):
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) >= 0.05, "the floor"


def test_training_time_counts_as_money() -> None:
    slow = outcomes(*[("cheap", 1.9, 0.0), ("dear", 1.9, 0.0)] * 4)
    longer = [
        replace(trial, evaluations=tuple(replace(run, train_seconds=3600.0) for run in trial.evaluations))
        if trial.operator == "mix/dear"
        else trial
        for trial in slow.trials
    ]
    shares = make_mix(adaptive=True, weights={"cheap": 1, "dear": 1}).probabilities(Population(tuple(longer)))

    assert shares["cheap"] > 0.6


def test_one_lucky_trial_does_not_decide() -> None:
    shares = make_mix(adaptive=True, weights={"cheap": 1, "dear": 1}).probabilities(
        outcomes(("cheap", 1.9, 0.01), ("dear", 2.0, 0.01))
    )

    assert 0.5 < shares["cheap"] < 0.7


@pytest.mark.parametrize(
    "settings",
    [{"weights": {"other": 1}}, {"weights": {"cheap": -1, "dear": 1}}, {"weights": {"cheap": 0}}, {"weights": {}}],
)
def test_weights_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"weights must be at least 0.*\['cheap', 'dear'\]"):
        make_mix(**settings)


@pytest.mark.parametrize("settings", [{"floor": 1.5}, {"gpu_usd_per_hour": 0}])
def test_other_numbers_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="gpu_usd_per_hour must be above 0 and floor from 0 to 1"):
        make_mix(**settings)
