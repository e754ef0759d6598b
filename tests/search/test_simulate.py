from __future__ import annotations

from dataclasses import replace

import pytest

from operators.base import MutationError
from operators.constants import ConstantsOperator
from operators.trial import Mutation, Status
from search.acceptance import Confirm
from search.budget import Budget
from search.champions import reigns
from search.settings import Settings
from search.simulate import simulate
from search.strategies.greedy import Greedy
from search.stuck import Stopping
from target.simulated.landscape import Landscape
from target.simulated.target import SimulatedExecutor


def settings(landscape: Landscape, seed: int) -> Settings:
    return Settings(
        name="simulated",
        strategy_name="greedy",
        seed=seed,
        seed_program=landscape.seed_program(),
        strategy=Greedy(),
        operator=ConstantsOperator(max_changes=3, step=0.5),
        acceptance=Confirm(seed=seed),
        budget=Budget(hours=1),
        propose_ahead=0,
        max_failures=50,
    )


def test_a_day_of_training_is_charged_and_the_champions_get_better() -> None:
    landscape = Landscape(seed=0)
    run = simulate(settings(landscape, 0), landscape.evaluate, hours=10)
    seconds = sum(each.train_seconds for trial in run.population.trials for each in trial.evaluations)

    assert 10 <= run.hours < 10.1
    assert run.hours == pytest.approx(seconds / 3600, abs=0.05)
    assert len(run.finished) == run.population.trainings
    assert len(list(reigns(run.population))) > 3
    assert len(run.decided) == len(run.population.decided)
    assert run.decided == sorted(run.decided)
    assert landscape.truth(run.population.champion.program) < landscape.truth(landscape.seed_program()) - 0.003


def test_an_operator_that_has_used_up_what_it_can_make_ends_it() -> None:
    landscape = Landscape(seed=0)

    class Exhausted:
        name = "exhausted"

        def mutate(self, proposal, population):
            raise MutationError("there is nothing left")

    run = simulate(replace(settings(landscape, 0), operator=Exhausted()), landscape.evaluate, hours=24)

    assert len(run.population.trials) == 1 + 50
    assert run.hours < 1


def test_the_seed_determines_it() -> None:
    landscape = Landscape(seed=0)
    first, again, other = (simulate(settings(landscape, seed), landscape.evaluate, hours=2) for seed in (0, 0, 1))

    assert first == again
    assert first.population != other.population


def test_a_search_goes_on_from_where_it_was_in_more_than_one_way() -> None:
    landscape = Landscape(seed=0)
    whole, half = (simulate(settings(landscape, 0), landscape.evaluate, hours=hours) for hours in (2, 1))
    begun = half.copy()

    assert simulate(settings(landscape, 0), landscape.evaluate, hours=2, begun=half) == whole
    assert half == begun


def test_a_strategy_that_proposes_nothing_more_ends_it() -> None:
    landscape = Landscape(seed=0)
    stopping = replace(settings(landscape, 0), strategy=Stopping(Greedy(), trials=5))
    run = simulate(stopping, landscape.evaluate, hours=24)

    assert run.hours < 24
    assert len(run.population.since_keep) == 5


class Few:
    """Makes a handful of programs, again and again."""

    name = "few"

    def mutate(self, proposal, population):
        program = population.trials[0].program
        name, value = next(each for each in program.constants.items() if isinstance(each[1], float))
        changed = program.with_constants({name: value * (1 + 0.1 * (proposal.seed % 6 - 3 or 3))})
        return Mutation(program=changed, operator=self.name, description="one of a few")


@pytest.mark.parametrize(("operator", "repeats"), [(ConstantsOperator(max_changes=3, step=0.5), False), (Few(), True)])
def test_it_decides_as_the_real_loop_does(tmp_path, operator, repeats) -> None:
    """One slot, the same settings: the same proposals, trainings and verdicts, from threads and a ledger or without."""
    from search.loop import Loop
    from search.runs.ledger import Ledger
    from search.runs.rundir import RunDirectory
    from tests.search.scripted import ScriptedExecutor, ScriptedObserver

    landscape = Landscape(seed=0)
    made = replace(settings(landscape, 3), operator=operator)
    simulated = simulate(made, landscape.evaluate, hours=2)
    n_trainings = simulated.population.trainings
    run = RunDirectory(tmp_path / "run")
    run.create()
    executor = SimulatedExecutor(landscape, slots=1)
    executor.start()
    ledger = Ledger(run)
    observer = ScriptedObserver(ScriptedExecutor(lambda program, seed: None))
    real_settings = replace(made, budget=Budget(trainings=n_trainings))
    Loop(real_settings, run=run, ledger=ledger, executor=executor, observer=observer, tick_seconds=0.01).run()

    ours = [trial for trial in simulated.population.trials if trial.decided is not None]
    theirs = ledger.population.trials[: len(ours)]
    ours = ours[: len(theirs)]  # trials without a training do not end with a budget of trainings
    assert len(ours) > 10
    assert [trial.mutation and trial.mutation.program.id for trial in ours] == [
        trial.mutation and trial.mutation.program.id for trial in theirs
    ]
    assert [trial.status for trial in ours] == [trial.status for trial in theirs]
    assert [len(trial.evaluations) for trial in ours] == [len(trial.evaluations) for trial in theirs]
    assert any(trial.status is Status.KEEP for trial in ours)
    twins = [trial for trial in ours if trial.detail.startswith("the same program as")]
    assert bool(twins) == repeats
    if repeats:  # programs that were proposed again were trained again, on a seed of their own
        assert any(len(trial.evaluations) > 1 for trial in ours if trial.status is Status.DISCARD)


def test_a_seed_program_that_fails_is_an_error() -> None:
    landscape = Landscape(seed=0)
    broken = settings(landscape, 0)
    object.__setattr__(broken, "seed_program", landscape.seed_program().with_constants({"WIDTH": 2048}))
    with pytest.raises(RuntimeError, match="the seed program does not score: out_of_memory"):
        simulate(broken, landscape.evaluate, hours=1)
