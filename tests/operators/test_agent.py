"""External commands as operators: scripts that stand in for agents, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from operators.agent.command import run_command
from operators.agent.operator import AgentOperator
from operators.base import MutationError, ProviderError, ProviderRefusalError
from operators.trial import Mutation, Proposal
from target.process.processes import usage
from tests.operators import agents
from tests.operators.scripted_model import make_prompt, make_resources
from tests.operators.test_llm import Clock
from tests.search.builders import MIXED
from tests.waiting import wait_for

PROPOSAL = Proposal(parents=(1,), seed=3)


@pytest.fixture(autouse=True)
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file in which agents note whom they have started; it is named in their environment."""
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    monkeypatch.setenv("SECRET_KEY", "not for agents")
    return tmp_path / "pids"


def make_agent(habit: str, **settings: object) -> AgentOperator:
    options: dict[str, object] = {
        "command": f"{sys.executable} {agents.__file__} {habit}",
        "seconds": 600,
        "usd": None,
        "cost_file": None,
        "cost_pattern": None,
        "environment": ["PATH", "PIDS", "NOT_SET", "SAID", "STATUS", "TIMES"],
        "outage_minutes": 60,
    }
    options = {"resources": make_resources(None), **options, **settings}
    return AgentOperator(prompt=make_prompt(), **options)  # type: ignore[arg-type]


def mutate(habit: str, **settings: object) -> Mutation:
    return make_agent(habit, **settings).mutate(PROPOSAL, MIXED)


def failure(habit: str, **settings: object) -> MutationError:
    with pytest.raises(MutationError) as caught:
        mutate(habit, **settings)
    assert len(caught.value.attempt.exchanges) == 1, "what it printed is kept"
    assert caught.value.attempt.prompt
    return caught.value


def started(pids: Path) -> list[int]:
    """Return the processes that have noted themselves so far."""
    return [int(pid) for pid in pids.read_text().split()] if pids.exists() else []


def gone(pid: int) -> bool:
    """Whether a process has ended; its parent may not have noticed yet."""
    try:
        return usage(pid) is None or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # between the two looks
        return True


def test_the_edited_file_is_the_mutation() -> None:
    mutation = mutate("edit")

    assert MIXED.find(mutation.program.id) is None
    assert (mutation.operator, mutation.description) == ("agent", "another learning rate")
    assert mutation.rationale == "it was too far from the optimum"
    (exchange,) = mutation.exchanges
    assert "thinking hard" in exchange.reply.text
    assert [message.role for message in exchange.messages] == ["system", "user"]
    assert "trial #1" in exchange.messages[1].text


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        ("echo", ("another learning rate", "it was too far from the optimum")),
        ("echo_only", ("2 lines added, 0 removed", "")),
    ],
)
def test_the_form_in_its_task_is_not_what_it_says(habit: str, said: tuple[str, str]) -> None:
    mutation = mutate(habit)
    assert (mutation.description, mutation.rationale) == said


def test_one_that_hangs_is_killed_with_all_that_it_has_started(pids: Path) -> None:
    def clock() -> float:
        return 1.0 if len(started(pids)) == 3 else 0.0  # its time is up once it has started them all

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("operators.agent.operator.run_command", partial(run_command, clock=clock))
        error = failure("hang", seconds=1)

    assert str(error) == "the agent was stopped by agent.seconds=1; raise this limit, or ask for less"
    assert [gone(pid) for pid in started(pids)] == [True] * 3


def test_a_daemon_that_it_leaves_behind_is_killed(pids: Path) -> None:
    assert mutate("leave").description == "another learning rate"
    assert gone(int(pids.read_text()))


def test_changes_of_other_files_alone_are_no_mutation() -> None:
    assert str(failure("wrong_file")) == (
        "the agent did not edit train.py: it changed prepare.py, program.md, but only train.py counts"
    )


def test_changes_of_other_files_beside_are_thrown_away_and_told() -> None:
    assert mutate("both").rationale.endswith("[changes of prepare.py, program.md were discarded]")


def test_what_it_prints_is_bounded() -> None:
    mutation = mutate("flood")

    said = mutation.exchanges[0].reply.text
    assert mutation.description == "another learning rate"
    assert len(said) < 20_000
    assert "noise\nnoise\n" in said, "without its colours"


@pytest.mark.parametrize(
    ("habit", "reason"),
    [
        ("nothing", "the agent did not edit train.py: nothing changed; it said: I see nothing to change."),
        ("fail", "the agent ended with exit status 1: out of credit"),
        ("nonsense", "syntax: train.py:1: invalid syntax"),
        ("link", "the agent left a train.py that cannot be read"),
    ],
)
def test_an_edit_that_cannot_be_used_is_a_mutation_error(habit: str, reason: str) -> None:
    assert str(failure(habit)).startswith(reason)


@pytest.mark.parametrize(
    ("settings", "cost_usd"),
    [
        ({}, 0.0),
        ({"cost_file": "cost.json"}, 0.25),
        ({"cost_pattern": r"cost so far: \$([0-9.]+)"}, 0.5),
        ({"cost_file": "none.json"}, 0.0),
    ],
)
def test_its_cost_is_what_it_says(settings: dict[str, object], cost_usd: float) -> None:
    mutation = mutate("spend", **settings)

    assert mutation.cost_usd == mutation.exchanges[0].reply.cost_usd == cost_usd
    assert ("cost.json" in mutation.rationale) == (settings.get("cost_file") != "cost.json")


def test_one_that_spends_too_much_is_stopped() -> None:
    error = failure("spend on", cost_file="cost.json", usd=0.2)

    assert "stopped by agent.usd=0.2" in str(error), "and not by its time"
    assert error.attempt.cost_usd == 0.25


@pytest.mark.parametrize(("habit", "usd"), [("stumble", None), ("stumble on", 5.0)])
def test_a_cost_pattern_that_never_ends_is_stopped_and_told(
    monkeypatch: pytest.MonkeyPatch, habit: str, usd: float | None
) -> None:
    monkeypatch.setattr("target.patterns.SECONDS", 0.05)
    error = failure(habit, cost_pattern=r"(?:x|xx)+y([0-9])", usd=usd)

    assert "cost is not known: the search for agent.cost_pattern in its output was stopped after 0.05 CPU" in str(error)
    assert error.attempt.exchanges[0].reply.text.rstrip().endswith("xxx"), "what it printed is kept"


def test_it_sees_the_named_variables_only(pids: Path) -> None:
    mutate("environment")
    seen = set(pids.read_text().split())

    assert {"PATH", "PIDS", "TMPDIR", "GRAFT_SEED"} <= seen
    assert seen - {"PATH", "PIDS", "TMPDIR", "GRAFT_SEED"} <= {"LC_CTYPE", "PWD"}, "Python's own"


def test_nothing_is_left_of_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mutate("edit")

    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"command": None}, r"operator agent needs a command: agent\.command="),
        ({"command": "no-such-agent -p"}, "there is no program 'no-such-agent'"),
        ({"command": "claude 'x"}, "agent.command is not a command line"),
        ({"seconds": 0}, "must be above 0"),
        ({"outage_minutes": -1}, "must be at least 0"),
        ({"usd": 1.0}, r"agent\.usd needs agent\.cost_file or agent\.cost_pattern"),
        ({"cost_pattern": "("}, "agent.cost_pattern must be a regular expression"),
        ({"cost_pattern": "cost"}, "needs a group"),
    ],
)
def test_settings_are_checked_at_the_start(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_agent("edit", **settings)


def in_an_outage(
    said: str, status: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[AgentOperator, Clock, list[str]]:
    """Return an agent that gets nothing from its provider in so many runs, its clock, and what the user is told."""
    for name, value in (("SAID", said), ("STATUS", str(status)), ("TIMES", str(times))):
        monkeypatch.setenv(name, value)
    clock, told = Clock(), list[str]()
    resources = replace(make_resources(None), say=told.append, sleep=clock.sleep)
    return make_agent("limited", clock=clock, resources=resources), clock, told


def test_a_usage_limit_is_waited_for_and_nothing_of_the_tries_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, clock, told = in_an_outage(
        "You've hit your session limit \u00b7 /upgrade to increase your usage limit.", 1, 2, monkeypatch
    )
    mutation = agent.mutate(PROPOSAL, MIXED)

    assert mutation.description == "another learning rate"
    assert "HALF" not in mutation.program.source
    assert len(clock.slept) == 2
    assert told[0].startswith("the agent got nothing from its provider: You've hit your session limit")


def test_a_long_wait_is_told_in_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, clock, told = in_an_outage("You've hit your usage limit. Try again in 14 minutes.", 1, 1, monkeypatch)
    agent.mutate(PROPOSAL, MIXED)

    (seconds,) = clock.slept
    assert told[0].endswith(f"; next try in {seconds // 60:.0f}:{seconds % 60:02.0f} min")


def test_a_limit_that_lasts_too_long_stops_the_search_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: You've hit your usage limit. Upgrade to Pro or try again in 2 days 17 hours 14 minutes."
    agent, clock, _ = in_an_outage(said, 1, 9, monkeypatch)
    with pytest.raises(ProviderError, match=r"agent\.outage_minutes=60 allow no more: ERROR: You've hit") as caught:
        agent.mutate(PROPOSAL, MIXED)
    assert not isinstance(caught.value, ProviderRefusalError), "the same command resumes it later"
    assert clock.slept == []


def test_an_agent_that_is_not_logged_in_stops_the_search_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, clock, _ = in_an_outage("Not logged in \u00b7 Please run /login", 1, 9, monkeypatch)
    with pytest.raises(ProviderRefusalError, match=r"the agent cannot work: Not logged in .* agent\.environment"):
        agent.mutate(PROPOSAL, MIXED)
    assert clock.slept == []


def test_the_search_does_not_leave_its_descriptors_open() -> None:
    def more_than_before() -> bool:
        before = len(list(Path("/proc/self/fd").iterdir()))
        mutate("edit")
        return len(list(Path("/proc/self/fd").iterdir())) > before

    assert not all(more_than_before() for _ in range(3)), "threads of earlier tests may open one, but not each time"


def test_it_does_not_outlive_a_search_that_is_killed(pids: Path) -> None:
    lone = "from tests.operators.test_agent import mutate; mutate('hang', seconds=600)"
    root = Path(__file__).parents[2]
    search = subprocess.Popen([sys.executable, "-c", lone], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    try:
        wait_for(lambda: len(started(pids)) == 3)
    finally:
        search.kill()
        search.wait()

    wait_for(lambda: all(gone(pid) for pid in started(pids)))
