"""`graft transfer`: real searches on a command of milliseconds, whose score depends on its constants and its seed."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Mutation, Proposal, Status
from search import Search
from search.composed import make_target
from search.construct import compose_config, plain_config
from search.errors import UserError
from search.final.__main__ import main as final
from search.runs.lock import locked
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.strategies.base import child_of
from search.transfer.__main__ import main
from search.transfer.judge import judge_gain, judge_steps, own_row, share_of
from search.transfer.record import Row
from search.transfer.scale import read_scale
from search.transfer.steps import Plan
from target.evaluation import Evaluation, Outcome
from target.metric import VAL_BPB
from target.program import Program
from target.spec import SEED_PROGRAM
from tests.faults.processes import assert_gone, family, wait_until
from tests.search.builders import MIXED, make_trial
from tests.search.command import QUIET, run

SEED = """\
import json
import os
import random

DEPTH = 2
STEPS = 10
LR = 0.1
DROPOUT = 0.0
NORM = "none"


def score(seed):
    known = globals()
    if DEPTH >= 50:
        raise MemoryError("no room for the layers")
    value = 3.0 - 0.1 * DEPTH + random.Random(seed).gauss(0, 0.1)
    value -= 0.5 * (LR == 0.3)
    value -= 0.2 * (DROPOUT == 0.1) * (1 if DEPTH < 4 else -1)
    value -= {"none": 0.0, "rms": 0.3, "layer": 0.4}[NORM]
    value -= known.get("EXTRA", 0.0) + known.get("TWICE", 0.0)
    sizes = {name: known[name] for name in known if name.isupper()}
    return value + random.Random(f"{seed} {sizes}").gauss(0, 0.002)


with open("result.json", "w") as file:
    json.dump({"loss": score(int(os.environ["GRAFT_SEED"]))}, file)
"""
EDITS = (
    ("LR = 0.1", "LR = 0.3"),
    ("DROPOUT = 0.0", "DROPOUT = 0.1"),
    ('NORM = "none"', 'NORM = "rms"'),
    ("DEPTH = 2", "DEPTH = 3"),
    ("import random\n", "import random\n\nEXTRA = 0.1\n"),
    ('NORM = "rms"', 'NORM = "layer"'),
    ("\n\ndef score", "\nTWICE = 2 * EXTRA\n\n\ndef score"),
)
"""Each is better than the one before: trials 1 to 7."""


class Scripted:
    """Makes the edits in their order."""

    name = "scripted"

    def mutate(self, proposal: Proposal, population) -> Mutation:
        parent = population.trials[proposal.parents[0]]
        old, new = EDITS[parent.number]
        assert parent.program.source.count(old) == 1
        return Mutation(
            program=Program(parent.program.source.replace(old, new)), operator=self.name, description=new.strip()
        )


class FromChampion:
    """Mutates the champion."""

    def ask(self, population, rng):
        return child_of(population.champion.number, rng=rng)


def searched(cwd: Path, name: str, n_edits: int, *settings: str, source: str = SEED) -> Path:
    """Search with the first edits, one after the other, with paths below `cwd`, and return the folder."""
    (cwd / "script").mkdir(exist_ok=True)
    (cwd / "script" / "train.py").write_text(source)
    target = ["target.root=script", "target.file=train.py", "target.command='python train.py'"]
    search = Search(
        *(*target, "target.metric=loss", "target.sandbox=off", "acceptance=confirm_fixed", "executor.workers=1", QUIET),
        *("outputs=outputs", f"budget.trainings={2 + 2 * n_edits}", "propose_ahead=0", *settings),
        name=name,
        target="command",
        operator=Scripted(),
        strategy=FromChampion(),
        quiet=True,
    )
    with contextlib.chdir(cwd):
        found = search.run()
        assert found.best.number == n_edits
        return found.folder.absolute()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A search that made all edits."""
    return searched(tmp_path_factory.mktemp("transfer"), "whole", len(EDITS))


@pytest.fixture(scope="module")
def two_edits(tmp_path_factory) -> Path:
    """A search that made the first two edits; it stays as it is."""
    return searched(tmp_path_factory.mktemp("transfer"), "short", 2)


@pytest.fixture
def short(two_edits, tmp_path) -> Path:
    """A copy of that search."""
    return shutil.copytree(two_edits, tmp_path / "short")


def transfer(root: Path, *words: str) -> dict:
    """Transfer in this process, and return the report."""
    out = root.parent / "transfer.json"
    assert main([str(root), *words, "--json", str(out)]) == 0
    return json.loads(out.read_text())


def refused(capsys, root: Path, *words: str) -> str:
    """Return the one line with which a transfer is refused."""
    assert main([str(root), *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def test_each_step_is_judged_at_the_new_size(whole: Path, capsys) -> None:
    before = (whole / "journal.log").read_bytes()
    report = transfer(whole, "--scale", "target.constants.DEPTH=5", "--steps")
    steps = {step["trial"]: step for step in report["steps"]}

    assert report["verdict"] == "the gain holds"
    assert report["changes"] == [["DEPTH", "2", "5"]]
    assert report["replaced"] == [["DEPTH", "3"]]
    assert report["here"]["difference"] == pytest.approx(-0.5 + 0.2 - 0.4 - 0.1 - 0.2, abs=0.01)
    assert report["own"]["difference"] == pytest.approx(-0.5 - 0.2 - 0.4 - 0.1 - 0.1 - 0.2, abs=0.01)
    assert report["share"] == pytest.approx(report["here"]["difference"] / report["own"]["difference"])
    assert {trial: (step["how"], step["verdict"]) for trial, step in steps.items()} == {
        1: ("without", "survives"),
        2: ("without", "hurts"),
        3: ("prefix", "survives"),
        4: ("left out", "left out"),
        5: ("prefix", "survives"),
        6: ("without", "survives"),
        7: ("without", "survives"),
    }
    assert steps[1]["effect"] == pytest.approx(-0.5, abs=0.01)
    assert steps[2]["searched"] == pytest.approx(-0.2, abs=0.01)
    assert steps[2]["effect"] == pytest.approx(0.2, abs=0.01)
    assert steps[3]["effect"] == pytest.approx(-0.3, abs=0.01)
    assert steps[3]["why"] == "later steps build on it"
    assert steps[4]["why"] == "it changes DEPTH, which --scale sets"
    assert "without it the best program fails (crashed: " in steps[5]["why"]
    assert "NameError: name 'EXTRA' is not defined" in steps[5]["why"]
    assert (whole / "journal.log").read_bytes() == before
    out = capsys.readouterr().out
    assert "the best program has DEPTH = 3, which --scale replaces" in out
    assert "Verdicts on 6 steps at once (Holm's method)" in out


def test_what_was_trained_is_not_trained_again_and_another_size_is_another_record(short: Path, capsys) -> None:
    first = transfer(short, "--scale", "target.constants.DEPTH=3", "--seeds", "2")
    capsys.readouterr()
    more = transfer(short, "--scale", "target.constants.DEPTH=3", "--seeds", "3")
    said = capsys.readouterr().out

    assert "transfer: 2 trainings on fresh seeds" in said
    assert more["seeds"][:2] == first["seeds"]
    used = {run.seed for trial in read_population(RunDirectory(short)).trials for run in trial.evaluations}
    assert used.isdisjoint(more["seeds"])
    assert transfer(short, "--scale", "target.constants.DEPTH=3", "--seeds", "3", "--steps")["steps"]
    assert transfer(short, "--scale", "target.constants.DEPTH=3", "--seeds", "3")["steps"], "they are known"
    transfer(short, "--scale", "target.constants.STEPS=20", "--seeds", "2")
    assert len([*short.glob("transfer/*/transfer.json")]) == 2
    assert "\n\n## At another size: DEPTH 2 -> 3\n" in (short / "report.md").read_text()
    assert "<h2>At another size: DEPTH 2 -&gt; 3</h2>" in (short / "report.html").read_text()


def test_mlflow_has_a_run_for_a_transfer(short: Path, tmp_path: Path, capsys) -> None:
    from mlflow import MlflowClient

    size = ("--scale", "target.constants.DEPTH=3", "--seeds", "2")
    report = transfer(short, *size)
    assert "MLflow" not in capsys.readouterr().out, "the search has no tracker"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    client.search_experiments()  # makes the database
    transfer(short, *size, "--tracking-uri", uri)

    assert "MLflow experiment 'transfers'" in capsys.readouterr().out
    experiment = client.get_experiment_by_name("transfers")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "short #2: DEPTH 2 -> 3"
    assert found.data.metrics["here_difference"] == pytest.approx(report["here"]["difference"], rel=1e-5)
    assert found.data.metrics["search_best"] == pytest.approx(report["own"]["best"], rel=1e-5), "six digits"
    assert found.data.tags["graft.verdict"] == report["verdict"]
    assert [each.path for each in client.list_artifacts(found.info.run_id)] == ["transfer.json"]


def test_a_killed_transfer_goes_on_and_trains_nothing_twice(short: Path) -> None:
    words = [sys.executable, "-m", "search.transfer", str(short), "--scale", "target.constants.DEPTH=3", "--seeds", "4"]
    begun = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kept() -> list[dict]:
        found = [*short.glob("transfer/*/transfer.json")]
        return json.loads(found[0].read_text())["trainings"] if found else []

    try:
        wait_until(lambda: kept(), while_running=begun.pid)
        processes = family(begun.pid)
    finally:
        begun.send_signal(signal.SIGKILL)
        begun.wait()
    assert_gone(processes)
    before = kept()
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert kept()[: len(before)] == before
    assert len(kept()) == 8
    assert "the gain holds" in done.stdout


def test_the_final_check_finds_a_relative_root_from_another_directory_too(short: Path, capsys) -> None:
    assert final([str(short), "--seeds", "2"]) == 0
    assert "the improvement holds" in capsys.readouterr().out


def test_a_seed_program_that_does_not_fit_is_said_with_what_to_change(short: Path, capsys) -> None:
    said = refused(capsys, short, "--scale", "target.constants.DEPTH=64")
    assert "the seed program fails at this size (out of memory: " in said
    assert "no room for the layers" in said
    assert "choose a smaller size, or give it more memory" in said
    kept = [*short.glob("transfer/*/transfer.json")]
    trainings = json.loads(kept[0].read_text())["trainings"]

    again = refused(capsys, short, "--scale", "target.constants.DEPTH=64")
    assert again == said
    assert json.loads(kept[0].read_text())["trainings"] == trainings
    refused(capsys, short, "--scale", "target.constants.DEPTH=64", "--again")
    assert json.loads(kept[0].read_text())["trainings"] != trainings  # by the measured times


def test_a_best_program_that_fails_alone_has_lost_its_gain(tmp_path: Path) -> None:
    source = SEED.replace("DEPTH >= 50", "DEPTH >= 50 and DROPOUT")
    report = transfer(searched(tmp_path, "a", 2, source=source), "--scale", "target.constants.DEPTH=64", "--steps")

    assert report["verdict"] == "the gain is gone"
    assert "failed on 3 of 3 fresh seeds (out of memory: " in report["reason"]
    assert (report["here"], report["share"], report["steps"]) == (None, None, None)


def test_seeds_that_change_nothing_make_the_difference_exact(tmp_path: Path) -> None:
    source = SEED.replace("gauss(0, 0.1)", "gauss(0, 0)").replace("gauss(0, 0.002)", "gauss(0, 0)")
    report = transfer(searched(tmp_path, "a", 2, source=source), "--scale", "target.constants.STEPS=20", "--steps")

    assert report["verdict"] == "the gain holds"
    assert "seeds change nothing in these trainings" in report["reason"]
    assert [step["verdict"] for step in report["steps"]] == ["survives", "survives"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scale", "target.constants.DEPT=3"], "the seed program has no constant DEPT: did you mean DEPTH?"),
        (["--scale", "target.constants.QQQ=3"], "it has DEPTH, STEPS, LR, DROPOUT, NORM"),
        (["--scale", "target.constants.DEPTH=big"], "target.constants.DEPTH must be like the program's 2, got 'big'"),
        (["--scale", "target.constants.DEPTH=2.5"], "must be like the program's 2, got 2.5"),
        (["--scale", "target.constants.DEPTH=2,3"], "must have one value"),
        (["--scale", "target.limit_second=90"], "did you mean target.limit_seconds?"),
        (["--scale", "target.metric=x"], "decides what is measured, not at which size"),
        (["--scale", "DEPTH=3"], "a key below target, such as target.constants.DEPTH=12, got 'DEPTH=3'"),
        (["--scale", "target=gpu"], "needs two targets that are trained and scored here, such as tiny and gpu"),
        (["--scale", "target.constants.DEPTH=2"], "this is the size of the search: graft final trains both"),
        (["--budget", "2x"], "its command decides how long it trains. Give --scale with the constant"),
        (["--budget", "twice"], "--budget must be a factor such as 2x, or seconds such as 600, got 'twice'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(two_edits: Path, capsys, words: list[str], said: str) -> None:
    assert said in refused(capsys, two_edits, *words)
    assert not (two_edits / "transfer").exists()


def test_a_search_in_use_is_refused(two_edits: Path, capsys) -> None:
    with locked(RunDirectory(two_edits).lock):
        said = refused(capsys, two_edits, "--scale", "target.constants.DEPTH=3")
    assert "is in use by process" in said
    assert "wait for its end" in said


def test_without_a_gain_or_a_size_there_is_nothing_to_transfer(tmp_path: Path, two_edits: Path, capsys) -> None:
    done = run(tmp_path, "name=none", "target=landscape", "budget.trainings=2", QUIET)
    assert done.returncode == 0, done.stderr
    simulated = tmp_path / "outputs" / "none"
    assert "is simulated: its trainings have no size" in refused(capsys, simulated, "--budget", "2x")

    config = (two_edits / ".hydra" / "config.yaml").read_text()
    (simulated / ".hydra" / "config.yaml").write_text(config)
    assert "found nothing better than its seed program" in refused(
        capsys, simulated, "--scale", "target.constants.DEPTH=3"
    )
    with pytest.raises(SystemExit):
        main([str(two_edits)])
    assert "give --scale or --budget; at the size of the search, graft final" in capsys.readouterr().err


def test_a_search_is_found_by_its_name_and_a_best_program_may_be_the_seed_at_another_size(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    root = searched(tmp_path, "a", 1)
    monkeypatch.chdir(tmp_path)
    assert main(["a", "--scale", "target.constants.LR=0.2"]) == 2
    said = capsys.readouterr().err
    assert "at this size the best program is the seed program: they differ only in LR, which --scale sets" in said
    assert not (root / "transfer").exists()


def evaluations(*scores: float | None) -> list[Evaluation]:
    return [
        Evaluation(
            outcome=Outcome.CRASHED if score is None else Outcome.OK, seed=seed, score=score, detail="no" * (not score)
        )
        for seed, score in enumerate(scores)
    ]


def own(difference: float) -> Row:
    known = {"n_baseline": 2, "n_best": 2, "baseline": 2.0, "baseline_error": 0.1, "best_error": 0.1}
    return Row(**known, best=2 + difference, difference=difference, error=0.1, low=None, high=None)


def test_the_interval_in_the_search_has_few_degrees_of_freedom() -> None:
    trials = [
        replace(make_trial(number, 2.0, status=Status.KEEP), evaluations=tuple(evaluations(*scores)))
        for number, scores in enumerate([(2.0, 2.2), (1.9, 2.3), (1.5, 1.8)])
    ]
    population = Population(tuple(trials))
    row = own_row(trials[2], population)

    assert population.noise_freedom == 2
    assert row.high - row.difference == pytest.approx(4.302653 * row.error)  # the quantile of t, not 1.96
    two = Population((trials[0], replace(trials[1], evaluations=trials[1].evaluations[:1])))
    assert own_row(two.trials[1], two).error is not None
    assert own_row(two.trials[1], two).low is None, "one repeated program cannot tell noise from seeds"


def test_the_figures_are_those_of_a_paired_t_test() -> None:
    runs = list(zip(evaluations(2.0, 2.2, 2.4), evaluations(1.9, 2.0, 2.1), strict=True))  # -0.1, -0.2, -0.3
    here, verdict, reason = judge_gain(own(-0.4), runs, VAL_BPB)

    assert (here.baseline, here.best, here.difference) == pytest.approx((2.2, 2.0, -0.2))
    assert here.baseline_error == pytest.approx(0.2 / 3**0.5)
    assert here.error == pytest.approx(0.1 / 3**0.5)
    half = 4.302653 * 0.1 / 3**0.5  # the quantile of t with two degrees of freedom
    assert (here.low, here.high) == pytest.approx((-0.2 - half, -0.2 + half))
    assert share_of(own(-0.4), here) == pytest.approx((0.5, (0.2 - half) / 0.4, (0.2 + half) / 0.4))
    assert verdict == "cannot tell"
    assert "the 95 % interval includes both a gain like the reported one and none" in reason


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        ((1.60, 1.81, 1.99), "the gain holds"),
        ((2.00, 2.21, 2.39), "the gain is gone"),
        ((2.40, 2.61, 2.79), "the gain is gone"),
        ((1.60, None, 1.99), "the gain is gone"),
    ],
)
def test_the_verdict_is_that_of_the_final_check(best: tuple[float | None, ...], verdict: str) -> None:
    runs = list(zip(evaluations(2.0, 2.2, 2.4), evaluations(*best), strict=True))

    assert judge_gain(own(-0.4), runs, VAL_BPB)[1] == verdict


def test_steps_share_the_standard_deviation_of_the_whole_table() -> None:
    """Best 1, 2 and without the step 3, 6: residuals of 0.5 each, whose squares sum to 1; one degree of freedom."""
    less, more = Program("A = 1\n"), Program("A = 2\n")
    plan = Plan(trial=MIXED.trials[9], how="without", less=less, more=more)
    (effect,) = judge_steps([plan], {less.id: evaluations(3.0, 6.0), more.id: evaluations(1.0, 2.0)}, MIXED)

    assert (effect.effect, effect.error) == pytest.approx((-3.0, 1.0))
    assert effect.p == pytest.approx(1 - 2 * math.atan(3) / math.pi)  # t with one degree of freedom is Cauchy's
    assert effect.verdict == "cannot tell"

    (effect,) = judge_steps([plan], {less.id: evaluations(3.0, None), more.id: evaluations(1.0, 2.0)}, MIXED)
    assert (effect.effect, effect.verdict) == (None, "cannot tell")
    assert effect.why == "without it a training fails (crashed: no)"


def test_steps_are_judged_together() -> None:
    """Each of two steps is 2.8 standard errors away, with four degrees of freedom: p is 0.049 alone, 0.098 together."""
    best, without = Program("A = 0\n"), [Program(f"A = {number}\n") for number in (1, 2)]
    residuals = [(0.1, -0.1, 0.0), (-0.1, 0.0, 0.1), (0.0, 0.1, -0.1)]  # of no row or column in the mean
    rows = [[mean + each for each in left] for mean, left in zip((1.0, 1.28, 1.28), residuals, strict=True)]
    runs = {each.id: evaluations(*row) for each, row in zip((best, *without), rows, strict=True)}
    trials = MIXED.trials[1:3]
    plans = [Plan(trial=t, how="without", less=less, more=best) for t, less in zip(trials, without, strict=True)]
    effects = judge_steps(plans, runs, MIXED)

    assert [each.error for each in effects] == pytest.approx([(0.06 / 4 * 2 / 3) ** 0.5] * 2)
    assert [each.verdict for each in effects] == ["cannot tell", "cannot tell"]
    (alone,) = judge_steps(plans[1:], runs, MIXED)
    assert alone.verdict == "survives"
    assert effects[1].p == pytest.approx(2 * alone.p) == pytest.approx(0.0977, abs=1e-3)


def test_another_target_brings_its_sizes() -> None:
    tiny = plain_config(compose_config(["target=tiny"]).target)
    seed, full = make_target(tiny).seed_program(), Program(SEED_PROGRAM.read_text())
    scale = read_scale(["target=gpu", "target.card_gb=80", "target.constants.DEPTH=6"], "0.5x", tiny, seed)

    assert scale.settings == {"card_gb": 80, "train_seconds": 150}
    set_by_tiny = ("N_HEADS", "HEAD_DIM", "BATCH_TOKENS", "ATTENTION_PATTERN", "PIECE_TOKENS", "SCALAR_LR")
    own = {name: full.constants[name] for name in set_by_tiny}
    assert scale.constants == {**own, "DEPTH": 6}
    assert scale.program(seed.with_constants({"MATRIX_LR": 0.5})).id == (
        full.with_constants({"MATRIX_LR": 0.5, "DEPTH": 6}).id
    )
    assert scale.changes(tiny, seed)["target"] == ("tiny", "gpu")
    assert scale.target(tiny)["device"] == "cuda"
    with pytest.raises(UserError, match="did you mean target=tiny"):
        read_scale(["target=tinny"], None, tiny, seed)


@pytest.mark.parametrize(
    ("budget", "seconds"), [("2x", 18), ("1.5x", 13.5), ("0.5x", 4.5), ("600", 600), ("600s", 600)]
)
def test_a_budget_is_a_factor_or_seconds(budget: str, seconds: float) -> None:
    program = Program("A = 1\n")
    assert read_scale([], "1.5x", {"train_seconds": 0.8}, program).settings == {
        "train_seconds": 1.2
    }  # no 1.2000000000000002
    scale = read_scale([], budget, {"name": "t", "train_seconds": 9}, program)

    assert scale.settings == {"train_seconds": seconds}
    assert scale.target({"name": "t", "train_seconds": 9})["train_seconds"] == seconds
    with pytest.raises(UserError, match="not both"):
        read_scale(["target.train_seconds=3"], budget, {"name": "t", "train_seconds": 9}, Program("A = 1\n"))
