"""The properties of strategies that keep several lineages or divide their trials."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from operators.population import Population
from operators.prompts.history import companions
from operators.trial import Mutation, Proposal, Status, Trial
from search.strategies.anneal import Anneal
from search.strategies.base import Strategy
from search.strategies.descriptors import DESCRIPTORS
from search.strategies.hybrid import Hybrid
from search.strategies.islands import Islands
from search.strategies.map_elites import MapElites
from search.strategies.tree import Tree
from search.stuck import Action, StuckSettings
from target.program import Program
from tests.contracts.test_strategy import HUNDRED, MIXED, ask, baseline, decided, drive, imported, pending
from tests.search.builders import make_evaluation

HYBRID = Hybrid(least=0.1, memory=20, young=0.5, trials=3)
TREE = Tree(drafts=3, exploration=0.1, widening=1, exponent=0.4, repair=None, repair_probability=0.5)
ANNEAL = Anneal(start=0.5, end=0.02, verdicts=50, patience=10)


def island_of(population: Population, number: int) -> int:
    return int(population.trials[number].proposal.labels.get("island", -1))


def test_islands_stay_apart_until_a_migration_and_exchange_after_it() -> None:
    population = drive(Islands(islands=3, interval=15, tournament_size=2), HUNDRED)
    crossings = [
        trial.number
        for trial in population.trials[1:]
        if trial.proposal.parents != (0,)
        and island_of(population, trial.proposal.parents[0]) != island_of(population, trial.number)
    ]

    assert crossings
    assert min(crossings) > 15
    assert Counter(island_of(population, number) for number in range(1, 100)) == {0: 33, 1: 33, 2: 33}


def test_no_prompt_is_a_way_around_the_migration() -> None:
    islands = Islands(islands=2, interval=100, tournament_size=2)
    population = drive(islands, [1.9, 1.5, 1.8, 1.7])  # islands 0, 1, 0, 1
    proposal = ask(islands, population, 0)

    named = {trial.number for trial in companions(proposal, population)}
    assert named == {0, 1, 3} - set(proposal.parents), "trials 2 and 4 are better, and live elsewhere"


def test_the_best_of_an_island_emigrates_along_the_ring() -> None:
    islands = Islands(islands=2, interval=4, tournament_size=200)
    population = drive(islands, [1.9, 1.5, 1.8, 1.7])  # islands 0, 1, 0, 1: the best of 1 is trial 2
    parents = {ask(islands, population, seed).parents[0] for seed in range(10)}

    assert parents == {2}  # on island 0, whose turn it is


def test_what_another_search_found_is_dealt_out_to_the_islands() -> None:
    population = imported(measured=True)
    scored = [trial.number for trial in population.decided if trial.scored and trial.number]
    islands = Islands(islands=3, interval=100, tournament_size=1)

    found = [ask_for(islands, population, island) for island in range(3)]
    assert found == [{0, *scored[island::3]} for island in range(3)]


def ask_for(islands: Islands, population: Population, island: int) -> set[int]:
    """Return the members of an island: whom its prompts may draw on, and the parent."""
    for _ in range(island):
        population = population.with_trial(pending(population, ask(islands, population, 0)))
    proposal = ask(islands, population, 0)
    assert proposal.labels["island"] == island
    return {trial.number for trial in companions(proposal, population)} | set(proposal.parents)


def test_an_island_alone_is_a_tournament() -> None:
    population = drive(Islands(islands=1, interval=5, tournament_size=50), [1.9, 1.2, 1.5])

    assert ask(Islands(islands=1, interval=5, tournament_size=50), population, 0).parents == (2,)


def test_every_kind_has_its_elite_and_all_of_them_are_parents() -> None:
    elites = MapElites(descriptors=["depth"], bins=4)
    population = baseline()
    for depth, score in [(2, 1.5), (2, 1.4), (8, 1.8), (8, 1.9), (32, 1.7)]:
        number = len(population.trials)
        program = Program(f"DEPTH = {depth}\nN = {number}\n")
        trial = Trial(
            number=number,
            proposal=Proposal(parents=(0,), seed=number),
            mutation=Mutation(program=program, operator="test", description="test"),
        )
        population = population.with_trial(decided(trial, score, population))

    assert {trial.number for trial in elites.elites(population)} >= {2, 3, 5}
    assert 4 not in {trial.number for trial in elites.elites(population)}  # trial 3 is of its kind, and better
    assert {ask(elites, population, seed).parents[0] for seed in range(60)} >= {2, 3, 5}


def test_descriptors_tell_programs_apart_and_survive_what_is_not_known() -> None:
    population = baseline()
    source = "DEPTH = 6\nN_HEADS = 2\nx = 1\n"
    mutation = Mutation(program=Program(source), operator="test", description="test")
    run = replace(make_evaluation(1.0), n_parameters=1024)
    trial = Trial(
        number=1,
        proposal=Proposal(parents=(0,), seed=0),
        mutation=mutation,
        evaluations=(run,),
        status=Status.KEEP,
        decided=1,
    )

    assert DESCRIPTORS["depth"](trial, population) == 6
    assert DESCRIPTORS["parameters"](trial, population) == 10
    assert DESCRIPTORS["throughput"](trial, population) == pytest.approx(len(run.curve) / run.train_seconds)
    assert DESCRIPTORS["edit_distance"](trial, population) == 3
    bare = replace(trial, mutation=None, evaluations=())
    assert [describe(bare, population) for describe in DESCRIPTORS.values()] == [0, 0, 0, 0]


def test_a_tree_first_drafts_and_then_widens_where_it_is_good() -> None:
    population = drive(TREE, HUNDRED)
    children = Counter(trial.proposal.parents[0] for trial in population.trials[1:])

    assert [trial.proposal.parents for trial in population.trials[1:4]] == [(0,)] * 3
    assert len(children) > 20  # it goes down instead of staying at the top
    assert max(children.values()) < 10  # and no node has children without end


def test_a_tree_asks_for_a_repair_of_what_failed() -> None:
    mend = Tree(drafts=2, exploration=0.1, widening=1, exponent=0.4, repair="repair", repair_probability=1.0)
    population = drive(mend, [None])

    assert population.trials[1].proposal.operator is None
    assert ask(mend, population, 0).operator == "repair"
    assert ask(TREE, population, 0).operator is None


def test_annealing_takes_steps_back_when_hot_and_none_when_cold() -> None:
    scores = [2 - 0.01 * n + (0.05 if n % 2 else 0) for n in range(40)]
    hot, cold = (Anneal(start=heat, end=heat, verdicts=50, patience=50) for heat in (5.0, 1e-6))

    def worse_parents(strategy: Strategy) -> int:
        population = drive(strategy, scores)
        found = 0
        for trial in population.trials[2:]:
            before = [population.scores[n] for n in range(trial.number)]
            found += population.scores[trial.proposal.parents[0]] > min(before)
        return found

    assert worse_parents(cold) == 0
    assert worse_parents(hot) > 5


def test_annealing_returns_to_the_best_after_its_patience() -> None:
    population = drive(Anneal(start=1e9, end=1e9, verdicts=50, patience=3), [1.0, 1.9, 1.9, 1.9])

    assert ask(Anneal(start=1e9, end=1e9, verdicts=50, patience=3), population, 0).parents == (1,)


@pytest.mark.parametrize("strategy", [TREE, ANNEAL, HYBRID, MapElites(descriptors=["depth", "edit_distance"], bins=2)])
def test_proposals_do_not_depend_on_the_scale_of_scores(strategy: Strategy) -> None:
    """Bonus, temperature and shares are in units of the scores: a thousandth of every difference changes nothing."""
    small = [None if score is None else 2 + (score - 2) / 1024 for score in MIXED]

    def made(scores: list[float | None]) -> list[Proposal]:
        return [trial.proposal for trial in drive(strategy, scores).trials]

    assert made(small) == made(MIXED)


def structured(arms: list[tuple[str, float | None]], *, new_skeletons: bool) -> Population:
    """Return a population of trials by arm and score; each structure trial has another skeleton, or none has."""
    population = baseline()
    for number, (arm, score) in enumerate(arms, start=1):
        body = f"def f{number}():\n    return 1\n" if new_skeletons and arm == "structure" else ""
        mutation = Mutation(program=Program(f"N = {number}\n{body}"), operator=arm, description="test")
        proposal = Proposal(parents=(0,), seed=number, labels={"arm": arm})
        trial = Trial(number=number, proposal=proposal, mutation=mutation)
        verdict = decided(trial, score, population)
        runs = tuple(replace(run, train_seconds=300.0) for run in verdict.evaluations)
        population = population.with_trial(replace(verdict, evaluations=runs))
    return population


def test_the_arm_that_gains_more_gets_more() -> None:
    gains = [("structure", 1.9 - 0.05 * n) if n % 2 else ("tune", 1.99) for n in range(10)]
    losses = [("tune", 1.9 - 0.05 * n) if n % 2 else ("structure", 1.99) for n in range(10)]

    assert HYBRID.tune_share(structured(gains, new_skeletons=True)) < 0.35
    assert HYBRID.tune_share(structured(losses, new_skeletons=True)) > 0.65
    assert HYBRID.tune_share(structured(gains * 4, new_skeletons=True)) >= 0.1


def test_no_arm_has_the_gain_of_another_search() -> None:
    alone = [("structure", 1.19), ("tune", 1.18), ("structure", 1.17), ("tune", 1.16)]
    begun = structured([("greedy", 1.2)] * 30 + alone, new_skeletons=True)
    own = structured([("greedy", 1.2), *alone], new_skeletons=True)

    assert HYBRID.tune_share(own) == pytest.approx(0.5, abs=0.1)
    assert HYBRID.tune_share(begun) == pytest.approx(HYBRID.tune_share(own))


def test_an_operator_that_only_changes_constants_is_an_exception() -> None:
    gains = [("structure", 1.9 - 0.05 * n) for n in range(6)]

    assert HYBRID.tune_share(structured(gains, new_skeletons=False)) == 0.9
    assert HYBRID.tune_share(structured(gains, new_skeletons=True)) < 0.9


def test_a_promising_new_skeleton_is_tuned_before_it_is_judged() -> None:
    always = Hybrid(least=0.0, memory=20, young=1.0, trials=3)
    population = structured([("tune", 1.5), ("tune", 1.9), ("structure", 1.6), ("tune", 1.95)], new_skeletons=True)
    asked = [ask(always, population, seed) for seed in range(30)]

    assert {proposal.parents for proposal in asked if proposal.operator == "tune"} == {(3,)}
    assert {proposal.parents for proposal in asked if proposal.operator is None} == {(1,)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Islands(islands=0, interval=1, tournament_size=1), "must be at least 1, got 0, 1 and 1"),
        (lambda: Anneal(start=0, end=1, verdicts=1, patience=1), "start and end must be above 0"),
        (lambda: MapElites(descriptors=["colour"], bins=2), "descriptors must be some of parameters"),
        (lambda: Hybrid(least=0.6, memory=1, young=0, trials=1), "least must be from 0 to 0.5"),
        (
            lambda: Tree(drafts=1, exploration=0, widening=0, exponent=0.5, repair=None, repair_probability=0),
            "widening above 0",
        ),
    ],
)
def test_what_is_out_of_range_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_islands_of_a_stuck_search_draw_companions_from_all_islands() -> None:
    islands = Islands(islands=2, interval=100, tournament_size=50)
    population = drive(islands, [1.9, 1.5, 1.8, 1.7])  # islands 0, 1, 0, 1: the best lives on 1
    proposal = islands.ask_wider(population, random.Random(0))

    assert islands.ask(population, random.Random(0)).parents == (3,)
    assert (proposal.labels["island"], proposal.parents) == (0, (2,))
    assert {trial.number for trial in companions(proposal, population)} == {0, 1, 3, 4}


def test_stuck_annealing_is_hot_again_and_cold_after_the_next_keep() -> None:
    cold = Anneal(start=1e6, end=1e-6, verdicts=1, patience=50)
    widened = StuckSettings(trials=2, action=Action.WIDEN).strategy(cold)
    population = drive(widened, [1.0, 1.9, 1.9, 1.8])  # trial 4 is marked

    assert [trial.proposal.stuck for trial in population.trials] == [0, 0, 0, 0, 2]
    assert ask(cold, drive(cold, [1.0, 1.9, 1.9, 1.8]), 0).parents == (1,), "it is cold"
    assert ask(widened, population, 0).parents == (4,)
    kept = population
    for score in (0.9, 1.5):
        kept = kept.with_trial(pending(kept, ask(widened, kept, 0)))
        kept = kept.with_trial(decided(kept.pending[-1], score, kept))
    assert ask(widened, kept, 0).parents == (5,)


def test_the_stuck_hybrid_works_on_the_best_few() -> None:
    population = structured([("tune", 1.5), ("tune", 1.9), ("structure", 1.6), ("tune", 1.95)], new_skeletons=True)
    asked = [HYBRID.ask_wider(population, random.Random(seed)) for seed in range(60)]

    for operator in ("tune", None):
        assert {each.parents[0] for each in asked if each.operator == operator} == {1, 2, 3, 4}
