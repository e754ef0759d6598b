"""`acceptance.prefer`: of two programs that are about as good, the preferable one wins, and its score stays close."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from scipy.stats import t

from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search.acceptance import Acceptance, Confirm, Measure, Naive, Verdict, training_seed
from search.decisions import next_step
from search.errors import SeedProgramError
from search.prompt.__main__ import show_prompt
from search.report import render_report
from search.results import Result
from search.runs.ledger import Ledger
from search.runs.reading import Elapsed, read_population
from search.runs.rundir import RunDirectory
from search.ties import sentences
from target.evaluation import Evaluation, Outcome
from target.program import Program
from tests.search.bench import Bench, check
from tests.search.builders import SEED_SOURCE, make_summary, make_trial
from tests.search.command import QUIET, assert_clean_failure, run
from tests.search.test_gates import Measuring

A, B = (training_seed(0, index) for index in range(2))


def rule(prefer: str = "smaller", *, limit: float | None = 0.1, samples: int = 6) -> Confirm:
    return Confirm(seed=0, rotate=False, prefer=prefer, prefer_bpb=limit, prefer_samples=samples)


def trained(
    number: int, values: dict[int, float | None], *, size: int | None = 1000, status: Status | None = None
) -> Trial:
    """Return a trial with these scores by seed; None is a crash."""
    runs = tuple(
        Evaluation(outcome=Outcome.CRASHED, seed=seed)
        if value is None
        else Evaluation(outcome=Outcome.OK, seed=seed, score=value, n_parameters=size, train_seconds=(size or 0) / 10)
        for seed, value in values.items()
    )
    trial = replace(make_trial(number, status=Status.PENDING), evaluations=runs)
    return replace(trial, status=status, decided=number) if status else trial


def step(trials: list[Trial], by: Acceptance) -> Measure | Verdict:
    """Return what the last trial needs next."""
    return next_step(trials[-1], Population(tuple(trials)), by)


def both(value: float) -> dict[int, float | None]:
    return {A: value, B: value}


BASELINE = trained(0, both(2.0), status=Status.BASELINE)


@pytest.mark.parametrize(
    ("score", "size", "status"),
    [
        (1.95, 1200, Status.DISCARD),  # a gain within the limit is not worth the size
        (1.85, 1200, Status.KEEP),  # one beyond it is
        (1.95, 1000, Status.KEEP),  # without a difference in size, the better score wins as ever
        (1.95, 1005, Status.KEEP),  # half a percent is no difference
        (1.95, 800, Status.KEEP),
        (2.05, 800, Status.KEEP),  # a loss within the limit is worth the size
        (2.0, 800, Status.KEEP),
        (2.15, 800, Status.DISCARD),  # one beyond it is not
        (2.05, 1000, Status.DISCARD),
        (2.05, 1200, Status.DISCARD),
        (1.95, None, Status.DISCARD),  # what is not measured is not preferred
    ],
)
@pytest.mark.parametrize("prefer", ["smaller", "faster"])
def test_without_noise_the_limit_decides(score: float, size: int | None, status: Status, prefer: str) -> None:
    verdict = step([BASELINE, trained(1, both(score), size=size)], rule(prefer))

    assert isinstance(verdict, Verdict)
    assert verdict.status is status


def test_a_verdict_says_what_was_weighed_against_what() -> None:
    smaller = step([BASELINE, trained(1, both(2.05), size=800)], rule())
    larger = step([BASELINE, trained(1, both(1.95), size=1200)], rule())

    assert smaller == Verdict(
        Status.KEEP,
        "tie: 0.0500 worse than trial 0, at most 0.0500 worse with 90% confidence, which is within "
        "acceptance.prefer_bpb=0.1; it has 800 parameters, trial 0 has 1,000",
        tie=True,
    )
    assert larger == Verdict(
        Status.DISCARD,
        "tie: a gain of 0.0500 is within acceptance.prefer_bpb=0.1; it has 1,200 parameters, trial 0 has 1,000",
        tie=True,
    )


def test_a_tie_needs_an_upper_bound_of_the_loss_within_the_limit() -> None:
    """Computed by hand: four trainings, ridge 1/4, sum of squares 1/9000, two trainings left beside the scores."""
    trials = [
        trained(0, {A: 2.00, B: 2.02}, status=Status.BASELINE),
        trained(1, {A: 2.01, B: 2.01}, size=800),
    ]
    most = t.ppf(0.9, 1) * math.sqrt(1 / 9000 / 2)
    assert Population(tuple(trials)).error_between(0, 1) == pytest.approx(math.sqrt(1 / 9000 / 2))

    kept, asked = (step(trials, rule(limit=most + more)) for more in (1e-6, -1e-6))
    assert isinstance(kept, Verdict)
    assert (kept.status, f"at most {most:.4f} worse" in kept.detail) == (Status.KEEP, True)
    assert isinstance(asked, Measure), "the mean is within the limit, the bound is not: another pair"
    assert [number for number, _ in asked.trainings] == [1, 0]
    assert step(trials, rule(limit=most - 1e-6, samples=2)) == Verdict(
        Status.DISCARD,
        f"no tie: 0.0000 better than trial 0, at most {most:.4f} worse with 90% confidence: not within "
        f"acceptance.prefer_bpb={most - 1e-6:g}",
    )


def test_a_first_pair_that_decides_costs_nothing_more() -> None:
    worse, better = (trained(1, {A: value}, size=800) for value in (2.3, 1.9))

    assert step([BASELINE, worse], rule()) == Verdict(Status.DISCARD)
    assert step([BASELINE, better], rule()) == Measure(((1, B),)), "as without a preference"
    assert step([BASELINE, trained(1, {A: 2.01}, size=800)], rule()) == Measure(((1, B),)), "a winner has two trainings"
    assert step([BASELINE, trained(1, {A: 2.01}, size=1200)], rule()) == Verdict(Status.DISCARD)


def test_ties_in_a_row_do_not_add_up() -> None:
    first = trained(1, both(1.5), size=900, status=Status.KEEP)
    second = trained(2, both(1.56), size=800, status=Status.KEEP)
    third, fourth = (trained(3, both(value), size=700) for value in (1.62, 1.58))

    assert step([BASELINE, first, second, third], rule()) == Verdict(Status.DISCARD)
    kept = step([BASELINE, first, second, fourth], rule())
    assert isinstance(kept, Verdict)
    assert kept.status is Status.KEEP
    assert "0.0800 worse than trial 1, the best champion so far" in kept.detail
    assert kept.detail.endswith("it has 700 parameters, trial 2 has 800")


def test_a_champion_that_fails_on_a_seed_is_no_tie() -> None:
    champion = trained(1, {A: 1.95, B: None}, status=Status.KEEP)
    larger = trained(2, {A: 1.94, B: 1.94}, size=1200)

    assert step([BASELINE, champion, larger], rule()) == Verdict(Status.KEEP)


def test_a_tie_tells_that_the_program_does_not_use_its_seed() -> None:
    smaller = trained(1, both(2.05), size=800)
    smaller = replace(smaller, evaluations=tuple(replace(run, weights_sha256="a") for run in smaller.evaluations))

    verdict = step([BASELINE, smaller], rule())

    assert isinstance(verdict, Verdict)
    assert verdict.status is Status.KEEP
    assert "gave the same weights" in verdict.detail


@pytest.mark.parametrize("seed", range(3))
def test_no_program_is_trained_more_often_than_allowed(seed: int) -> None:
    rng, limit, trials, ties = random.Random(seed), 0.02, [], 0
    by = rule(limit=limit, samples=4)
    for number in range(40):
        trials.append(trained(number, {}))
        while not trials[number].decided and trials[number].status is Status.PENDING:
            found = step(trials, by)
            if isinstance(found, Verdict):
                trials[number] = replace(trials[number], status=found.status, decided=number, detail=found.detail)
                ties += found.status is Status.KEEP and found.tie
                continue
            for which, each in found.trainings:
                value = 2.0 + 0.004 * which + rng.gauss(0, 0.01)
                run = Evaluation(outcome=Outcome.OK, seed=each, score=value, n_parameters=int(1000 * 0.9**which))
                trials[which] = replace(trials[which], evaluations=(*trials[which].evaluations, run))
    champion = Population(tuple(trials)).champion
    assert ties
    assert all(len(trial.evaluations) <= 4 for trial in trials)
    assert champion is not None
    assert 0.004 * champion.number <= 3 * limit, "each child is a fifth of the limit worse"


def test_the_default_limit_is_the_noise_of_a_training() -> None:
    quiet = [BASELINE, trained(1, both(1.9992), size=1200)]
    noisy = [trained(0, {A: 2.00, B: 2.02}, status=Status.BASELINE), trained(1, {A: 2.00, B: 2.01}, size=1200)]
    sd = Population(tuple(noisy)).noise_sd

    assert step(quiet, rule(limit=None)) == Verdict(
        Status.DISCARD,
        "tie: a gain of 0.0008 is within 0.0010, the default limit; it has 1,200 parameters, trial 0 has 1,000",
        tie=True,
    )
    assert sd is not None
    verdict = step(noisy, rule(limit=None))
    assert isinstance(verdict, Verdict)
    assert f"within {sd:.4f}, the sd of a training" in verdict.detail


def test_simpler_counts_tokens_that_layout_does_not_change() -> None:
    plain = Program("a = 1\nb = 2\n\n\ndef f(x):\n    return x\n")
    dressed = Program('"""Says what it does."""\na = 1; b = 2  # joined\ndef f(x): return x\n')
    renamed = Program("a = 1\nb = 2\n\n\ndef f(very_long_name):\n    return very_long_name\n")

    assert plain.code_tokens == dressed.code_tokens == renamed.code_tokens == 14
    assert Program("a, b = 1, 2\n").code_tokens > Program("a = 1\nb = 2\n").code_tokens
    assert Program("int main(void) { '\n").code_tokens == 4, "not Python: its words"


def test_the_simpler_program_wins_a_tie() -> None:
    longer = Mutation(program=Program(SEED_SOURCE + "\n\nUNUSED = 1\n"), operator="seed", description="")
    baseline = replace(BASELINE, mutation=longer)

    verdict = step([baseline, trained(1, both(2.05))], rule("simpler"))

    assert isinstance(verdict, Verdict)
    assert verdict.status is Status.KEEP
    assert "tokens of code, trial 0 has" in verdict.detail


def nearly_flat(program: Program, seed: int) -> float | None:
    """Score the first four blocks as worth less than the noise, and more blocks as worth nothing."""
    return (
        2.0 - 0.0007 * min(4, int(program.constants["DEPTH"])) + random.Random(f"{program.id} {seed}").gauss(0, 0.001)
    )


def test_a_search_among_nearly_equal_programs_ends_with_a_small_one(tmp_path) -> None:
    settings = {"acceptance": rule(limit=0.003)}
    bench = Bench(tmp_path, score=nearly_flat, settings=settings, make_executor=Measuring)

    summary = bench.search(trainings=60)

    check(bench, summary)
    population = bench.ledger.population
    ties = [trial for trial in population.decided if trial.tie]
    kept = [trial for trial in ties if trial.status is Status.KEEP]
    best = population.champion
    assert int(best.program.constants["DEPTH"]) == 2, "the knob's smallest"
    assert kept
    assert min(population.scores[each.number] for each in population.champions) < population.scores[best.number]
    text = render_report(population, make_summary(population), bench.run)
    assert "kept although the score was not better: #" in text
    assert "The champion is 0.00" in text
    assert f"#{kept[0].number}\t" in bench.run.results.read_text() or kept[0].detail in bench.run.results.read_text()
    assert [trial.detail for trial in read_population(bench.run).trials] == [t.detail for t in population.trials]
    assert [trial.tie for trial in read_population(bench.run).trials] == [t.tie for t in population.trials]
    result = json.loads((bench.run.trial(kept[0].number) / "result.json").read_text())
    assert result["tie"]
    assert '"tie":true' in bench.run.journal.read_text().replace(" ", ""), "and not only in the words of the detail"
    assert list(Result(bench.run.root).trials["tie"]) == [trial.tie for trial in population.trials]


def test_a_figure_that_is_not_measured_is_said_with_the_baseline(tmp_path) -> None:
    bench = Bench(tmp_path, score=nearly_flat, settings={"acceptance": rule()})

    with pytest.raises(SeedProgramError, match="this target does not measure parameters"):
        bench.search()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"prefer": "shorter"}, "prefer must be null or one of smaller, simpler, faster, got 'shorter'"),
        ({"prefer": "smaller", "prefer_bpb": 0.0}, "prefer_bpb must be positive, got 0"),
        ({"prefer": "smaller", "prefer_bpb": -0.1}, "prefer_bpb must be positive, got -0.1"),
        ({"prefer": "smaller", "prefer_samples": 1}, "prefer_samples must be at least 2, got 1"),
        ({"prefer_bpb": 0.001}, "prefer_bpb=0.001 has no effect without prefer"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Confirm(seed=0, **settings)


def test_one_training_is_not_enough_for_a_preference() -> None:
    with pytest.raises(ValueError, match="prefer=smaller needs programs that are trained more than once"):
        Naive(seed=0, prefer="smaller")


def test_a_target_that_trains_nothing_has_no_faster_program(tmp_path) -> None:
    done = run(tmp_path, "name=t", "target=landscape", "acceptance.prefer=faster", "budget.trainings=3", QUIET)

    assert_clean_failure(
        done, "acceptance.prefer=faster needs measured training seconds, and this target trains nothing"
    )
    assert not (tmp_path / "outputs" / "t").exists()


def test_authors_are_told(tmp_path) -> None:
    assert sentences({}) == sentences({"prefer": None}) == ()
    (told,) = sentences({"prefer": "simpler", "prefer_bpb": 0.002})
    assert told == (
        "Of two programs whose scores differ by at most 0.002, the one with fewer tokens of code, comments and layout "
        "left out, wins."
    )

    done = run(
        tmp_path, "name=t", "target=landscape", "acceptance.prefer=simpler", "acceptance.prefer_bpb=0.002",
        "budget.trainings=4", "strategy=greedy", QUIET,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert f"- {told}\n" in show_prompt(tmp_path / "outputs" / "t", "1", style="default")


def test_a_journal_of_an_earlier_version_tells_ties_by_their_detail(tmp_path) -> None:
    ledger = Ledger(RunDirectory(tmp_path))
    for number, (status, detail) in enumerate(
        [
            (Status.BASELINE, ""),
            (Status.DISCARD, "tie: a gain"),
            (Status.CRASHED, "tie: no rope"),
            (Status.KEEP, "no tie: "),
        ]
    ):
        ledger.propose(Proposal(parents=(0,) if number else (), seed=0))
        ledger.decide(number, status, detail=detail, elapsed=Elapsed())

    assert '"tie"' not in RunDirectory(tmp_path).journal.read_text()
    assert [trial.tie for trial in read_population(RunDirectory(tmp_path)).trials] == [False, True, False, False]
