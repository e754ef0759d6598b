"""Wrong arguments: each gets one line that says what was meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from search import noise
from search.construct import compose_config, instantiate, plain_config
from search.errors import UserError
from search.mistakes import groups, nearest
from target.errors import TargetError
from target.evaluate import load_target
from target.fits import misfit
from target.spec import TargetSpec
from tests.search.command import QUIET, assert_clean_failure, run

STRATEGIES = ", ".join(sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "strategy").glob("*.yaml")))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "budget=10",
            "budget is not one setting but several: write budget.trainings=10, budget.hours=10, ",
        ),
        ("llm=3", "llm is not one setting but several: write llm.model=3, llm.models=3, llm.selection=3, ..."),
        ("strategy=3", f"strategy must be one of {STRATEGIES}, got '3'"),
        ("strategy=gredy", f"strategy must be one of {STRATEGIES}, got 'gredy'; did you mean strategy=greedy?"),
        ("acceptance=confirm4", "did you mean acceptance=confirm"),
        ("budget.training=10", "budget.training is not a setting of this search: did you mean budget.trainings=10?"),
        ("hooks.stuck_trials=40", "hooks.stuck_trials is not a setting of this search: it is now stuck.trials=40"),
        ("trainings=10", "trainings is not a setting of this search: did you mean budget.trainings=10?"),
        ("strategy=beam strategy.wdth=3", "did you mean strategy.width=3?"),
        ("llm.modle=x", "did you mean llm.model=x?"),
        ("qqq=1", "qqq is not a setting of this search: `python -m search --help` lists all"),
        ("target.constants.LAYERS=3", "to add it, write +target.constants.LAYERS=3"),
        ("target.constants={DEPTH:3,LAYERS:3}", "has no LAYERS: to add what is new, write '+target.constants={DEPTH"),
        ("target.constants=[3]", "must be a mapping, such as '+target.constants={NAME: VALUE}', got [3]"),
        ("greedy", "got 'greedy'; did you mean strategy=greedy?"),
        ("strategy", "got 'strategy'; strategy is one of anneal, beam"),
        ("trainings", "did you mean budget.trainings=...?"),
        ("--strategy=greedy", "settings have no dashes: write strategy=greedy"),
        ("--target tiny", "settings have no dashes: write target=tiny"),
        ("strategy=greedy strategy.width=4", "not a setting of this search: strategy=beam has it"),
        (
            "strategy=greedy population_size=4",
            "not a setting of this search: strategy=evolution has strategy.population_size",
        ),
        ("resume=a", "a search is resumed by its name: name=a"),
        ("resume", "a search is resumed by its name: name=..."),
        ("max_iterations=50", "max_iterations is not a setting of this search: budget.trainings=50"),
        ("budget.time=8h", "budget.hours, such as budget.hours=8"),
        ("operator=llm", "did you mean operator=patch or operator=rewrite, which ask a model?"),
        ("seed=1.5", "seed must be a whole number, got '1.5'"),
        ("budget.hours=long", "budget.hours must be a number, got 'long'"),
    ],
)
def test_a_mistake_gets_one_line_with_what_was_meant(arguments: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config(arguments.split())

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("group", "arguments", "said"),
    [
        ("strategy", "strategy=beam strategy.width=four", "strategy.width must be a whole number, got 'four'"),
        ("strategy", "strategy=beam strategy.width=2.5", "strategy.width must be a whole number, got 2.5"),
        ("strategy", "strategy=beam strategy.keep_parents=1", "strategy.keep_parents must be true or false, got 1"),
        ("executor", "executor.workers=abc", "executor.workers must be a whole number or null, got 'abc'"),
        ("tracker", "tracker.close_seconds=abc", "tracker.close_seconds must be a number, got 'abc'"),
        ("target", "target=landscape target.seed=abc", "target.seed must be a whole number, got 'abc'"),
    ],
)
def test_a_word_for_a_number_is_refused_before_anything_computes_with_it(group: str, arguments: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        instantiate(compose_config(arguments.split())[group], group)

    assert str(caught.value) == said


@pytest.mark.parametrize("key", ["train_seconds", "scoring.rows", "corpus.vocab_size"])
def test_a_target_refuses_a_word_for_a_number(key: str) -> None:
    with pytest.raises(TargetError, match=rf"^target\.{key} must be a (whole )?number, got 'four'$"):
        TargetSpec.from_config(plain_config(compose_config([f"target.{key}=four"]).target))


def test_whole_numbers_may_be_written_with_an_exponent_and_null_only_where_it_means_something() -> None:
    def make(*, size: int, seconds: float, workers: int | None = None, name: str = "") -> None:
        del size, seconds, workers, name

    make.__annotations__ = {"size": "int", "seconds": "float", "workers": "int | None", "name": "str"}
    fine = {"size": 1e9, "seconds": 3, "workers": None, "name": 5, "other": object()}

    assert misfit(make, fine) is None
    assert misfit(make, {"size": None}) == ("size", "must be a whole number, got None")
    assert misfit(make, {"seconds": True}) == ("seconds", "must be a number, got True")


def test_a_target_that_trains_nothing_has_no_noise(capsys: pytest.CaptureFixture[str]) -> None:
    assert noise.main(["target=landscape"]) == 2
    said = "error: the target must be one whose programs Graft itself trains: gpu or tiny, got landscape\n"
    assert capsys.readouterr().err == said
    with pytest.raises(TargetError, match="got command"):
        load_target("command")


def test_the_choices_of_a_folder_of_ones_own_count(tmp_path: Path) -> None:
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "mine.yaml").touch()

    assert "mine" in groups(["--config-dir", str(tmp_path)])["strategy"]
    assert "mine" in groups([f"--config-dir={tmp_path}"])["strategy"]
    assert nearest("nothing_like_it", ["mine"]) == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["budget=10"], "error: budget is not one setting but several: write budget.trainings=10"),
        (["seed=0,1", "-m", "budget.trainings=0"], "0 of 2 finished"),  # -m need not be in front
    ],
)
def test_the_command_refuses_a_mistake_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search", "target=landscape", QUIET, "name=x", *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert_clean_failure(done, said)
    assert done.returncode == 2


def test_a_conf_of_ones_own_in_the_working_directory_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("raise SystemExit('mine')\n", encoding="utf-8")

    done = run(tmp_path, "target=landscape", "name=x", "budget.trainings=1", QUIET)

    assert done.returncode == 0, done.stderr
