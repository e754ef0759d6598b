"""How searches and sweeps end: what is printed can be pasted, and one failure does not end a sweep."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from search.ending import Ending, Sweep
from search.printed import command, named, one_of_sweep, stored_arguments
from search.runs.rundir import RunDirectory
from search.statistics import ALPHA, smallest_p
from search.sweep import count_searches, few_seeds
from tests.search.command import QUIET, run

LANDSCAPE = ("target=landscape", QUIET)


def test_a_command_that_is_printed_starts_this_python_and_can_be_pasted() -> None:
    words = ['direction="it\'s, (a) b"', "name=a b", "$HOME", "*"]

    assert shlex.split(command("search", *words)) == [sys.executable, "-m", "search", *words]


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "abcdefghij")

    shown = command("search", "llm.api_key=hush", "direction=abcdefghij")

    assert "hush" not in shown
    assert "abcdefghij" not in shown


def test_the_arguments_of_one_search_of_a_sweep_have_its_name_and_the_flags_of_the_sweep() -> None:
    sweep = ["-m", "--config-dir", "my conf", "name=s", "seed=0,1"]

    alone = named(one_of_sweep(sweep, ["name=s", "seed=1"]), "sweeps/s/a=1,b=2")

    assert alone == ["--config-dir", "my conf", "seed=1", 'name="sweeps/s/a=1,b=2"']


def test_a_search_of_an_earlier_version_has_no_arguments_but_its_settings(tmp_path: Path) -> None:
    old = RunDirectory(tmp_path)
    assert stored_arguments(old, "a") == ["name=a"]
    old.overrides.parent.mkdir()
    old.overrides.write_text("[seed=1, name=a]\n")
    assert stored_arguments(old, "a") == ["seed=1", "name=a"]
    old.arguments.write_text("[--config-dir, x, seed=1, name=a]\n")
    assert stored_arguments(old, "a") == ["--config-dir", "x", "seed=1", "name=a"]


@pytest.mark.parametrize(
    ("arguments", "searches"),
    [
        ("-m seed=0,1 strategy=greedy,random name=s", 4),
        ("-m seed=range(3) budget.trainings=9", 3),
        ("-m strategy=glob(*)", len(list((Path(__file__).parents[2] / "conf" / "strategy").glob("*.yaml")))),
        ("-m target=landscape", 1),
    ],
)
def test_the_searches_of_a_sweep_are_counted(arguments: str, searches: int) -> None:
    assert count_searches(arguments.split()) == searches


@pytest.mark.parametrize("arms", [2, 3, 9])
def test_a_sweep_that_cannot_tell_its_arms_apart_is_warned_of(arms: int) -> None:
    sweep = f"operator={','.join(f'o{each}' for each in range(arms))}"
    (seeds,) = map(int, re.findall(r"fewer than (\d+) seeds", few_seeds(["-m", sweep, "seed=0,1"])))

    assert few_seeds(["-m", sweep, f"seed=range({seeds})"]) == ""
    assert few_seeds(["-m", sweep, f"seed=range({seeds - 1})"])
    pairs = arms * (arms - 1) // 2
    assert pairs * smallest_p(seeds, seeds) <= ALPHA < pairs * smallest_p(seeds - 1, seeds - 1)


@pytest.mark.parametrize("arguments", [["-m", "seed=0,1"], ["-m", "target=landscape"]])
def test_one_arm_has_nothing_to_be_compared_with(arguments: list[str]) -> None:
    assert few_seeds(arguments) == ""


def test_the_last_lines_of_a_sweep_name_what_failed_and_why() -> None:
    fine, bad = Ending(name="sweeps/s/a", code=0), Ending(name="sweeps/s/b", code=2, reason="no\nGPU")
    arguments = ["-m", "seed=0,1,2"]
    resume = f"resume: {command('search', '-m', 'seed=0,1,2', 'name=s')}\n"

    assert Sweep(name="s", endings=[fine] * 3).text(3, arguments) == "3 of 3 finished\n"
    said = Sweep(name="s", endings=[fine, bad]).text(3, arguments)
    assert said == f"1 of 3 finished; failed: sweeps/s/b: no GPU; not started: 1; the same command resumes\n{resume}"
    said = Sweep(name="s", endings=[bad] * 3).text(3, arguments)
    assert said == f"0 of 3 finished; failed: all: no GPU; it goes on after a fix\n{resume}"


def test_a_sweep_without_a_name_has_one_folder_and_is_resumed_there(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "--json", *LANDSCAPE, "seed=0,1", "budget.trainings=0,1")

    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    states = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted({Path(state["folder"]).parent.name for state in states}) == [folder.name]
    assert sorted((state["exit"], state.get("status", "")) for state in states) == [(0, "finished")] * 2 + [(2, "")] * 2
    assert done.stderr.splitlines()[-1].endswith(f" name={folder.name}")


def test_the_end_state_is_one_json_object_on_standard_output(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", *LANDSCAPE, "name=g", "budget.trainings=2")

    state = json.loads(done.stdout)
    assert (state["status"], state["trainings"], state["exit"], state["error"]) == ("finished", 2, 0, None)
    assert Path(tmp_path, state["folder"], "report.md").is_file()
    assert "#0000 baseline" in done.stderr
    refused = json.loads(run(tmp_path, "--json", *LANDSCAPE, "name=h", "budget.trainings=0").stdout)
    assert (refused["exit"], refused["error"]) == (2, "budget.trainings must be at least 1, got 0")


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((0, 2), 2), ((2, 2), 2), ((2, 75), 1)])
def test_the_status_of_a_sweep_is_that_of_its_failures(codes: tuple[int, ...], code: int) -> None:
    assert Sweep(name="s", endings=[Ending(name="a", code=each) for each in codes]).code == code


def test_a_sweep_goes_on_past_a_search_that_failed_and_one_that_has_nothing_new(tmp_path: Path) -> None:
    arguments = ("-m", "name=s", *LANDSCAPE, "operator=switch", "strategy=random", "max_failures=5")
    done = run(tmp_path, *arguments, "budget.trainings=0,900,2")

    assert done.returncode == 2
    assert "warning: 3 arms with 1 seed each" in done.stderr.splitlines()[0]
    assert "finished: nothing new to propose: 5 trials in a row made no new program" in done.stdout
    assert "finished: budget.trainings=2 reached" in done.stdout
    last, resume = done.stderr.splitlines()[-2:]
    assert last.startswith("2 of 3 finished; failed: sweeps/s/budget.trainings=0: budget.trainings must be at least 1")
    assert resume.startswith(f"resume: {sys.executable} -m search -m ")


def test_the_seed_program_is_not_the_best_one_when_nothing_beat_it(tmp_path: Path) -> None:
    done = run(tmp_path, *LANDSCAPE, "name=g", "budget.trainings=2")

    assert (tmp_path / "outputs" / "g" / "trials" / "0000" / "train.py").exists()
    assert "the best program" not in done.stdout
    assert "no improvement" in done.stdout
