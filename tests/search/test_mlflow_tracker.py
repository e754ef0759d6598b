"""MLflow as a mirror of a search: complete, and idempotent. Real stores."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Status
from search.mlflow.tracker import MlflowTracker
from search.runs.rundir import RunDirectory
from search.tracking.records import trial_record
from target.evaluation import Outcome
from target.program import Program
from tests.search.builders import MIXED, make_evaluation, make_population, make_summary, make_trial
from tests.search.mirrors import (
    BUILT,
    client_of,
    make_run,
    make_tracker,
    mirror,
    search_of,
    trials_of,
)

ROOT = Path(__file__).parents[2]


def artifacts_of(outputs, run):
    return {file.path for file in client_of(outputs).list_artifacts(run.info.run_id)}


def test_every_trial_with_a_program_is_one_flat_complete_run(outputs):
    mirror(outputs, MIXED)

    runs = trials_of(outputs)

    built = BUILT
    assert [run.data.tags["graft.trial"] for run in runs] == [str(trial.number) for trial in built]
    assert [run.info.run_name for run in runs[:4]] == [
        "#0 MATRIX_LR -> 0.02",
        "#1 MATRIX_LR -> 0.021 (-0.1000)",
        "#2 MATRIX_LR -> 0.022 (crashed)",
        "#3 MATRIX_LR -> 0.023 (+0.0500)",
    ]
    assert [run.info.status for run in runs] == ["FINISHED" if trial.scored else "FAILED" for trial in built]
    assert [run.data.metrics.get("val_bpb") for run in runs] == [trial.score for trial in built]
    assert all("mlflow.parentRunId" not in run.data.tags for run in runs)


def test_a_run_says_what_changed_and_what_came_of_it(outputs):
    mirror(outputs, MIXED)

    kept = next(run for run in trials_of(outputs) if run.data.tags["graft.trial"] == "5")

    settings = {"strategy": "greedy", "operator": "constants", "target": "tiny", "seed": "0"}
    assert kept.data.params == {**settings, "DEPTH": "4", "MATRIX_LR": "0.025"}
    assert kept.data.metrics["delta_val_bpb"] == pytest.approx(-0.05)
    assert kept.data.metrics["train_seconds"] == 8.0
    assert kept.data.metrics["peak_memory_gb"] == 0.5
    assert kept.data.metrics["n_evaluations"] == 1
    assert kept.data.metrics["cost_usd"] == 0.01
    assert kept.data.tags["graft.status"] == "keep"
    assert kept.data.tags["graft.parents"] == "1"
    assert kept.data.tags["graft.generation"] == "5"
    assert kept.data.tags["graft.program_id"] == MIXED.trials[5].program.id
    assert "another rate may train faster" in kept.data.tags["mlflow.note.content"]
    assert kept.info.end_time - kept.info.start_time == 9500
    assert artifacts_of(outputs, kept) == {"train.py", "diff.txt", "result.json"}
    curve = client_of(outputs).get_metric_history(kept.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in curve] == [
        (round(1000 * seconds), loss) for seconds, loss in MIXED.trials[5].evaluations[0].curve
    ]


def test_the_run_of_the_search_shows_the_best_so_far_by_trainings(outputs):
    run = make_run(outputs, MIXED)
    (run.root / "lineage.html").write_text("<p>lineage</p>")
    tracker = make_tracker(outputs, run)
    tracker.update(MIXED, make_summary(MIXED))
    tracker.close()

    search = search_of(outputs)

    history = client_of(outputs).get_metric_history(search.info.run_id, "best_val_bpb")
    assert [(point.step, point.value) for point in history] == [
        *((1, 2.0), (2, 1.9), (3, 1.9), (4, 1.9)),
        *((5, 1.85), (6, 1.85), (7, 1.85), (8, 1.8)),
    ]
    assert search.info.status == "FINISHED"
    assert search.data.tags["graft.best_trial"] == "9"
    assert search.data.tags["graft.seed"] == "0"
    assert "graft.pruned" not in search.data.tags, "what did not happen has no tag"
    assert search.data.tags["graft.outcomes"] == "1 crashed, 1 not_built, 6 ok, 1 rejected, 1 timed_out"
    assert artifacts_of(outputs, search) == {"lineage.html"}


def test_resuming_sends_only_what_is_new(outputs):
    half = Population(MIXED.trials[:4])
    mirror(outputs, half, status="stopped")
    before = {run.info.run_id: run.info.end_time for run in trials_of(outputs)}
    assert search_of(outputs).info.status == "KILLED"

    mirror(outputs, MIXED)

    after = {run.info.run_id: run.info.end_time for run in trials_of(outputs)}
    assert before.items() <= after.items()
    assert len(after) == len(BUILT)
    history = client_of(outputs).get_metric_history(search_of(outputs).info.run_id, "best_val_bpb")
    assert len({point.step for point in history}) == len(history)


def test_a_trial_that_is_measured_again_is_updated(outputs):
    population = make_population(2.0, 1.9)
    mirror(outputs, population)
    champion = population.trials[1]
    again = replace(champion, evaluations=(*champion.evaluations, make_evaluation(1.7, seed=1)))

    remeasured = population.with_trial(again)
    mirror(outputs, remeasured)

    _, run = trials_of(outputs)
    assert run.data.metrics["val_bpb"] == pytest.approx(remeasured.scores[1])
    assert run.data.metrics["n_evaluations"] == 2


@pytest.mark.parametrize("interrupted_after", ["create_run", "log_batch", "lost reply"])
def test_a_half_sent_trial_is_completed(outputs, interrupted_after):
    from mlflow.entities import Metric, Param

    population = make_population(2.0, 1.9)
    mirror(outputs, Population(population.trials[:1]))
    client = client_of(outputs)
    experiment = client.get_experiment_by_name("demo").experiment_id
    tags = {"graft.kind": "trial", "graft.trial": "1", "graft.search_id": (outputs / "demo" / ".search_id").read_text()}
    torn = client.create_run(experiment, tags=tags)
    if interrupted_after == "log_batch":
        client.log_batch(torn.info.run_id, [Metric("val_bpb", 1.9, 5, 0)], [Param("DEPTH", "4")])
    if interrupted_after == "lost reply":
        client.create_run(experiment, tags=tags)

    mirror(outputs, population)

    _, run = trials_of(outputs)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "#1 MATRIX_LR -> 0.021 (-0.1000)"
    assert run.data.metrics["val_bpb"] == 1.9
    assert run.data.params.items() >= {"DEPTH": "4", "MATRIX_LR": "0.021", "operator": "constants"}.items()
    assert len(client.get_metric_history(run.info.run_id, "val_bpb")) == 1


def test_a_new_search_of_an_old_name_gets_an_experiment_of_its_own(outputs):
    mirror(outputs, make_population(2.0, 1.9, 1.8))
    shutil.rmtree(outputs / "demo")

    run = mirror(outputs, make_population(2.0, 1.5))

    names = {experiment.name for experiment in client_of(outputs).search_experiments()}
    (other,) = names - {"Default", "demo"}
    assert other == f"demo {(run.root / '.search_id').read_text()[:6]}"
    assert len(trials_of(outputs)) == 3
    assert [run.data.metrics["val_bpb"] for run in trials_of(outputs, other)] == [2.0, 1.5]


def test_the_hint_is_a_command_for_the_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracker = MlflowTracker(RunDirectory(Path("my outputs/a")), "a", "sqlite:///my outputs/mlflow.db")

    shown = tracker.close()
    assert shown.startswith(f"{sys.executable} -m search.ui 'my outputs/a'  ")


def test_what_models_and_candidates_write_stays_within_the_limits(outputs):
    hostile = "\0\ud800'; DROP TABLE runs; --" + "x" * 20_000
    source = "".join(f"C{index} = {index}\n" for index in range(300)) + f"TEXT = {'y' * 9000!r}\n"
    wild = replace(make_evaluation(1.9), curve=tuple((float(n), math.inf if n % 7 else 1.0) for n in range(5000)))
    trial = make_trial(1, 1.9, status=Status.KEEP)
    trial = replace(
        trial,
        evaluations=(wild,),
        mutation=replace(trial.mutation, description=hostile, rationale=hostile, program=Program(source)),
        proposal=replace(trial.proposal, labels={"weird key!?" + "k" * 400: "v" * 9000, "kind": "search"}),
    )
    mirror(outputs, Population((make_population(2.0).trials[0], trial)))

    _, run = trials_of(outputs)

    assert len(run.data.params) == 100
    assert run.data.metrics["train_loss"] == 1.0
    assert run.data.tags["graft.kind"] == "trial"


def test_the_digest_follows_everything_that_is_sent():
    trial = make_population(2.0, 1.9).trials[1]
    population = make_population(2.0, 1.9)
    one = trial_record(trial, population).digest

    assert trial_record(trial, population).digest == one
    assert trial_record(replace(trial, detail="why"), population).digest != one
    crashed = replace(trial, evaluations=(make_evaluation(None, outcome=Outcome.CRASHED),), status=Status.CRASHED)
    assert trial_record(crashed, population).digest != one
    assert json.dumps(trial_record(crashed, population).metrics)


def test_importing_the_tracker_does_not_import_mlflow():
    code = "import sys, search.mlflow.tracker; print([name for name in ('mlflow', 'requests') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_of_the_user_are_respected():
    code = "import os, search.mlflow.store as s; s.import_mlflow(); print(os.environ['MLFLOW_HTTP_REQUEST_TIMEOUT'])"
    environment = {**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "77"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "77"
