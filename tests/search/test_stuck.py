"""What a search does after many verdicts without a keep, and several prompts in one search."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path

import pytest

from operators.trial import Proposal, Status
from search.construct import compose_search
from search.errors import UserError
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.strategies.base import NothingToProposeError
from search.strategies.greedy import Greedy
from search.strategies.islands import Islands
from search.stuck import Action, Stopping, StuckSettings, beyond
from search.styles import WithPrompts, islands_of, with_prompts
from target.simulated.landscape import SOURCE
from tests.contracts.test_strategy import ask, decided, drive, pending
from tests.llm_server import LlmServer, Request
from tests.operators.scripted_model import make_prompt
from tests.search.command import QUIET, run, summary_of

ROOT = Path(__file__).parents[2]
LANDSCAPE = ("target=landscape", "target.slots=1", "strategy=greedy", "operator=constants", QUIET)
PROMPTS = {name: make_prompt(name=name) for name in ("explorer", "simplifier")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 0}, "stuck.trials must be at least 1, or null for never, got 0"),
        ({"trials": 4, "action": "widn"}, "stuck.action must be one of say, widen, stop, got 'widn'"),
        ({"action": "widen"}, "stuck.action=widen needs stuck.trials, the number of verdicts without a keep"),
        ({"action": "stop"}, "stuck.action=stop needs stuck.trials"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message) -> None:
    with pytest.raises(UserError, match=message):
        StuckSettings(**settings)


def test_what_is_said_tells_what_follows() -> None:
    said = [StuckSettings(trials=40, action=action).text(80) for action in Action]

    assert said == [
        "80 verdicts since the last keep",
        "80 verdicts since the last keep; until the next one, proposals go further",
        "80 verdicts since the last keep; nothing new begins, unless a trial under way improves it",
    ]


def test_a_keep_of_what_was_under_way_sets_a_search_going_again() -> None:
    stopping = Stopping(Greedy(), trials=3)
    population = drive(stopping, [1.9, 2.5, 2.5])
    population = population.with_trial(pending(population, ask(stopping, population, 0)))
    late = population.with_trial(pending(population, ask(stopping, population, 0)))
    stuck = late.with_trial(decided(late.trials[4], 2.5, late))

    with pytest.raises(NothingToProposeError, match=r"^stuck: 3 trials without a keep$"):
        ask(stopping, stuck, 0)
    again = stuck.with_trial(decided(stuck.trials[5], 1.5, stuck))
    assert ask(stopping, again, 0).parents == (5,)


def test_a_stuck_search_ends_in_order_and_goes_on_by_the_printed_command(tmp_path: Path) -> None:
    stop = ("stuck.trials=3", "stuck.action=stop", "hooks.on_stop='cat > stop.json'")
    done = run(tmp_path, "name=s", *LANDSCAPE, "budget.trainings=30", *stop)
    root = tmp_path / "outputs" / "s"
    ended = summary_of(root)

    assert done.returncode == 0, done.stderr
    assert (ended["status"], ended["stop_reason"]) == ("finished", "stuck: 3 trials without a keep")
    assert ended["trainings"] < 30
    assert json.loads((tmp_path / "stop.json").read_text())["summary"]["stop_reason"] == ended["stop_reason"]
    same = run(tmp_path, "name=s", *LANDSCAPE, "budget.trainings=30", *stop)
    assert (same.returncode, summary_of(root)["trials"]) == (0, ended["trials"]), "it is still stuck"

    (resume,) = [line for line in done.stderr.splitlines() if line.startswith("resume: ")]
    further = run(tmp_path, *shlex.split(resume.partition("-m search ")[2]))
    assert further.returncode == 0, further.stderr
    assert (summary_of(root)["status"], summary_of(root)["trainings"]) == ("finished", 30)
    marks = [trial.proposal.stuck for trial in read_population(RunDirectory(root)).trials]
    assert marks[: ended["trials"]] == [0] * ended["trials"]
    assert marks[ended["trials"]] == 3, "wider from the first proposal on"
    assert 0 in marks[ended["trials"] :], "and not for ever"


def test_the_arguments_to_go_on_replace_the_action() -> None:
    assert beyond(["seed=1", "stuck.action=stop", "name=a"]) == ("seed=1", "name=a", "stuck.action=widen")
    assert beyond([]) == (), "there is no command for a search of a Python program"


def worse(request: Request) -> str:
    """Answer with a rate that is too high, another one for each request."""
    rate = next(line for line in SOURCE.splitlines() if line.startswith("MATRIX_LR = "))
    changed = rate.replace("0.04", f"0.1{request.number:02}")
    return f"CHANGE: idea {request.number}\n\n<<<<<<< SEARCH\n{rate}\n=======\n{changed}\n>>>>>>> REPLACE\n"


def test_each_island_has_its_own_prompt_and_a_stuck_one_hears_what_failed(tmp_path: Path) -> None:
    with LlmServer(worse) as server:
        done = run(
            tmp_path, "name=p", "target=landscape", "target.slots=1", "strategy=islands", "strategy.islands=2", QUIET,
            "operator=patch", "prompts=[explorer,simplifier]", "prompt.inspirations=0", "propose_ahead=0",
            "stuck.trials=2", "stuck.action=widen", "budget.trainings=8", "llm.check=false",
            "llm.model=openai/scripted", f"llm.api_base={server.url}", "llm.price={input: 1, output: 10}",
            env={"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": ""},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    population = read_population(RunDirectory(tmp_path / "outputs" / "p"))
    asked = [trial for trial in population.trials[1:] if trial.exchanges]

    stances = {"explorer": "Go far from the program", "simplifier": "You win by deleting"}
    for trial in asked:
        system, task = (message.text for message in trial.exchanges[0].messages)
        name = ("explorer", "simplifier")[int(trial.proposal.labels["island"])]
        assert (trial.prompt.partition("@")[0], trial.proposal.style) == (name, name)
        assert [each for each, stance in stances.items() if stance in system] == [name]
        told = f"The last {trial.proposal.stuck} trials did not improve on the best program"
        assert (told in task) == bool(trial.proposal.stuck)
    assert {trial.proposal.style for trial in asked} == set(stances)
    last = asked[-1].exchanges[0].messages[1].text
    fruitless = [trial for trial in population.since_keep[:-1] if trial.status is Status.DISCARD and trial.mutation]
    assert fruitless, "the script improves nothing for long"
    named = last.partition("They tried:")[2]
    assert all(f"#{trial.number} {trial.mutation.description}: val_bpb" in named for trial in fruitless)
    assert "Propose something of another kind than all of these." in named


def test_without_islands_the_seed_of_a_proposal_draws_its_prompt() -> None:
    strategy = with_prompts(Greedy(), PROMPTS, islands=None)
    drawn = [trial.proposal for trial in drive(strategy, [2.5] * 40).trials[1:]]

    assert 10 < sum(each.style == "explorer" for each in drawn) < 30
    assert [each.style for each in drawn] == [each.style for each in map(again, drawn)]


def again(proposal: Proposal) -> Proposal:
    """Return a proposal of the same seed, with its prompt drawn once more."""

    class Fixed:
        def ask(self, population, rng):
            return Proposal(parents=(0,), seed=proposal.seed)

    return WithPrompts(Fixed(), tuple(PROMPTS)).ask(drive(Greedy(), []), random.Random(0))


def test_islands_take_turns_with_fewer_prompts_and_refuse_more() -> None:
    three = Islands(islands=3, interval=5, tournament_size=1)
    population = drive(with_prompts(three, PROMPTS, islands=islands_of(three)), [2.5] * 6)

    assert [trial.proposal.style for trial in population.trials[1:4]] == ["explorer", "simplifier", "explorer"]
    with pytest.raises(UserError, match=r"^prompts names 2 prompts for 1 islands: leave some out, or give "):
        with_prompts(three, PROMPTS, islands=1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("prompts=[explorr]", "prompts must be some of default, explorer, .*, got 'explorr'; did you mean explorer?"),
        ("prompts=[]", r"prompts must be a list of prompts, such as prompts=\[explorer,simplifier\], got \[\]"),
        ("prompts=terse", "prompts must be a list of prompts, .*, got 'terse'"),
        ("prompts=[terse,terse]", "prompts must name each prompt once, got terse, terse"),
    ],
)
def test_unknown_and_repeated_prompts_are_refused(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose_search([setting])


def test_a_setting_of_the_prompt_holds_for_all_of_them() -> None:
    prompts = compose_search(["prompt=terse", "prompts=[explorer,simplifier]", "prompt.failures=3"]).prompts

    assert {name: (each.name, each.failures) for name, each in prompts.items()} == {
        "explorer": ("explorer", 3),
        "simplifier": ("simplifier", 3),
    }
