from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from operators.base import MutationError, Operator, ProviderError, Resources
from operators.population import Population
from operators.sample import SampleOperator
from operators.trial import Attempt, Mutation, Proposal, Trial
from search.acceptance import Naive
from search.decisions import refuse
from target.program import Program
from tests.search.builders import MIXED, SEED_SOURCE, make_population

SEED = Program(SEED_SOURCE)
PROPOSAL = Proposal(parents=(0,), seed=5)


class Scripted:
    """Gives programs and failures from a list, in the order of the calls."""

    name = "scripted"

    def __init__(self, *answers: Program | Exception) -> None:
        self._answers = list(answers)
        self.seeds: list[int] = []

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        self.seeds.append(proposal.seed)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Mutation(program=answer, operator=self.name, description="d", cost_usd=0.5)


def rates(*values: float) -> list[Program]:
    return [SEED.with_constants({"MATRIX_LR": value}) for value in values]


def sample(
    operator: Operator,
    n: int,
    preflight: Callable[[Program, Population], str] | None = None,
    model: object = None,
    **settings: float,
) -> SampleOperator:
    resources = Resources(lend=lambda: model, direction=Path(), limits=())  # type: ignore[arg-type, return-value]
    if preflight:
        resources = replace(resources, preflight=preflight)
    weights = {"prediction": 1.0, "novelty": 0.1, "memory": 50, "critique": 0, **settings}
    return SampleOperator(of="it", n=n, operators={"it": operator}, resources=resources, **weights)  # type: ignore[arg-type]


def test_one_trains_and_the_others_are_kept_and_paid_for() -> None:
    programs = rates(0.1, 0.2, 0.3)
    scripted = Scripted(*programs)
    mutation = sample(scripted, 3).mutate(PROPOSAL, MIXED)

    assert mutation.operator == "sample/scripted"
    assert {mutation.program, *mutation.spares} == set(programs)
    assert mutation.cost_usd == 1.5
    assert len({*scripted.seeds, PROPOSAL.seed}) == 4, "each sample has a seed of its own"


def test_twins_and_what_was_tried_are_removed() -> None:
    tried = MIXED.trials[2].program
    assert tried
    (new,) = rates(0.3)
    mutation = sample(Scripted(tried, new, Program(new.source + "# the same\n")), 3).mutate(PROPOSAL, MIXED)

    assert (mutation.program, mutation.spares) == (new, ())


def test_what_was_left_out_is_never_proposed_again() -> None:
    programs = rates(0.1, 0.2, 0.3)
    first = sample(Scripted(*programs), 3).mutate(PROPOSAL, MIXED)
    trial = Trial(number=len(MIXED.trials), proposal=PROPOSAL, mutation=first)
    population = MIXED.with_trial(trial)

    with pytest.raises(MutationError, match="none of 3 samples is a new program") as failure:
        sample(Scripted(*programs), 3).mutate(PROPOSAL, population)
    assert failure.value.attempt.cost_usd == 1.5
    again = Mutation(program=first.spares[0], operator="constants", description="d")
    refusal = refuse(again, population, Naive(seed=0))
    assert refusal
    assert refusal.reason == f"the same program as one that was made for trial {trial.number} and left out"


def test_a_program_that_cannot_train_is_passed_over() -> None:
    programs = rates(0.1, 0.2, 0.3)
    checked: list[Program] = []

    def only_last(program: Program, _: Population) -> str:
        checked.append(program)
        return "" if program == programs[2] else "no build_model"

    mutation = sample(Scripted(*programs), 3, preflight=only_last).mutate(PROPOSAL, MIXED)
    assert mutation.program == programs[2]
    assert checked[-1] == programs[2], "nothing is checked after it"

    hopeless = sample(Scripted(*programs), 3, preflight=lambda *_: "no").mutate(PROPOSAL, MIXED)
    assert hopeless.program in programs, "the trial records why it cannot train"


def test_constants_are_chosen_by_the_tuner_s_prediction() -> None:
    """The rate of trial n is 0.02 + n / 1000, and higher rates were better."""
    population = make_population(*[2.0 - 0.05 * number for number in range(9)])
    mutation = sample(Scripted(*rates(0.0205, 0.029, 0.0215)), 3, novelty=0.0).mutate(PROPOSAL, population)

    assert mutation.program.constants["MATRIX_LR"] == 0.029


def test_among_changes_of_structure_the_one_least_like_the_others_comes_first() -> None:
    small = Program(SEED_SOURCE.replace("return MATRIX_LR", "return 2 * MATRIX_LR"))
    large = Program(small.source.replace("return DEPTH * vocab_size", "x = DEPTH + 1\n    return x * vocab_size"))
    mutation = sample(Scripted(small, large), 2).mutate(PROPOSAL, MIXED)

    assert (mutation.program, mutation.spares) == (large, (small,))


def test_failures_are_paid_for_and_an_outage_stops_the_search() -> None:
    (new,) = rates(0.3)
    refused = MutationError("no code block", Attempt(cost_usd=0.25))
    assert sample(Scripted(refused, new), 2).mutate(PROPOSAL, MIXED).cost_usd == 0.75
    with pytest.raises(MutationError, match="the last: no code block"):
        sample(Scripted(refused), 1).mutate(PROPOSAL, MIXED)
    with pytest.raises(ProviderError, match="503"):
        sample(Scripted(new, ProviderError("503")), 2).mutate(PROPOSAL, MIXED)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_beside_a_good_sample_is_not_lost_in_its_thread() -> None:
    (new,) = rates(0.3)
    operator = sample(Scripted(new, ZeroDivisionError("a bug")), 2, model=object())

    with pytest.raises(ZeroDivisionError, match="a bug"):
        operator.mutate(PROPOSAL, MIXED)


@pytest.mark.parametrize("settings", [{"n": 0}, {"memory": 0}, {"novelty": -1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        sample(Scripted(), **{"n": 2, **settings})  # type: ignore[arg-type]
