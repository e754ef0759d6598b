"""The final report: fresh seeds, the sealed holdout, and a justified verdict."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from operators.population import Population
from search import run as search
from search.errors import UserError
from search.final import run_final
from search.final.__main__ import main
from search.final.report import FinalReport, final_text, judge_final, read_final
from search.report import render_report
from search.runs.rundir import RunDirectory
from search.transfer.__main__ import main as transfer
from target.errors import TargetError
from target.evaluate import load_target
from target.evaluation import Evaluation, Outcome
from target.program import Program
from tests.search.builders import MIXED, make_population, make_summary
from tests.search.command import rows_of, run, summary_of
from tests.search.mirrors import search_of
from tests.search.scripted import ScriptedExecutor


class Immediate(ScriptedExecutor):
    """Finishes each training at once."""

    def evaluate(self, program: Program, seed: int, log: Path, *, holdout: bool = False):
        future = super().evaluate(program, seed, log, holdout=holdout)
        self.finish()
        return future


BASELINE, BEST = MIXED.trials[0].program, MIXED.trials[9].program


def better_by(gain: float, sd: float = 0.001):
    def score(program: Program, seed: int) -> float:
        shared = random.Random(seed).gauss(0, 0.1)
        return 2.0 + shared - gain * (program == BEST) + random.Random(f"{program.id} {seed}").gauss(0, sd)

    return score


def check(root: Path, executor: ScriptedExecutor, population: Population = MIXED, n_seeds: int = 5) -> FinalReport:
    directory = RunDirectory(root)
    return run_final(directory, population, executor, search_seed=0, n_seeds=n_seeds, say=lambda text: None)


def test_a_gain_that_is_real_holds(tmp_path: Path) -> None:
    report = check(tmp_path, Immediate(better_by(0.2)))

    assert report.verdict == "holds"
    assert (report.n_pairs, report.looks, report.trial) == (5, 1, 9)
    assert report.holdout is not None
    assert report.holdout.difference == pytest.approx(-0.2, abs=0.01)
    assert report.holdout.baseline == pytest.approx(report.val.baseline + 0.1)  # as the script has it
    assert "the improvement holds" in final_text(report)


def test_pairing_takes_the_luck_of_the_seeds_off(tmp_path: Path) -> None:
    report = check(tmp_path, Immediate(better_by(0.02)))  # a tenth of the spread between seeds

    assert report.verdict == "holds"
    assert report.val.difference == pytest.approx(-0.02, abs=0.005)
    assert report.val.sd < 0.005
    assert "the search reported -0.2000" in report.reason


@pytest.mark.parametrize(("gain", "says_why"), [(0.15, True), (0.25, False)])
def test_a_gain_that_shrinks_on_fresh_seeds_is_explained(tmp_path: Path, gain: float, says_why: bool) -> None:
    report = check(tmp_path, Immediate(better_by(gain)))  # the search reported 0.2

    assert report.verdict == "holds"
    assert ("because the best of many looks better than it is" in final_text(report)) == says_why


@pytest.mark.parametrize(
    ("gain", "sd", "verdict"),
    [(0.0, 0.001, "does not hold"), (-0.2, 0.001, "does not hold"), (0.2, 0.3, "cannot be told")],
)
def test_what_is_no_gain_does_not_hold_and_noise_says_nothing(
    tmp_path: Path, gain: float, sd: float, verdict: str
) -> None:
    assert check(tmp_path, Immediate(better_by(gain, sd))).verdict == verdict


@pytest.mark.parametrize("gain", [0.2, 0.0, -0.2])
def test_equal_differences_on_all_seeds_do_not_hold(tmp_path: Path, gain: float) -> None:
    report = check(tmp_path, Immediate(lambda program, seed: 2.0 - gain * (program == BEST)))

    assert report.verdict == "cannot be told"
    assert "a seed changes nothing in these trainings" in report.reason


def test_a_best_program_that_fails_on_a_fresh_seed_does_not_hold(tmp_path: Path) -> None:
    calls: list[int] = []

    def score(program: Program, seed: int) -> float | None:
        calls.append(seed)
        return None if program == BEST and len(set(calls)) == 3 else better_by(0.2)(program, seed)

    report = check(tmp_path, Immediate(score))
    assert report.verdict == "does not hold"
    assert "failed on 1 of 5" in report.reason
    assert report.n_pairs == 4


def test_both_programs_are_trained_on_the_same_seeds_none_of_which_the_search_used(tmp_path: Path) -> None:
    executor = Immediate(better_by(0.2))
    check(tmp_path, executor)
    seeds = {which: {seed for program, seed in executor.trained if program == which.id} for which in (BASELINE, BEST)}
    used = {each.seed for trial in MIXED.trials for each in trial.evaluations}

    assert seeds[BASELINE] == seeds[BEST]
    assert len(seeds[BEST]) == 5
    assert seeds[BEST].isdisjoint(used)


def test_an_interrupted_report_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(TargetError):
        check(tmp_path, Immediate(better_by(0.2), fail_at=4))
    report, trainings = read_final(RunDirectory(tmp_path))
    assert report is None
    assert trainings

    executor = Immediate(better_by(0.2))
    check(tmp_path, executor)
    assert len(executor.trained) == 10 - len(trainings)

    executor = Immediate(better_by(0.2))
    more = check(tmp_path, executor, n_seeds=7)
    assert len(executor.trained) == 4
    assert more.n_pairs == 7
    assert read_final(RunDirectory(tmp_path))[0] == more


def test_looks_at_the_holdout_are_counted(tmp_path: Path) -> None:
    check(tmp_path, Immediate(better_by(0.2)), make_population(2.0, 1.9))
    report = check(tmp_path, Immediate(better_by(0.2)))

    assert report.looks == 2
    text = render_report(MIXED, make_summary(MIXED), RunDirectory(tmp_path))
    assert "2 champions of this search have been scored on the holdout" in text
    assert "The improvement holds" in text
    assert "The holdout split has not been touched" not in text


def test_a_report_on_an_earlier_champion_is_not_shown_for_a_later_one(tmp_path: Path) -> None:
    check(tmp_path, Immediate(better_by(0.2)), make_population(2.0, 1.9))

    assert "improvement holds" not in render_report(MIXED, make_summary(MIXED), RunDirectory(tmp_path))


def test_without_an_improvement_there_is_nothing_to_check(tmp_path: Path) -> None:
    executor = Immediate(better_by(0.2))
    with pytest.raises(UserError, match="nothing better than its seed program"):
        check(tmp_path, executor, make_population(2.0, 2.1))

    assert executor.trained == []


def test_a_target_without_a_holdout_is_judged_on_fresh_seeds() -> None:
    runs = [
        tuple(Evaluation(outcome=Outcome.OK, seed=seed, score=value + seed / 10) for value in (2.0, 1.9 + seed / 1000))
        for seed in range(3)
    ]
    report = judge_final(1, "id", runs, reported_difference=-0.1, looks=0)

    assert report.verdict == "holds"
    assert report.holdout is None


def test_a_search_never_asks_for_the_holdout(tmp_path: Path) -> None:
    """A real search with a real final report: only the report's trainings have a score on the holdout."""
    program = load_target("tiny").seed_program().with_constants({"BATCH_TOKENS": 8192}).source
    program = re.sub(r"# knob: [^#\n]+", "# knob: fixed", program)  # one constant is left: each move of it is a gain
    (tmp_path / "slow.py").write_text(program.replace("= 8192  # knob: fixed", "= 8192  # knob: 256..8192 pow2"))
    arguments = ("name=f", "target.program=slow.py", "budget.trainings=4", "final.seeds=2", "acceptance=naive")
    done = run(tmp_path, *arguments, "tracker=none")
    assert done.returncode == 0, done.stderr
    root = tmp_path / "outputs" / "f"
    results = [json.loads(path.read_text()) for path in root.glob("trials/*/result.json")]
    assert {each.get("holdout_bpb") for result in results for each in result["evaluations"]} == {None}
    assert summary_of(root)["trainings"] == 4
    assert len(rows_of(root)) == len(results)

    assert summary_of(root)["best_trial"], "smaller batches give more steps"
    report, trainings = read_final(RunDirectory(root))
    assert report is not None
    assert len(trainings) == 4
    assert all(3 < each["evaluation"]["holdout_bpb"] < 8 for each in trainings)
    assert report.looks == 1
    assert "Whether the improvement holds" in (root / "report.md").read_text()

    assert transfer([str(root), "--scale", "target.constants.DEPTH=2", "--budget", "1.5x", "--seeds", "2"]) == 0
    (record,) = root.glob("transfer/*/transfer.json")
    trainings = [each["evaluation"] for each in json.loads(record.read_text())["trainings"]]
    assert {each["holdout_bpb"] for each in trainings} == {None}
    assert "DEPTH 3 -> 2, target.train_seconds 0.8 -> 1.2" in (root / "report.md").read_text()


def test_the_command_tells_the_tracker_at_once_from_any_directory(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(outputs)
    settings = {"target": "landscape", "strategy": "greedy", "acceptance": "naive", "seed": 6, "quiet": True}
    search("outputs=.", name="a", budget={"trainings": 3}, **settings)
    monkeypatch.chdir("/")

    assert main([str(outputs / "a"), "--seeds", "2"]) == 0
    assert "every trial in the MLflow UI" in capsys.readouterr().out
    found = search_of(outputs, "a")
    assert found.data.tags["graft.final"] == read_final(RunDirectory(outputs / "a"))[0].verdict
    assert found.info.status == "FINISHED"

    monkeypatch.chdir(outputs)
    search("outputs=.", name="b", budget={"trainings": 1}, tracker="none", **settings)
    (outputs / "a" / "final.json").write_text("{")
    assert [main([name]) for name in "ab"] == [2, 2]
    damaged, no_better = capsys.readouterr().err.splitlines()
    assert damaged.startswith("error: a/final.json cannot be read"), "by the path that was given"
    assert no_better.startswith("error: b found nothing better than its seed program")


def test_a_damaged_file_gets_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "final.json").write_text("{")
    with pytest.raises(UserError, match=r"final\.json cannot be read"):
        read_final(RunDirectory(tmp_path))


def test_the_reported_gain_is_that_of_the_search(tmp_path: Path) -> None:
    report = check(tmp_path, Immediate(better_by(0.2)))

    assert report.reported_difference == pytest.approx(-0.2)
    assert replace(report, trial=9) == report
