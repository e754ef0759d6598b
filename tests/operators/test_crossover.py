from __future__ import annotations

from dataclasses import replace

import pytest

from operators.base import MutationError
from operators.crossover import CrossoverOperator, degenerate
from operators.direct import DirectOperator
from operators.population import Population
from operators.trial import Proposal, Status, Trial
from tests.operators.scripted_model import ScriptedModel, make_prompt, make_resources, obliging
from tests.search.builders import make_trial


def family(*more: Trial) -> Population:
    """Return the seed program 0, its children 1 and 2, and 3, a child of 2."""
    trials = (
        make_trial(0, 2.0, status=Status.BASELINE),
        make_trial(1, 1.8, status=Status.KEEP, description="one thing"),
        make_trial(2, 1.9, status=Status.DISCARD, description="another thing"),
        make_trial(3, 1.85, status=Status.DISCARD, parents=(2,), description="a third thing"),
    )
    return Population((*trials, *more))


def crossed(number: int, *pair: int, chosen: tuple[int, ...] = ()) -> Trial:
    trial = make_trial(number, 1.95, status=Status.DISCARD, parents=pair)
    assert trial.mutation is not None
    return replace(trial, mutation=replace(trial.mutation, operator="crossover", extra_parents=chosen))


def make_crossover() -> tuple[CrossoverOperator, ScriptedModel]:
    model = ScriptedModel(obliging)
    resources = make_resources(model)
    fallback = DirectOperator(answer="patch", prompt=make_prompt(), attempts=1, resources=resources)
    return CrossoverOperator(prompt=make_prompt(), attempts=1, fallback=fallback, resources=resources), model


def test_the_model_sees_both_programs_and_what_each_did_well() -> None:
    operator, model = make_crossover()
    mutation = operator.mutate(Proposal(parents=(1, 3), seed=0), family())

    task = model.asked[0][1].text
    people = family()
    for number in (1, 3):
        program = people.trials[number].program
        assert program is not None
        assert program.source.strip() in task
    assert "#1 one thing: val_bpb 1.8000 (-0.2000 against its parent)" in task
    assert "#3 a third thing: val_bpb 1.8500 (-0.0500 against its parent)\n- #2 another thing" in task
    assert mutation.operator == "crossover"
    assert mutation.extra_parents == (), "both are the strategy's"


def test_a_second_parent_is_chosen_by_seed_among_those_that_are_no_relatives() -> None:
    operator, _ = make_crossover()
    chosen = [operator.mutate(Proposal(parents=(1,), seed=seed), family()).extra_parents for seed in range(20)]

    assert set(chosen) == {(2,), (3,)}
    assert chosen.count((3,)) > chosen.count((2,)), "the better one more often"
    again = [operator.mutate(Proposal(parents=(1,), seed=seed), family()).extra_parents for seed in range(20)]
    assert chosen == again


def test_a_strategy_that_names_companions_decides_who_can_be_chosen() -> None:
    operator, model = make_crossover()
    for named, chosen in (((2,), {(2,)}), ((0, 2), {(2,)}), ((), {()}), ((0,), {()})):  # 0 is an ancestor
        proposals = [Proposal(parents=(1,), seed=seed, companions=named) for seed in range(9)]
        assert {operator.mutate(proposal, family()).extra_parents for proposal in proposals} == chosen
    assert "# The other program" not in model.asked[-1][1].text


@pytest.mark.parametrize(
    ("pair", "more", "reason"),
    [
        ((3, 2), (), "one descends from the other"),
        ((0, 1), (), "one descends from the other"),
        ((1, 1), (), "the same program"),
        ((1, 3), (crossed(4, 3, 1),), "trial 4 has done it"),
        ((3, 1), (crossed(4, 1, chosen=(3,)),), "trial 4 has done it"),
        ((4, 3), (crossed(4, 1, chosen=(3,)),), "one descends from the other"),
    ],
)
def test_a_degenerate_pair_is_refused(pair: tuple[int, int], more: tuple[Trial, ...], reason: str) -> None:
    operator, model = make_crossover()
    with pytest.raises(MutationError, match=reason):
        operator.mutate(Proposal(parents=pair, seed=0), family(*more))

    assert not model.asked, "it costs nothing"


def test_the_same_program_in_two_trials_is_degenerate() -> None:
    people = family()
    twin = replace(people.trials[3], mutation=people.trials[1].mutation)

    assert degenerate(people.trials[1], twin, people) == "they have the same program"


def test_without_a_second_program_the_fallback_works() -> None:
    operator, _ = make_crossover()
    mutation = operator.mutate(Proposal(parents=(0,), seed=0), family())

    assert mutation.operator == "crossover/patch", "all descend from the seed program"
