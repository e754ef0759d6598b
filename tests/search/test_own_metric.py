"""A target with a metric and a file of its own: prompts, files and trackers speak of accuracy and solver.py."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import instantiate

from operators.edit import EditError, apply_reply
from operators.llm.dialogue import new_program
from operators.population import Population
from operators.prompts.briefing import ANSWERS, Briefing
from operators.trial import Proposal, Status
from search.construct import compose_config
from search.hooks import Hooks, HookSettings
from search.mlflow.views import TRIALS
from search.runs.finished import read_summary
from search.runs.results import ResultsTable
from search.runs.rundir import RunDirectory
from search.schema import CONF
from search.status.__main__ import state_of
from target.command.target import command_target
from target.metric import Metric
from target.program.contract import TRAINED, Contract
from target.simulated.recorded import read_recordings
from tests.operators.scripted_model import ScriptedModel, make_prompt
from tests.search.builders import make_population, make_summary, make_trial
from tests.search.test_mlflow_pages import make_run, mirrored

ACCURACY = Metric(name="accuracy", is_maximized=True, file="solver.py")
DESCRIBED = {"metric": {"name": "accuracy", "direction": "maximize", "verified": False}, "file": "solver.py"}
SEARCH = make_population(-0.5, -0.75, -0.625)  # the ledger minimizes


def run_in(folder: Path, population: Population = SEARCH) -> RunDirectory:
    run = make_run(folder, "strategy=greedy")
    run.environment.write_text(json.dumps(DESCRIBED))
    run.write_summary(make_summary(population))
    for trial in population.decided:
        run.write_trial(trial, population)
    ResultsTable(run).write(population)
    return run


def contract(folder: Path, metric: str = "accuracy") -> Any:
    settings = yaml.safe_load((CONF / "target" / "command.yaml").read_text())
    settings |= {"root": str(folder), "file": "solver.py", "command": "python solver.py", "metric": metric}
    settings = {key: value for key, value in settings.items() if not key.startswith("_")}
    return command_target(**{**settings, "direction": "maximize"}).contract


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_model_reads_of_the_metric_and_the_file_of_the_target(tmp_path: Path, answer: str) -> None:
    crash = make_trial(3, status=Status.CRASHED, parents=(1,), detail="ValueError: bad")
    population = Population((*SEARCH.trials, crash))
    for base in (1, 3):
        proposal = Proposal(parents=(base,), seed=0)
        briefing = Briefing(answer=answer, proposal=proposal, population=population, base=population.trials[base])
        opening = make_prompt().messages(briefing, direction="Be right.", limits=(), contract=contract(tmp_path))
        text = "\n".join(message.text for message in opening)
        assert "val_bpb" not in text
        assert "train.py" not in text
        assert "-0.75" not in text
        assert "why it should raise accuracy" in text
        assert ("accuracy 0.7500; +0.2500 against the seed" if base == 1 else "worked: accuracy 0.7500") in text
        assert "accuracy 0.6250 (-0.1250 against its parent)" in text, "a discarded child of trial 1"


@pytest.mark.parametrize("style", sorted(path.stem for path in (CONF / "prompt").glob("*.yaml")))
def test_a_stance_speaks_of_networks_only_where_one_is_trained(tmp_path: Path, style: str) -> None:
    prompt = instantiate(compose_config([f"prompt={style}"]).prompt)

    def system(contract: Contract) -> str:
        briefing = Briefing(
            answer="patch", proposal=Proposal(parents=(1,), seed=0), population=SEARCH, base=SEARCH.trials[1]
        )
        return str(prompt.messages(briefing, direction="", limits=(), contract=contract)[0].text)

    words = ("architecture", "optimis", "throughput", "loss curve", "training")
    assert not [word for word in words if word in system(contract(tmp_path))]
    told = [word for word in words if word in system(contract(tmp_path, metric="val_bpb"))]
    assert told or style == "terse"
    assert set(told) <= {word for word in words if word in system(TRAINED)}


def test_answers_may_name_the_file_of_the_target_and_no_other() -> None:
    reply = "**{}**\n```python\nX = 2\n```\nDone.\n"

    assert apply_reply(reply.format("solver.py"), "X = 1\n", file="tasks/solver.py") == "X = 2\n"
    with pytest.raises(EditError, match=r"edits may change only solver\.py, got one for 'train\.py'"):
        apply_reply(reply.format("train.py"), "X = 1\n", file="solver.py")


def test_a_program_that_was_tried_is_refused_with_its_value() -> None:
    program = SEARCH.trials[1].program
    assert program is not None
    with pytest.raises(EditError, match=r"as trial 1 \(keep, accuracy 0\.7500\)"):
        new_program(program.source, SEARCH.trials[0], SEARCH, ACCURACY)


def test_the_critic_is_told_the_metric_and_that_nothing_is_trained(tmp_path: Path) -> None:
    from operators.critique import criticise

    model = ScriptedModel(["ORDER: 2, 1"])
    changes = [trial.mutation for trial in SEARCH.trials[1:] if trial.mutation]
    assert changes[0].program
    criticise(
        changes,
        changes[0].program,
        number=1,
        score=-0.75,
        contract=contract(tmp_path),
        direction="",
        model=model,
        seed=0,
        model_name=None,
    )
    ((message,),) = model.asked
    assert "`solver.py` of trial #1, with accuracy 0.7500 (higher is better)" in message.text
    assert "most likely to raise accuracy" in message.text
    assert "Only one of them will be run now" in message.text
    assert "train" not in message.text.partition("# The direction of the human")[0]


def test_the_files_of_a_search_have_its_name_and_sign(tmp_path: Path) -> None:
    run = run_in(tmp_path / "a")

    rows = list(csv.DictReader(run.results.open(), delimiter="\t"))
    assert [(row["accuracy"], row["delta"]) for row in rows] == [
        *(("0.500000", ""), ("0.750000", "+0.250000"), ("0.625000", "-0.125000"))
    ]
    summary = json.loads(run.summary.read_text())
    assert (summary["baseline_accuracy"], summary["best_accuracy"]) == (0.5, 0.75)
    assert read_summary(run) == make_summary(SEARCH)
    assert (state_of(run).metric, state_of(run).best) == ("accuracy", 0.75)
    assert run.program_of(1) == run.trial(1) / "solver.py"
    assert "--- a/solver.py" in (run.trial(1) / "diff.patch").read_text()
    written = json.loads((run.trial(1) / "result.json").read_text())["when_written"]
    assert (written["accuracy"], written["posterior_mean"] > 0) == (0.75, True)


def test_a_simulation_learns_from_its_trials(tmp_path: Path) -> None:
    population = make_population(*(-0.5 - number / 1000 for number in range(30)))
    found = read_recordings(run_in(tmp_path / "a", population).root)

    assert [row.score for row in found.rows] == [trial.score for trial in population.trials]
    assert found.program == population.trials[0].program


def test_a_hook_gets_the_metric_under_its_name_and_with_its_sign(tmp_path: Path) -> None:
    run = run_in(tmp_path / "a")
    hooks = Hooks(HookSettings(on_keep=f"cat > {tmp_path}/kept.json"), run, pytest.fail)
    hooks.recorded(Population(SEARCH.trials[:1]), make_summary(SEARCH))
    hooks.recorded(SEARCH, make_summary(SEARCH))
    hooks.close()

    told = json.loads((tmp_path / "kept.json").read_text())
    assert (told["trial"]["accuracy"], told["trial"]["change_from_parent"]) == (0.75, 0.25)
    assert told["summary"]["best_accuracy"] == 0.75
    assert "val_bpb" not in json.dumps(told)


@pytest.mark.parametrize(
    ("file", "name"),
    [("src/solver.py", "solver.py"), ("prompt.md", "program-prompt.md"), ("run.log", "program-run.log")],
)
def test_a_program_lies_under_its_own_name_unless_that_is_one_of_ours(tmp_path: Path, file: str, name: str) -> None:
    run = run_in(tmp_path / "a")
    run.environment.write_text(json.dumps({**DESCRIBED, "file": file}))

    assert run.program_of(7).name == name


def test_the_programs_of_an_older_folder_are_found(tmp_path: Path) -> None:
    run = run_in(tmp_path / "a")
    run.program_of(1).rename(run.trial(1) / "train.py")

    assert run.program_of(1).name == "train.py"
    assert run.program_of(2).name == "solver.py"


def test_mlflow_shows_its_name_and_sign_and_sorts_by_it(client: Any, tmp_path: Path) -> None:
    first, second, third, search = mirrored(client, run_in(tmp_path / "a"), SEARCH)

    assert [each.data.metrics["accuracy"] for each in (first, second, third)] == [0.5, 0.75, 0.625]
    assert second.data.metrics["delta_accuracy"] == 0.25
    assert second.data.metrics["posterior_mean"] > 0
    assert second.info.run_name.endswith("(+0.2500)")
    assert "**keep**, accuracy 0.7500, +0.2500 against its parent" in second.data.tags["mlflow.note.content"]
    history = client.get_metric_history(search.info.run_id, "best_accuracy")
    assert [point.value for point in sorted(history, key=lambda point: point.step)] == [0.5, 0.75, 0.75]
    assert search.data.tags["graft.best_accuracy"] == "0.75"
    assert "accuracy 0.5000 → 0.7500, trial" in search.data.tags["mlflow.note.content"]
    tags = client.get_experiment(search.info.experiment_id).tags
    table = json.loads(tags[f"mlflow.sharedViewState.{TRIALS}"])
    assert (table["orderByKey"], table["orderByAsc"]) == ("metrics.`accuracy`", False)
    shown = [{**run.data.metrics, **run.data.tags} for run in (first, second, third, search)]
    assert "val_bpb" not in json.dumps([shown, tags])
    assert {each.path for each in client.list_artifacts(second.info.run_id)} >= {"solver.py", "diff.txt"}


def test_wandb_shows_the_name_and_the_sign_of_the_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from tests.search.test_wandb_tracker import read, track

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = run_in(tmp_path / "sweeps" / "cmp" / "seed=0,strategy=greedy")
    track(run, SEARCH)
    runs = read(run)

    (kept,) = (each for name, each in runs.items() if name.startswith("#1 "))
    assert (kept["summary"]["accuracy"], kept["summary"]["delta_accuracy"]) == (0.75, 0.25)
    search = runs["greedy seed=0"]
    assert [row["best_accuracy"] for row in search["history"]] == [0.5, 0.75, 0.75]
    assert search["summary"]["best_accuracy"] == 0.75
    assert "val_bpb" not in json.dumps([each["summary"] for each in runs.values()])
