"""`python -m search.prompt`: prompts as they were sent, and what each prompt gained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from operators.chat import Exchange, Message
from operators.population import Population
from operators.trial import STYLE, Attempt, Status
from search.prompt.__main__ import main
from search.prompt.rebuilt import section_tokens
from search.prompt.table import prompt_rows, prompt_table, section_table
from search.report import render_report
from search.runs.finished import load_run
from search.runs.ledger import Ledger
from search.runs.reading import Elapsed, population_before
from search.runs.rundir import RunDirectory
from search.tracking.records import trial_record
from tests.operators.composed import compose
from tests.operators.scripted_model import make_reply
from tests.search.builders import make_population, make_summary
from tests.search.sweeps import write_run

EXCHANGES = tuple(
    Exchange(messages=(Message(role="user", text=f"request {number}"),), reply=make_reply("reply")) for number in (1, 2)
)


def asked(population: Population, prompts: dict[int, str], operator: str = "patch") -> Population:
    """Return a population in which some trials were made by a model, with these prompts, at 2 requests each."""
    trials = list(population.trials)
    for number, prompt in prompts.items():
        trial = trials[number]
        made = {"operator": operator, "prompt": prompt, "exchanges": EXCHANGES, "cost_usd": 0.02}
        trials[number] = (
            replace(trial, mutation=replace(trial.mutation, **made))
            if trial.mutation
            else replace(trial, failure=Attempt(**made))  # type: ignore[arg-type]
        )
    return Population(tuple(trials))


SEARCH = asked(
    make_population(2.0, 1.9, Status.NOT_BUILT, 1.95, 1.7, 1.6, Status.PENDING),
    {1: "terse@1", 2: "terse@1", 3: "terse@1", 4: "default@2", 5: "terse@1"},
)


def test_rows_add_up_what_each_prompt_brought() -> None:
    default, terse = sorted(prompt_rows([SEARCH]), key=lambda row: row.prompt)

    assert (terse.prompt, terse.operator, terse.proposals, terse.built, terse.kept) == ("terse@1", "patch", 4, 3, 2)
    assert terse.gain == pytest.approx(0.1 + 0.1)
    assert (default.proposals, default.kept, default.gain) == (1, 1, pytest.approx(0.2))
    conflict = replace(SEARCH.trials[3], status=Status.NOT_BUILT, evaluations=(), detail="the edit does not fit")
    moved = Population(tuple(conflict if trial.number == 3 else trial for trial in SEARCH.trials))
    assert [row.built for row in prompt_rows([moved]) if row.prompt == "terse@1"] == [2], "its edit fitted no more"
    assert (terse.prompt_tokens, terse.completion_tokens, terse.cost_usd) == (800, 160, pytest.approx(0.08))
    assert terse.gain + default.gain == pytest.approx(2.0 - 1.6), "together they are the gain of the search"


def test_rows_go_over_searches_and_the_best_gain_a_search_comes_first() -> None:
    one, two = (asked(make_population(2.0, score), {1: "a@1"}) for score in (1.9, 1.8))
    other = asked(make_population(2.0, 1.5), {1: "b@1"})
    first, second = prompt_rows([one, two, other])

    assert (first.prompt, first.searches, first.gain) == ("b@1", 1, pytest.approx(0.5))
    assert (second.prompt, second.searches, second.gain) == ("a@1", 2, pytest.approx(0.3))
    table = prompt_table([first, second])
    assert "| a@1 | patch | 2 | 2 | 2 (100 %) | 2 | 0.1500 [-0.4853, 0.7853] | 400 (0) | 80 | 0.0400 |" in table
    assert "| b@1 | patch | 1 | 1 | 1 (100 %) | 1 | 0.5000 | 200 (0) | 40 | 0.0200 |" in table
    assert prompt_rows([make_population(2.0)]) == []
    assert prompt_table([]) == ""


def test_the_report_of_a_search_has_the_table(tmp_path: Path) -> None:
    text = render_report(SEARCH, make_summary(SEARCH), RunDirectory(tmp_path))

    assert "## What each operator and prompt gained" in text
    assert "| terse@1 | patch | 1 | 4 | 3 (75 %) | 2 | 0.2000 | 800 (0) | 160 | 0.0800 |" in text


def test_mlflow_gets_the_prompt_of_every_trial_built_or_not() -> None:
    assert [trial_record(SEARCH.trials[number], SEARCH).tags.get("graft.prompt", "") for number in (0, 2, 4)] == [
        "",
        "terse@1",
        "default@2",
    ]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return the folder of a search with one trial of each kind: asked for, failed, without a model."""
    run = RunDirectory(tmp_path / "one")
    write_run(run.root, [2.0])
    ledger = Ledger(run)
    people = asked(make_population(2.0, 1.9, Status.NOT_BUILT, 1.95), {1: "terse@1", 2: "terse@1"})
    for trial in people.trials[1:]:
        ledger.propose(trial.proposal)
        if trial.mutation:
            ledger.build(trial.number, trial.mutation)
        for evaluation in trial.evaluations:
            ledger.evaluate(trial.number, evaluation)
        ledger.decide(trial.number, trial.status, detail=trial.detail, elapsed=Elapsed(), failure=trial.failure)
    config = OmegaConf.to_container(compose("tracker=none", "name=one"), resolve=True)
    run.config.write_text(yaml.safe_dump(config))
    return run


def test_the_ledger_keeps_prompt_and_operator_of_every_trial(run: RunDirectory) -> None:
    trials = Ledger(run).population.trials

    assert [(trial.operator, trial.prompt) for trial in trials[1:]] == [
        ("patch", "terse@1"),
        ("patch", "terse@1"),
        ("constants", ""),
    ]
    assert trials[2].exchanges == EXCHANGES


@pytest.mark.parametrize("trial", ["1", "2"])
def test_a_prompt_is_shown_as_it_was_sent(run: RunDirectory, trial: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run.root), trial]) == 0
    shown = capsys.readouterr()
    assert "request 1" in shown.out
    assert "request 2" not in shown.out
    assert shown.err == ""

    assert main([str(run.root), trial, "--request", "2"]) == 0
    assert "request 2" in capsys.readouterr().out


def test_a_prompt_that_was_never_sent_is_written_anew_from_what_was_known(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run.root), "3"]) == 0
    shown = capsys.readouterr()

    assert "starting from trial #1" in shown.out
    assert "SEARCH" in shown.out
    assert "#3" not in shown.out, "its result was not known then"
    assert "rebuilt" in shown.err
    assert main([str(run.root), "1", "--as", "simplifier"]) == 0
    assert "You win by deleting" in capsys.readouterr().out


def test_a_prompt_of_the_users_own_is_rebuilt_with_the_settings_of_the_search(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own conf"
    (own / "prompt").mkdir(parents=True)
    (own / "system.j2").write_text("You are a plumber.\n")
    (own / "prompt" / "plumber.yaml").write_text(f"defaults: [default, _self_]\nname: p\nsystem: {own}/system.j2\n")
    arguments = ["--config-dir", str(own), "prompts=[plumber,terse]", "prompt.ancestors=0", "name=one"]
    run.arguments.write_text(yaml.safe_dump(arguments))
    ledger = Ledger(run)
    proposal = replace(ledger.population.trials[3].proposal, labels={STYLE: "plumber"})
    ledger.propose(proposal)

    for words in (["4"], ["3", "--as", "plumber"]):
        assert main([str(run.root), *words]) == 0
        shown = capsys.readouterr().out
        assert "You are a plumber." in shown
        assert "# Its history" not in shown, "prompt.ancestors=0 holds for each of the prompts"
    assert main([str(run.root), "3"]) == 0
    assert "# Its history" in capsys.readouterr().out

    moved = own.rename(tmp_path / "moved")
    (moved / "prompt" / "plumber.yaml").write_text("defaults: [default, _self_]\nname: p\n")
    assert main([str(run.root), "4"]) == 2
    assert f"began with --config-dir {own}, which is no folder here: give --config-dir" in capsys.readouterr().err
    assert main([str(run.root), "4", "--config-dir", str(moved)]) == 0


def test_relative_paths_of_a_search_are_those_of_where_it_started(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start"
    start.mkdir()
    (start / "mine.md").write_text("Prefer prime numbers.\n")
    (start / "system.j2").write_text("{{ direction }}\n")
    config = yaml.safe_load(run.config.read_text())
    config |= {"direction": "mine.md", "prompt": {**config["prompt"], "system": "./system.j2"}}
    run.config.write_text(yaml.safe_dump(config))
    run.environment.write_text(json.dumps({"directory": str(start)}))
    monkeypatch.chdir(tmp_path)

    assert main([run.root.name, "3"]) == 0
    assert "Prefer prime numbers." in capsys.readouterr().out
    assert Path.cwd() == tmp_path


def test_what_was_known_is_what_had_a_verdict(run: RunDirectory) -> None:
    ledger = Ledger(run)
    for _ in range(2):
        ledger.propose(ledger.population.trials[1].proposal)
    ledger.decide(4, Status.NOT_BUILT, detail="late", elapsed=Elapsed())

    before = population_before(run, 5)
    assert [trial.status for trial in before.trials[:4]] == [trial.status for trial in ledger.population.trials[:4]]
    assert [trial.status for trial in before.trials[4:]] == [Status.PENDING]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{root}", "9"], "has no trial '9': its trials are 0 to 3"),
        (["{root}", "x"], "has no trial 'x'"),
        (["{root}", "0"], "trial 0 is the seed program"),
        (["{root}", "1", "--request", "3"], "trial 1 has requests 1 to 2, got --request 3"),
        (["{root}", "1", "--as", "poetic"], "poetic"),
        (["{root}/gone", "1"], "holds no search"),
        (["--table", "{root}/gone"], "holds no search"),
    ],
)
def test_wrong_arguments_are_told_clearly(
    run: RunDirectory, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([each.format(root=run.root) for each in arguments]) == 2
    error = capsys.readouterr().err

    assert reason in error
    assert "Traceback" not in error


def test_a_sweep_is_summed_up_in_a_table(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(run.root.parent / "two", [2.0, 1.8])
    assert main(["--table", str(run.root.parent)]) == 0

    shown = capsys.readouterr().out
    assert "| terse@1 | patch | 1 | 2 | 1 (50 %) | 1 | 0.1000 |" in shown
    assert "| - | constants | 2 | 2 | 2 (100 %) | 1 | 0.1000 [-1.1706, 1.3706] |" in shown
    assert (run.root.parent / "prompts.md").read_text() in shown


def test_the_tokens_of_each_section_stand_below_the_table(run: RunDirectory) -> None:
    prompt = hydra.utils.instantiate(compose("tracker=none").prompt)
    found = load_run(run.root)
    population = asked(found.population, {3: prompt.label})

    sections = section_tokens(replace(found, population=population))

    (tokens,) = sections.values()
    assert sections.keys() == {prompt.label}
    assert tokens["earlier"] == tokens["unsuccessful"] == 0
    assert 20 < tokens["statistics"] < 100, "its curve alone"
    assert 5 < tokens["curve"] < 50
    assert section_table(sections).splitlines()[1:3] == [
        "| tokens by section | fruitless | curve | ancestors | constants | inspirations | statistics | failures "
        "| near_misses | unsuccessful | earlier |",
        "|" + " --- |" * 11,
    ]
    assert section_tokens(found) == {}, "no trial has the prompt of this configuration"
    assert section_table({}) == ""


def test_mlflow_has_a_run_for_every_row(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert main(["--table", str(run.root), "--tracking-uri", uri]) == 0
    assert "not sent to MLflow: there is no" in capsys.readouterr().out

    MlflowClient(tracking_uri=uri).search_experiments()  # makes the database
    assert main(["--table", str(run.root), "--tracking-uri", uri]) == 0
    assert "MLflow experiment 'prompts'" in capsys.readouterr().out
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("prompts")
    assert experiment is not None
    rows = {each.info.run_name: each.data for each in client.search_runs([experiment.experiment_id])}
    assert rows.keys() == {"terse@1 patch", "- constants"}
    assert rows["terse@1 patch"].metrics["built"] == 1
    assert rows["terse@1 patch"].metrics["gain_a_search"] == pytest.approx(0.1)
    assert rows["terse@1 patch"].tags["graft.prompt"] == "terse@1"
