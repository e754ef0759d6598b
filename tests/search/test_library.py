"""`from search import Result, Search, run`: searches from Python do what the command does."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from search import Result, Search, run
from search.acceptance import Measure, Verdict
from search.errors import UserError
from search.final.__main__ import main as final
from search.status.__main__ import state_of
from search.strategies.base import child_of
from target.errors import TargetError
from target.evaluation import Outcome
from target.program import Program
from target.simulated.function_target import FunctionTarget, _Scored
from tests.search.command import QUIET, rows_of

FAST: dict[str, Any] = {"target": "landscape", "tracker": "none", "quiet": True, "strategy": "greedy"}
SOURCE = "SIZE = 64\nprint(SIZE)\n"


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@dataclass(frozen=True)
class FromChampion:
    n: int = 1

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        champion = population.champion
        return child_of(champion.number if champion else 0, rng=rng)


@dataclass(frozen=True)
class Plus:
    name: str = "plus"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        size = int(random.Random(proposal.seed).random() * 1000)
        return Mutation(program=Program(f"SIZE = {size}\nprint(SIZE)\n"), operator=self.name, description=f"to {size}")


def size_of(program: Program, seed: int) -> float | None:
    size = program.constants["SIZE"]
    assert isinstance(size, int)
    return None if size < 10 else float(size)


def own(**more: Any) -> Search:
    target = FunctionTarget(size_of, SOURCE, metric="size", direction="maximize")
    parts: dict[str, Any] = {"strategy": FromChampion(), "operator": Plus(), "target": target}
    settings = {"name": "own", "budget": {"trainings": 12}, "acceptance": "naive", "tracker": "none", "quiet": True}
    return Search(**{**parts, **settings, **more})


def test_it_does_what_the_command_does(tmp_path: Path) -> None:
    settings = ("target=landscape", "target.slots=1", "strategy=greedy", "seed=3", "budget.trainings=12", QUIET)
    command = [sys.executable, "-m", "search", "name=there", *settings]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=300)
    found = run(*settings, name="here", quiet=True)

    assert rows_of(tmp_path / "outputs" / "here") == rows_of(tmp_path / "outputs" / "there")
    assert found.status == "finished"
    assert found.best.value == found.summary.best_val_bpb


def test_it_prints_what_the_command_prints_unless_it_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    run(budget={"trainings": 4}, **FAST)
    assert capsys.readouterr() == ("", "")
    run(budget={"trainings": 4}, **{**FAST, "quiet": False})
    assert "finished: budget.trainings=4 reached" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "lacking"),
    [
        ("strategy", "strategy must be an object as search.strategies.base.Strategy, got object, which has no ask"),
        (
            "operator",
            "operator must be an object as operators.base.Operator, got object, which has no name and no mutate",
        ),
        ("target", "target must be an object as target.base.Target, got object, which has no limits and no kind"),
        ("acceptance", "which has no step and no repeat; docs/extending.md has examples"),
    ],
)
def test_an_object_that_is_no_such_part_is_refused_before_anything_starts(
    tmp_path: Path, part: str, lacking: str
) -> None:
    with pytest.raises(UserError, match=lacking):
        own(**{part: object()}).run()
    assert not (tmp_path / "outputs").exists()


def test_a_class_in_place_of_an_object_is_refused() -> None:
    with pytest.raises(UserError, match=r"got the class FromChampion: write FromChampion\(\.\.\.\)"):
        own(strategy=FromChampion).run()


@pytest.mark.parametrize(("part", "target"), [("executor", "tiny"), ("tracker", "landscape")])
def test_an_executor_or_tracker_of_ones_own_that_lacks_methods_is_refused(
    tmp_path: Path, part: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half.py").write_text("class Half:\n    def __init__(self, *_, **__): ...\n    def close(self): ...\n")
    (tmp_path / part).mkdir()
    (tmp_path / part / "half.yaml").write_text("_target_: half.Half\n_partial_: true\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UserError, match=f"{part} must be an object as .*, got Half, which has no"):
        run(config_dir=tmp_path, **{**FAST, "target": target, part: "half"})


def test_prompts_without_room_for_the_seed_program_are_refused_before_anything_starts(tmp_path: Path) -> None:
    settings = {**FAST, "operator": "agent", "agent": {"command": "cat"}, "name": "a"}

    with pytest.raises(UserError, match=r"needs at least \d+ tokens, but prompt\.max_tokens is 700: raise it"):
        run("prompt.max_tokens=700", **settings)
    with pytest.raises(UserError, match=r"needs at least \d+ tokens, but prompt\.max_tokens is 700: raise it"):
        run("prompts=[default,terse]", "prompt.max_tokens=700", **settings)
    assert not (tmp_path / "outputs").exists()
    Search("prompt.max_tokens=7000", budget={"trainings": 1}, **settings).run()
    assert run("prompt.max_tokens=700", budget={"trainings": 1}, **settings).status == "finished", "it may go on"


def test_importing_it_is_cheap() -> None:
    code = "import search, sys; print(*sorted(sys.modules)); search.Search; print('optuna' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules, then = shown.splitlines()

    assert {"torch", "numpy", "optuna", "hydra", "pandas", "rich"}.isdisjoint(modules.split())
    assert then == "True"
    with pytest.raises(ImportError):
        from search import Serach  # type: ignore[attr-defined]  # noqa: F401


def test_a_result_has_the_best_program_and_a_table(tmp_path: Path) -> None:
    found = run(name="a", seed=1, budget={"trainings": 20}, **FAST)
    best, trials = found.best, found.trials

    assert best.source == (tmp_path / "outputs" / "a" / "trials" / f"{best.number:04d}" / "train.py").read_text()
    assert best.interval is not None
    assert best.interval[0] < best.interval[1] < found.baseline
    assert best.gain == pytest.approx(found.baseline - best.value)
    assert best.diff.startswith("--- a/")
    assert list(trials.columns[:4]) == ["status", "value", "standard_error", "change"]
    assert trials.loc[0, "status"] == "baseline"
    assert trials.value.min() <= best.value
    assert trials.loc[best.number, "change"] < 0
    assert (trials.status == "out_of_memory").sum() == trials.value.isna().sum()
    assert repr(Result("outputs/a")) == repr(found)
    assert "diff" in found._repr_html_()


def test_settings_are_those_of_the_command_line(tmp_path: Path) -> None:
    searches = (
        Search("budget.trainings=3", name="a,b", outputs=tmp_path / "x y"),
        Search(name="c", agent={"command": "a 'b', \"c\" {d}", "environment": ["PATH", "HOME"]}, final={"seeds": 2}),
    )
    first, second = (search._composed.config for search in searches)

    assert (first.name, first.outputs, first.budget.trainings) == ("a,b", str(tmp_path / "x y"), 3)
    assert second.agent.command == "a 'b', \"c\" {d}"
    assert (list(second.agent.environment), second.final.seeds) == (["PATH", "HOME"], 2)
    assert second.budget.usd is None


@pytest.mark.parametrize(
    ("settings", "phrase"),
    [
        ({"strategy": "gredy"}, "greedy"),
        ({"budgte": {"trainings": 3}}, "budget"),
        ({"budget": {"trainings": "four"}}, "budget.trainings must be a whole number, got 'four'"),
        ({"seed": object()}, "seed must be a number, a text, a list or a mapping of these"),
        ({"name": "../x"}, "name must be the path of a folder below outputs"),
        ({"config_dir": "nowhere"}, "config_dir must be a folder, got 'nowhere'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(
    settings: dict[str, Any], phrase: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=phrase):
        Search(**settings)
    assert list(tmp_path.iterdir()) == []


def test_searches_without_a_name_never_share_a_folder() -> None:
    found = [run(budget={"trainings": 2}, seed=seed, **FAST) for seed in range(3)]

    assert len({each.folder for each in found}) == 3


def test_objects_take_the_place_of_choices() -> None:
    found = own().run()

    sizes = [trial.program.constants["SIZE"] for trial in found.population.trials if trial.program]
    assert (found.metric.name, found.best.value) == ("size", max(sizes))
    assert found.baseline == 64
    assert found.best.gain == found.best.value - 64
    assert found.best.interval is None or found.best.interval[0] <= found.best.value <= found.best.interval[1]
    assert set(found.trials.operator) == {"seed", "plus"}
    assert found.trials.value.max() == found.best.value
    assert found.trials.loc[found.best.number, "change"] > 0
    assert found.summary.strategy == "FromChampion"


@dataclass(frozen=True)
class NeverAgain:
    """Keeps nothing."""

    seed: int = 5

    def step(self, trial: Trial, population: Population) -> Measure | Verdict:
        if not trial.evaluations:
            return Measure(((trial.number, self.seed),))
        return Verdict(Status.DISCARD if population.champion else Status.BASELINE)

    def repeat(self, trial: Trial, population: Population) -> Measure | None:
        return None


def test_an_acceptance_rule_may_be_an_object() -> None:
    found = own(acceptance=NeverAgain()).run()

    assert set(found.trials.status) == {"baseline", "discard"}
    assert {each.seed for trial in found.population.trials for each in trial.evaluations} == {5}
    with pytest.raises(UserError, match=r"acceptance.settings was 'NeverAgain\(seed=5\)', is 'NeverAgain\(seed=6\)'"):
        own(acceptance=NeverAgain(seed=6)).run()


def test_a_rule_of_graft_takes_its_settings_as_a_mapping() -> None:
    search = Search(name="m", acceptance={"seeds": 3}, **FAST)

    assert search._composed.config.acceptance.seeds == 3


def test_a_search_with_objects_is_resumed_by_the_same_program_only(capsys: pytest.CaptureFixture[str]) -> None:
    own().run()
    more = own(budget={"trainings": 15}).run()

    assert more.summary.trainings == 15
    with pytest.raises(UserError, match=r"strategy.settings was 'FromChampion\(n=1\)', is 'FromChampion\(n=2\)'"):
        own(strategy=FromChampion(n=2)).run()
    with pytest.raises(UserError, match="run the Python program again that began it"):
        own(seed=1).run()
    assert final([str(more.folder)]) == 2
    assert "the target of this search is an object of a Python program" in capsys.readouterr().err


def test_an_operator_may_be_a_function_that_gets_the_resources() -> None:
    seen = []

    def make(*, resources: Any) -> Plus:
        seen.append(resources.contract.brief)
        return Plus()

    found = own(operator=make).run()

    assert seen == ["Raise `size` of `program.py`."]
    assert found.status == "finished"


def test_a_search_that_stopped_says_what_resumes_it() -> None:
    search = own(max_failures=1, operator=Broken(), budget={"trainings": 5})
    found = search.run()

    assert found.status == "stopped"
    assert search.arguments == ()
    assert state_of(found._run).resume.startswith("run the Python program again")


class Broken(Plus):
    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        return Mutation(program=Program("SIZE = ("), operator=self.name, description="does not parse")


def test_it_runs_in_a_thread_which_gets_no_signals() -> None:
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(run(budget={"trainings": 3}, **FAST)))
    thread.start()
    thread.join()

    assert found[0].status == "finished"


TWO_SIGNALS = """
import signal, sys
{interactive}
from search.interrupts import handled_interrupts
try:
    with handled_interrupts() as interrupts, interrupts.taken_by(print):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("the search ends, and Python goes on")
"""


@pytest.mark.parametrize(("interactive", "status"), [("", -signal.SIGINT), ("sys.ps1 = '> '", 0)])
def test_a_second_interrupt_ends_a_process_but_no_interactive_python(interactive: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_SIGNALS.format(interactive=interactive)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # it may be ignored where tests run
    )

    assert done.returncode == status, done.stderr
    assert ("Python goes on" in done.stdout) == (status == 0)


def test_a_folder_without_a_search_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no search"):
        Result("outputs/nowhere")


@pytest.mark.parametrize(
    ("settings", "phrase"),
    [({"direction": "up"}, "direction must be minimize or maximize, got 'up'"), ({"metric": "a b"}, "metric must be")],
)
def test_a_target_of_a_function_refuses_what_it_cannot_use(settings: dict[str, Any], phrase: str) -> None:
    with pytest.raises(TargetError, match=phrase):
        FunctionTarget(size_of, SOURCE, **settings)


@pytest.mark.parametrize("score", [1.7e308, -1e300, math.nan, math.inf])
def test_a_score_that_measures_nothing_is_a_failure(score: float) -> None:
    found = _Scored(lambda *_: score, sign=1).evaluate(Program(SOURCE), 0)

    assert found.outcome is Outcome.CRASHED  # sums of squares of such scores overflow
    assert "not a finite number of at most 1e+15" in found.detail
