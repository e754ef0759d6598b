"""What the user asks of a running search."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from operators.direct import DirectOperator
from operators.population import Population
from operators.trial import Proposal, Status, Trial
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.steering.__main__ import main
from search.steering.requests import Idea, Requests
from tests.faults.processes import wait_until
from tests.operators.scripted_model import ScriptedModel, make_prompt, make_resources, obliging
from tests.search.bench import Bench
from tests.search.builders import MIXED
from tests.search.command import command


def test_a_paused_search_ends_what_is_under_way_and_goes_on_when_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    requests = Requests(RunDirectory(tmp_path))
    ticks = 0

    def steer(population: Population) -> None:
        nonlocal ticks
        if len(population.decided) == 3 and not ticks:
            requests.pause()

    class Patient(bench.make_executor):  # type: ignore[name-defined,misc]
        def finish(self) -> None:
            nonlocal ticks
            super().finish()
            if requests.paused and not self._open:
                ticks += 1
                assert len(self.trained) < 12, "the budget is not used up"
                if ticks == 5:
                    requests.unpause()

    bench.make_executor = Patient
    summary = bench.search(after=steer)

    assert ticks == 5
    assert summary.trainings == 12
    assert bench.observer.said == ["paused: nothing new begins", "goes on after the pause"]


def test_a_search_that_is_started_is_not_paused(tmp_path: Path) -> None:
    RunDirectory(tmp_path).create()
    Requests(RunDirectory(tmp_path)).pause()

    assert Bench(tmp_path).search().status == "finished"


def test_a_skipped_trial_gets_its_verdict(tmp_path: Path) -> None:
    bench = Bench(tmp_path, score=lambda program, _: float(program.constants["LR"]))  # none crashes
    requests, skipped = Requests(RunDirectory(tmp_path)), list[int]()

    def steer(population: Population) -> None:
        waiting = [trial for trial in population.pending if trial.number and trial.program]
        if waiting and not skipped:
            skipped.append(waiting[0].number)
            requests.skip(waiting[0].number)

    bench.search(after=steer)

    trial = bench.ledger.population.trials[skipped[0]]
    assert trial.detail == "skipped by the user"
    assert trial.status is (Status.DISCARD if trial.trainings else Status.NOT_BUILT)


def test_an_idea_is_in_the_next_prompts_and_not_in_others(tmp_path: Path) -> None:
    requests = Requests(RunDirectory(tmp_path))
    requests.give(Idea(text="try a smaller head", trials=len(MIXED.trials), proposals=2))
    model = ScriptedModel(obliging)
    resources = replace(make_resources(model), ideas=requests.ideas_for)
    operator = DirectOperator(answer="patch", prompt=make_prompt(), attempts=1, resources=resources)
    population = MIXED
    for seed in range(3):
        proposal = Proposal(parents=(0,), seed=seed)
        population = population.with_trial(Trial(number=len(population.trials), proposal=proposal))
        operator.mutate(proposal, population)

    told = ["try a smaller head" in messages[-1].text for messages in model.asked]
    assert told == [True, True, False]


def make_search(root: Path, *, status: str = "stopped", model: str | None = "openai/x") -> RunDirectory:
    """A search that has ended, with its files as they are after a session."""
    bench = Bench(root)
    bench.search(trainings=3)
    summary = json.loads(bench.run.summary.read_text())
    bench.run.summary.write_text(json.dumps({**summary, "status": status}))
    bench.run.config.parent.mkdir()
    bench.run.config.write_text(f"llm: {{model: {model or 'null'}}}\n")
    return bench.run


def test_an_idea_for_a_search_that_is_stopped_waits_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_search(tmp_path / "x")
    n_trials = len(read_population(run).trials)

    assert main(["idea", str(run.root), "  try\n more heads "]) == 0

    assert Requests(run).ideas() == [Idea(text="try more heads", trials=n_trials, proposals=5)]
    assert capsys.readouterr().out == (
        f"the prompts of trials {n_trials} to {n_trials + 4} get it, once it is resumed\n"
    )


@pytest.mark.parametrize(
    ("words", "changes", "message"),
    [
        (
            ["idea", "x", "try it"],
            {"status": "finished"},
            "has ended (budget.trainings=3 reached)",
        ),
        (["idea", "x", "try it"], {"model": None}, "asks no language model and no agent"),
        (["idea", "x", " "], {}, "an idea must have 1 to 2000 characters"),
        (["idea", "x", "try it", "--proposals", "0"], {}, "--proposals be at least 1"),
        (["pause", "x"], {}, "no process runs"),
        (["stop", "x"], {}, "no process runs"),
        (["resume", "x"], {}, "is not paused; start it again: "),
        (["resume", "x"], {"status": "finished"}, "has ended (budget.trainings=3 reached), and was started with: "),
        (["skip", "x", "99"], {}, "that can be skipped, got 99"),
        (["skip", "x", "0"], {}, "that can be skipped, got 0"),
        (["skip", "x", "1"], {}, "trial 1 has its verdict already"),
        (["pause", "nosuch"], {}, "holds no search"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    changes: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_search(tmp_path / "outputs" / "x", **changes)

    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_running_search_is_paused_and_stopped_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("name=x", "target=landscape", "strategy=random", "budget.trainings=100000", "tracker=none")
    search = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        results = tmp_path / "outputs" / "x" / "results.tsv"
        wait_until(lambda: results.exists() and len(results.read_text().splitlines()) > 3, while_running=search.pid)
        assert main(["pause", "x"]) == 0
        assert main(["stop", "x"]) == 0
        _, err = search.communicate(timeout=300)
    finally:
        search.send_signal(signal.SIGKILL)

    assert search.returncode == 130
    assert "resume: " in err
    assert "was asked to end in order" in capsys.readouterr().out
