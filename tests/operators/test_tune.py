from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from operators.experience import gather
from operators.population import Population
from operators.prompts.tuner import constants_view
from operators.trial import STUCK, Mutation, Proposal, Status, Trial
from operators.tune import TuneOperator, draw_candidates
from target.evaluation import Evaluation, Outcome
from target.program import Program

SOURCE = """\
LR = 0.01  # knob: 1e-4..1 log
DEPTH = 8  # knob: 2..32 int
WIDTH = 0.5  # knob: 0..1 linear
KIND = 'a'  # knob: a | b | c
"""
TUNE = TuneOperator(candidates=300, memory=100, untried=0.15)


def trial(
    number: int,
    source: str,
    score: float | None,
    *,
    parents: tuple[int, ...] = (0,),
    pending: bool = False,
    failed_seconds: float = 32.0,
) -> Trial:
    outcome = Outcome.OUT_OF_MEMORY if score is None else Outcome.OK
    run = Evaluation(outcome=outcome, seed=0, score=score, train_seconds=failed_seconds if score is None else 300)
    status = Status.DISCARD if score is not None else Status.OUT_OF_MEMORY
    return Trial(
        number=number,
        proposal=Proposal(parents=parents if number else (), seed=number),
        mutation=Mutation(program=Program(source), operator="test", description="test"),
        evaluations=() if pending else (run,),
        status=Status.PENDING if pending else Status.BASELINE if number == 0 else status,
        decided=None if pending else number,
    )


def with_values(**values: object) -> str:
    return Program(SOURCE).with_constants(values).source  # type: ignore[arg-type]


def bowl(program: Program) -> float:
    return 1.0 + (float(program.constants["WIDTH"]) - 0.9) ** 2 + 0.01 * (program.constants["KIND"] != "c")


def search(
    score, *, trials: int, seed: int, failed_seconds: float = 32.0, source: str = SOURCE, tune: TuneOperator = TUNE
) -> Population:
    """Mutate the best so far, one trial after the other."""
    people = Population((trial(0, source, score(Program(source))),))
    for number in range(1, trials):
        best = people.ranked()[0].number
        made = tune.mutate(Proposal(parents=(best,), seed=seed * 1000 + number), people)
        value = score(made.program)
        made_trial = trial(number, made.program.source, value, parents=(best,), failed_seconds=failed_seconds)
        people = people.with_trial(made_trial)
    return people


def test_it_goes_to_the_optimum_of_a_bowl() -> None:
    for seed in range(2):
        best = search(bowl, trials=25, seed=seed).ranked()[0]

        assert bowl(best.program) < 1.01


PARTS = tuple(f"PART_{number}" for number in range(8))


@pytest.mark.parametrize(("untried", "least", "most"), [(0.15, 5, 8), (0.0, 0, 2)])
def test_a_share_of_the_proposals_turns_a_switch_that_no_trial_has_turned(untried, least, most) -> None:
    """Each costs 0.05 but one, which gains as much: to the model, small moves of numbers promise more than that."""
    source = SOURCE + "".join(f"NUMBER_{number} = 1.0\n" for number in range(8)) + " = True\n".join((*PARTS, ""))

    def score(program: Program) -> float:
        turned = [name for name in PARTS if not program.constants[name]]
        return bowl(program) + 0.05 * len(turned) - 0.1 * ("PART_5" in turned)

    tune = TuneOperator(candidates=300, memory=100, untried=untried)
    people = search(score, trials=50, seed=0, source=source, tune=tune)

    assert least <= sum(any(not each.program.constants[name] for each in people.trials) for name in PARTS) <= most


def test_a_choice_that_was_tried_or_is_under_way_is_not_tried_again_for_its_own_sake() -> None:
    tune = TuneOperator(candidates=4, memory=100, untried=1.0)
    people = Population((trial(0, SOURCE, 1.0), trial(1, with_values(KIND="b"), None, pending=True)))
    parts = [tune.mutate(Proposal(parents=(0,), seed=seed), people).program.constants for seed in range(20)]
    assert [(each["KIND"], each["LR"], each["WIDTH"]) for each in parts] == [("c", 0.01, 0.5)] * 20

    people = people.with_trial(trial(2, with_values(KIND="c"), 1.1))
    made = [tune.mutate(Proposal(parents=(0,), seed=seed), people).program.constants for seed in range(20)]
    assert any(each["KIND"] == "a" for each in made), "numbers move again"


def test_it_learns_what_fails_and_leaves_it_alone() -> None:
    people = search(lambda program: None if program.constants["DEPTH"] > 10 else bowl(program), trials=30, seed=0)

    late = people.trials[15:]
    assert sum(not each.scored for each in late) <= 6


def test_regions_of_cheap_failures_are_avoided() -> None:
    def edge(program: Program) -> float | None:
        depth = program.constants["DEPTH"]
        return None if depth > 10 else 1.0 - 0.01 * depth

    people = search(edge, trials=40, seed=0, failed_seconds=0.01)

    late = people.trials[20:]
    assert sum(not each.scored for each in late) <= 6


def test_it_looks_around_other_good_programs_too_but_not_around_bad_ones() -> None:
    good = with_values(WIDTH=0.95, DEPTH=28, KIND="c", LR=0.5)
    bad = with_values(WIDTH=0.5, DEPTH=20, KIND="b", LR=1e-3)
    near = [with_values(WIDTH=0.1, DEPTH=depth) for depth in range(3, 9)]
    people = Population((trial(0, SOURCE, 2.0),))
    for number, source in enumerate([*near, good, bad], start=1):
        score = 1.001 if source == good else 9.0 if source == bad else 1.1 + number
        people = people.with_trial(trial(number, source, score))
    seen = gather(Program(near[0]), people, limit=100)
    drawn = draw_candidates(seen, 4000, np.random.default_rng(0))

    def begun_at(source: str) -> int:
        constants = Program(source).constants
        place = np.array([axis.position(constants[axis.name]) for axis in seen.axes])
        return int(((np.abs(drawn - place) < 1e-9).sum(1) >= 3).sum())

    assert begun_at(near[0]) > 100
    assert begun_at(good) > 30
    assert begun_at(bad) < 10


def test_a_stuck_search_moves_farther() -> None:
    people = search(bowl, trials=10, seed=1)
    best, few = people.ranked()[0], TuneOperator(candidates=4, memory=100, untried=0.0)
    assert best.program is not None
    axes = [axis for axis in gather(best.program, people, limit=100).axes if not axis.choices]  # those have no steps

    def distance(seed: int, **labels: int) -> float:
        made = few.mutate(Proposal(parents=(best.number,), seed=seed, labels=labels), people).program
        places = [[axis.position(each.constants[axis.name]) for axis in axes] for each in (made, best.program)]
        return float(np.abs(np.diff(places, axis=0)).max())

    usual, wide = (sum(distance(seed, **marks) for seed in range(40)) for marks in ({}, {STUCK: 40}))
    assert wide > 1.2 * usual


def test_pending_trials_are_not_proposed_again() -> None:
    people = search(bowl, trials=10, seed=1)
    best = people.ranked()[0].number
    asked = []
    for seed in range(4):
        made = TUNE.mutate(Proposal(parents=(best,), seed=seed), people)
        asked.append(made.program.id)
        people = people.with_trial(trial(len(people.trials), made.program.source, None, parents=(best,), pending=True))

    assert len(set(asked)) == 4
    assert len(gather(people.trials[best].program, people, limit=100).seen) == 14  # the pending ones count


def test_a_new_skeleton_begins_with_what_its_parent_skeleton_taught() -> None:
    people = search(bowl, trials=20, seed=2)
    child = people.ranked()[0].program.source + "\n\ndef more():\n    return 1\n"
    number = len(people.trials)
    people = people.with_trial(trial(number, child, 0.95, parents=(people.ranked()[0].number,)))
    experience = gather(people.trials[number].program, people, limit=100)

    assert [each.foreign for each in experience.seen].count(False) == 1
    assert [each.foreign for each in experience.seen].count(True) == 20


def test_the_limit_keeps_the_best_trials_and_the_latest() -> None:
    people = search(bowl, trials=16, seed=3)
    experience = gather(Program(SOURCE), people, limit=10)
    kept = {each.score for each in experience.scored}

    assert len(experience.seen) == 10
    assert people.scores[people.ranked()[0].number] in kept
    assert people.scores[15] in kept


def test_values_stay_within_the_knobs() -> None:
    people = search(lambda program: random.Random(program.id).uniform(1, 2), trials=20, seed=4)

    for each in people.trials:
        constants = each.program.constants
        assert 1e-4 <= constants["LR"] <= 1
        assert 2 <= constants["DEPTH"] <= 32
        assert isinstance(constants["DEPTH"], int)
        assert constants["KIND"] in ("a", "b", "c")


def test_a_diverged_trial_does_not_spoil_its_model() -> None:
    people = search(bowl, trials=8, seed=5)
    people = people.with_trial(trial(8, with_values(LR=0.9), 1e6))
    best = people.ranked()[0].number
    made = TUNE.mutate(Proposal(parents=(best,), seed=1), people)

    assert bowl(made.program) < 1.3


def test_the_view_names_what_matters_first() -> None:
    people = search(bowl, trials=25, seed=6)
    best = people.ranked()[0]
    view = constants_view(people, best)

    assert view[0].startswith("WIDTH = ")
    assert len(view) == 4
    assert constants_view(Population(people.trials[:3]), people.trials[0]) == []
    assert constants_view(people, replace(best, mutation=None)) == []


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="candidates must be at least 1"):
        TuneOperator(candidates=0, memory=100, untried=0.15)
    with pytest.raises(ValueError, match="untried from 0 to 1"):
        TuneOperator(candidates=4, memory=100, untried=1.5)
