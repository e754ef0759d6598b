"""Names of the searches of a sweep."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from search.names import check_name
from search.sweep import remember_shared, seeds_outside, sweep_name
from tests.search.command import QUIET, assert_clean_failure, run


def names(*arguments: str) -> list[str]:
    """Return the names of all searches of a sweep, as Hydra's sweeper would make them of a command line."""
    remember_shared(arguments)
    choices = []
    for each in OverridesParser.create().parse_overrides([*arguments]):
        values = each.sweep_string_iterator() if each.is_sweep_override() else [each.get_value_element_as_str()]
        choices.append([f"{each.get_key_element()}={value}" for value in values])
    return [sweep_name(job, number) for number, job in enumerate(itertools.product(*choices))]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_SWEEP_SHARED", "[]")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("strategy=greedy,random seed=0 target=landscape", ["strategy=greedy", "strategy=random"]),
        ("strategy=beam seed=range(0,2)", ["seed=0", "seed=1"]),
        ("+target.constants.A=1,2 budget.trainings=3", ["target.constants.A=1", "target.constants.A=2"]),
        ("budget.trainings=1,2 seed=1", ["budget.trainings=1", "budget.trainings=2"]),
        ("executor.workers=1,2", ["executor.workers=1", "executor.workers=2"]),
        ("name=a,b", ["0", "1"]),
        ("seed=3 target=landscape budget.trainings=3", ["seed=3,target=landscape"]),  # a sweep of one
        ("name=a tracker=none", ["0"]),
    ],
)
def test_what_is_equal_in_all_of_them_stays_out(arguments: str, found: list[str]) -> None:
    assert names(*arguments.split()) == found


def test_each_seed_of_all_arms_comes_before_the_next_seed() -> None:
    words = ["--config-dir", "conf", "target=tiny", "strategy=greedy,random", "seed=0,1", "-m"]
    arms = ["greedy", "random"]

    ordered = seeds_outside(words)

    assert ordered == ["-m", "--config-dir", "conf", "target=tiny", "seed=0,1", "strategy=greedy,random"]
    assert names(*ordered[3:]) == [f"seed={seed},strategy={arm}" for seed in (0, 1) for arm in arms]
    assert seeds_outside(["strategy=beam,greedy", "seed=1,2"]) == ["strategy=beam,greedy", "seed=1,2"]  # no sweep


def test_it_does_not_matter_how_a_setting_is_written() -> None:
    assert names("direction='a b'", "seed=0, 1") == names('direction="a b"', "seed=0,1") == ["seed=0", "seed=1"]


def test_long_settings_that_begin_alike_are_told_apart() -> None:
    first, second = (f"'{'agent --say ' * 40}{end}'" for end in "ab")

    found = names(f"agent.command={first},{second}", "strategy=greedy,random")

    assert len(set(found)) == 4
    assert all(re.fullmatch(r"agent\.command=[\w-]+~[0-9a-f]{10},strategy=\w+", name) for name in found)


def test_many_settings_make_a_name_that_fits() -> None:
    found = names(*(f"target.constants.VALUE_{number}=1,2" for number in range(6)))

    assert len(set(found)) == 64
    assert {len(name) for name in found} == {100}


VALUES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=60), min_size=2, max_size=5
)


@settings(max_examples=40, deadline=None)
@given(VALUES, st.booleans())
def test_settings_that_differ_never_share_a_name_and_every_name_is_one(values: list[str], twice: bool) -> None:
    quoted = [json.dumps(value, ensure_ascii=False) for value in dict.fromkeys(values) if "\\" not in value]
    if len(quoted) < 2:
        return
    arguments = [f"direction={','.join(quoted)}", *([f"agent.command={','.join(quoted)}"] if twice else [])]

    found = names(*arguments)

    assert len(set(found)) == len(quoted) ** (1 + twice)
    assert found == names(*arguments)
    for name in found:
        check_name(f"sweeps/x/{name}")
        assert "/" not in name
        assert len(name) <= 100


def test_a_password_is_in_no_name() -> None:
    found = names("tracker.tracking_uri=http://me:hunter2@a,http://me:hunter2@b")

    assert len(set(found)) == 2
    assert "hunter2" not in "".join(found)


def test_a_sweep_over_long_settings_runs_and_resumes(tmp_path: Path) -> None:
    long = "--and " * 80
    commands = f"agent.command='echo {long} a','echo {long} b'"
    arguments = ("-m", "name=s", "target=landscape", commands, "seed=4", "budget.trainings=1", QUIET)
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    folders = sorted(path.name for path in (tmp_path / "outputs" / "sweeps" / "s").iterdir())
    assert len(folders) == 2

    again = run(tmp_path, *arguments)

    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in (tmp_path / "outputs" / "sweeps" / "s").iterdir()) == folders


def test_another_sweep_does_not_go_on_in_the_folders_of_the_first(tmp_path: Path) -> None:
    first = ("-m", "name=s", "target=landscape", "strategy=greedy,random", "budget.trainings=1", QUIET)
    assert run(tmp_path, *first, "seed=1").returncode == 0

    done = run(tmp_path, *first, "seed=2")

    assert_clean_failure(
        done, "holds a search with another configuration: seed was 1, is 2", "choose another name, or resume it:"
    )
