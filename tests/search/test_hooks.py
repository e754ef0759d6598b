"""Commands of the user run when something happens in a search, and whatever they do, the search goes on."""

from __future__ import annotations

import json
import sys

import pytest

from operators.population import Population
from operators.trial import Status
from search.errors import UserError
from search.hooks import Hooks, HookSettings
from search.runs.rundir import RunDirectory
from search.stuck import NEVER_STUCK, StuckSettings
from tests.search.builders import make_summary, make_trial
from tests.search.command import QUIET, rows_of, run

APPEND = f"{sys.executable} -c \"import sys; open('calls', 'a').write(sys.stdin.read() + chr(10))\""
TRIALS = (
    make_trial(0, 2.0, status=Status.BASELINE, parents=()),
    make_trial(1, 1.9, status=Status.KEEP),
    make_trial(2, 2.1, status=Status.DISCARD),
    make_trial(3, None, status=Status.CRASHED, detail="it crashed"),
    make_trial(4, 2.2, status=Status.DISCARD),
)


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """Follow a search of some trials, verdict after verdict, and return what the commands were told."""
    monkeypatch.chdir(tmp_path)
    run = RunDirectory(tmp_path / "outputs" / "t")
    run.create()

    def follow(*, said, earlier=0, stuck=NEVER_STUCK, **settings):
        hooks = Hooks(HookSettings(**settings), run, said.append, stuck)
        for count in range(earlier, len(TRIALS) + 1):
            population = Population(TRIALS[:count])
            hooks.recorded(population, make_summary(population, status="running"))
        hooks.recorded(population, make_summary(population, status="finished"))
        hooks.close()
        calls = tmp_path / "calls"
        return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    return follow


def test_each_event_starts_its_command_with_what_happened(follow, tmp_path):
    said = []
    names = ("on_keep", "on_stop", "on_stuck")

    told = follow(said=said, stuck=StuckSettings(trials=2), **dict.fromkeys(names, APPEND))

    assert [(each["event"], each["trial"] and each["trial"]["number"]) for each in told] == [
        ("keep", 1),
        ("stuck", 3),
        ("stop", None),
    ]
    kept = told[0]["trial"]
    assert (kept["status"], kept["val_bpb"], kept["parents"]) == ("keep", 1.9, [0])
    assert kept["change_from_parent"] == pytest.approx(-0.1)
    assert kept["directory"] == str(tmp_path / "outputs" / "t" / "trials" / "0001")
    assert told[1]["trial"]["detail"] == "it crashed"
    assert told[2]["summary"]["status"] == "finished"
    assert said == ["2 verdicts since the last keep"]


def test_verdicts_of_earlier_sessions_are_not_told_again_but_count_for_being_stuck(follow):
    told = follow(said=[], earlier=4, on_verdict=APPEND, on_keep=APPEND, on_stuck=APPEND, stuck=StuckSettings(trials=3))

    assert [(each["event"], each["trial"]["number"]) for each in told if each["event"] != "verdict"] == [("stuck", 4)]


def test_of_verdicts_that_are_heard_together_only_what_still_holds_is_told(tmp_path):
    """Other sessions of a shared ledger have decided them: the search was stuck, and a keep has ended that."""
    run, said = RunDirectory(tmp_path / "t"), []
    hooks = Hooks(HookSettings(), run, said.append, StuckSettings(trials=2))
    statuses = (Status.BASELINE, Status.DISCARD, Status.DISCARD, Status.KEEP, Status.DISCARD, Status.DISCARD)
    trials = [make_trial(number, 2.0, status=status) for number, status in enumerate(statuses)]

    for known in (1, 4, 6):
        population = Population(tuple(trials[:known]))
        hooks.recorded(population, make_summary(population, status="running"))

    assert said == ["2 verdicts since the last keep"]


@pytest.mark.parametrize(
    ("command", "seconds", "complaint"),
    [
        ("sleep 600", 0.5, "did not end within hooks.seconds=0.5 and was stopped"),
        ("yes", 0.5, "did not end within hooks.seconds=0.5 and was stopped"),
        ("echo no such channel >&2; exit 3", 300, "failed with status 3: no such channel"),
        ("./not-there", 300, "failed with status 127: /bin/sh: 1: ./not-there: not found"),
    ],
)
def test_a_command_that_hangs_or_fails_is_said_once_and_stops_nothing(follow, tmp_path, command, seconds, complaint):
    said = []

    follow(said=said, on_keep=command, on_stop=command, seconds=seconds)

    assert said == [f"warning: hooks.on_{event} {complaint}; the search goes on" for event in ("keep", "stop")]
    assert (tmp_path / "outputs" / "t" / "hooks" / "keep.log").stat().st_size <= 1_000_000


def test_a_search_waits_for_the_last_commands_at_its_end(tmp_path):
    done = run(
        tmp_path, "name=h", "target=landscape", "operator=constants", "budget.trainings=9", QUIET,
        "hooks.on_stop='cat > stop.json'",
        "hooks.on_keep='cat >> keeps; echo >> keeps'",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "stop.json").read_text())["summary"]["trainings"] == 9
    kept = [int(row["number"]) for row in rows_of(tmp_path / "outputs" / "h") if row["status"] == "keep"]
    lines = (tmp_path / "keeps").read_text().splitlines() if kept else []
    assert [json.loads(line)["trial"]["number"] for line in lines] == kept


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0}, "hooks.seconds must be positive, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        HookSettings(**settings)
