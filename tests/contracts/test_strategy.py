"""The contract of every strategy in `conf/strategy/*.yaml`."""

from __future__ import annotations

import copy
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import conf
from operators.population import Population
from operators.prompts.history import companions
from operators.trial import IMPORTED, Mutation, Proposal, Status, Trial
from search.strategies.base import Strategy
from search.strategies.greedy import Greedy
from target.evaluation import Evaluation, Outcome
from target.program import Program

STRATEGIES = sorted((Path(conf.__file__).parent / "strategy").glob("*.yaml"))

MIXED = [1.9, None, 1.7, 1.8, None, 1.6, 1.65, None, 1.62, 1.5, 1.55, None, None, 1.49, 1.48, 1.7, 1.47, 1.3, None, 1.4]
ALL_FAILED = [None] * 20
HUNDRED = [None if n % 7 == 3 else 2 - n / 100 + 0.1 * math.sin(9 * n) for n in range(100)]


@pytest.fixture(params=STRATEGIES, ids=lambda path: path.stem)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    config = OmegaConf.create({"strategy": OmegaConf.load(request.param), "seed": 0})
    return instantiate(config.strategy)


def ask(strategy: Strategy, population: Population, seed: int) -> Proposal:
    return strategy.ask(population, random.Random(f"{seed} {len(population.trials)}"))


def pending(population: Population, proposal: Proposal) -> Trial:
    number = len(population.trials)
    mutation = Mutation(program=Program(f"N = {number}\n"), operator="test", description=f"program {number}")
    return Trial(number=number, proposal=proposal, mutation=mutation)


def decided(trial: Trial, score: float | None, population: Population) -> Trial:
    champion = population.champion
    outcome = Outcome.CRASHED if score is None else Outcome.OK
    status = Status.CRASHED
    if score is not None:
        best = champion.score if champion else None
        status = Status.BASELINE if best is None else Status.KEEP if score < best else Status.DISCARD
    return Trial(
        number=trial.number,
        proposal=trial.proposal,
        mutation=trial.mutation,
        evaluations=(Evaluation(outcome=outcome, seed=0, score=score),),
        status=status,
        decided=len(population.decided),
    )


def baseline() -> Population:
    trial = pending(Population(), Proposal(parents=(), seed=0))
    return Population((decided(trial, 2.0, Population()),))


def drive(strategy: Strategy, scores: list[float | None], seed: int = 0, slots: int = 1) -> Population:
    """Run a strategy with `slots` trials under way, the youngest of them decided first."""
    population = baseline()
    for score in scores:
        while len(population.pending) < slots:
            population = population.with_trial(pending(population, ask(strategy, population, seed)))
        population = population.with_trial(decided(population.pending[-1], score, population))
    return population


def proposals(population: Population) -> list[Proposal]:
    return [trial.proposal for trial in population.trials]


@pytest.mark.parametrize("seed", [0, 7])  # 0 is a seed like any other
def test_the_seed_and_the_history_determine_the_proposals(strategy: Strategy, seed: int) -> None:
    first, again = (drive(strategy, MIXED, seed) for _ in range(2))

    assert proposals(first) == proposals(again)
    assert proposals(first) != proposals(drive(strategy, MIXED, seed + 1))


def test_it_keeps_no_state_between_calls(strategy: Strategy) -> None:
    fresh = copy.deepcopy(strategy)
    population = drive(strategy, MIXED)

    for cut in range(1, len(population.trials)):
        known = Population(population.trials[:cut])
        assert ask(fresh, known, 0) == population.trials[cut].proposal  # resumed from any point of the ledger


def test_it_draws_nothing_from_global_randomness(strategy: Strategy) -> None:
    random.seed(1)
    before = random.getstate()
    drive(strategy, MIXED)

    assert random.getstate() == before


@pytest.mark.parametrize("slots", [1, 3, 8])
@pytest.mark.parametrize("scores", [MIXED, ALL_FAILED, HUNDRED], ids=["mixed", "all failed", "hundred"])
def test_parents_are_earlier_trials_with_a_score(strategy: Strategy, scores: list[float | None], slots: int) -> None:
    population = baseline()
    for score in scores:
        while len(population.pending) < slots:
            proposal = ask(strategy, population, 0)
            assert proposal.parents
            assert all(population.trials[parent].scored for parent in proposal.parents)
            assert all(trial.scored for trial in companions(proposal, population))
            population = population.with_trial(pending(population, proposal))
        population = population.with_trial(decided(population.pending[-1], score, population))


def test_pending_proposals_are_not_repeated(strategy: Strategy) -> None:
    population = drive(strategy, MIXED)
    asked = []
    for _ in range(8):
        asked.append(ask(strategy, population, 0))
        population = population.with_trial(pending(population, asked[-1]))

    assert len({proposal.seed for proposal in asked}) == len(asked)


def test_the_population_is_left_as_it_was(strategy: Strategy) -> None:
    population = drive(strategy, MIXED)
    before = copy.deepcopy(population)
    ask(strategy, population, 0)

    assert population == before


def test_labels_survive_the_ledger(strategy: Strategy) -> None:
    for proposal in proposals(drive(strategy, MIXED)):
        assert all(isinstance(value, int | float | str) for value in proposal.labels.values())


def direction(strategy: Strategy, program_score: Callable[[Program], float | None], seed: int) -> Population:
    """Run a strategy with one slot and an operator that only knows how to add 1 to a number or take 1 away."""
    population = baseline()
    for _ in range(60):
        proposal = ask(strategy, population, seed)
        parent = population.trials[proposal.parents[0]].program
        assert parent is not None
        step = random.Random(proposal.seed).choice((-1, 1))
        number = len(population.trials)
        program = Program(f"N = {parent.constants['N'] + step}\nTRIAL = {number}\n")
        mutation = Mutation(program=program, operator="test", description="one step")
        trial = Trial(number=number, proposal=proposal, mutation=mutation)
        population = population.with_trial(trial)
        population = population.with_trial(decided(trial, program_score(program), population))
    return population


CONTROL = {"random"}  # best of n: it mutates the seed program and nothing else, which is its point


def test_it_follows_the_only_direction_that_improves(strategy: Strategy, request: pytest.FixtureRequest) -> None:
    """Every step up in N is better, every step down worse; a strategy that follows scores gets far in 60 trials."""
    name = request.node.callspec.params["strategy"].stem
    reached = []
    for seed in range(3):
        population = direction(strategy, lambda program: 2 - program.constants["N"] / 100, seed)
        reached.append(max(trial.program.constants["N"] for trial in population.trials if trial.program))

    assert max(reached) == 1 if name in CONTROL else min(reached) >= 6


def test_the_worst_is_never_preferred(strategy: Strategy, request: pytest.FixtureRequest) -> None:
    """The worst trial is not the most frequent parent, however the scores lie."""
    name = request.node.callspec.params["strategy"].stem
    for seed in range(3):
        population = direction(strategy, lambda program: 2 - program.constants["N"] / 100, seed)
        worst = population.ranked()[-1].number
        parents = Counter(ask(strategy, population, draw).parents[0] for draw in range(seed * 1000, seed * 1000 + 40))
        best = min(parents, key=lambda number: population.scores[number])

        assert name in CONTROL or parents[worst] <= parents[best] or worst == best
        assert name in CONTROL or parents[worst] <= 8


@pytest.mark.parametrize("scores", [ALL_FAILED, [2.0] * 40], ids=["all failed", "all equal"])
def test_it_goes_on_where_all_trials_failed_or_scored_the_same(strategy: Strategy, scores: list[float | None]) -> None:
    population = drive(strategy, scores)

    assert len(population.decided) == len(scores) + 1
    assert ask(strategy, population, 1).parents


def imported(*, measured: bool) -> Population:
    """Return what another strategy found, as a search begins with it: with its scores, or with the champion's alone."""
    found = drive(Greedy(), MIXED)
    asked = [replace(trial.proposal, labels={IMPORTED: f"a#{trial.number}"}) for trial in found.trials]
    trials = [replace(trial, proposal=proposal) for trial, proposal in zip(found.trials, asked, strict=True)]
    if measured:
        return Population(tuple(trials))
    assert found.champion is not None
    order = sorted(trials, key=lambda trial: trial.number in (0, found.champion.number))  # what is only known is first
    for rank, trial in enumerate(order):
        known = replace(trial, decided=rank)
        if trial.number not in (0, found.champion.number):
            known = replace(known, status=Status.UNMEASURED, evaluations=())
        trials[trial.number] = known
    return Population(tuple(trials))


@pytest.mark.parametrize("measured", [True, False], ids=["with scores", "programs only"])
def test_it_goes_on_from_what_another_search_found(
    strategy: Strategy, measured: bool, request: pytest.FixtureRequest
) -> None:
    population = imported(measured=measured)
    assert population.champion is not None
    best, parents = population.champion.number, list[int]()
    for score in HUNDRED[:40]:
        while len(population.pending) < 3:
            proposal = ask(strategy, population, 0)
            assert all(population.trials[parent].scored for parent in proposal.parents)
            assert all(trial.scored for trial in companions(proposal, population))
            parents += proposal.parents
            population = population.with_trial(pending(population, proposal))
        population = population.with_trial(decided(population.pending[-1], score, population))

    if request.node.callspec.params["strategy"].stem not in CONTROL:
        assert best in parents
        assert parents[:12].count(0) <= 6, "it does not begin at the seed program again"
