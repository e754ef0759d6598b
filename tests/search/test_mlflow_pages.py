"""What one sees in MLflow: one experiment for a sweep, saved views, names, descriptions with links."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from operators.population import Population
from operators.trial import Status
from search.champions import best_by_training
from search.mlflow.mirror import MlflowMirror
from search.mlflow.views import BEST_SO_FAR, TRIALS, saved_views, view_link
from search.runs.rundir import RunDirectory
from search.tracking.notes import search_note, trial_note
from search.tracking.parameters import search_parameters
from search.tracking.place import Place, id_of, place_of
from search.tracking.records import shortened, trial_record
from tests.search.builders import MIXED, make_evaluation, make_population, make_summary, make_trial

_TAG = "mlflow.sharedViewState."
_SMALL = make_population(2.0, 1.9)


def make_run(folder: Path, *overrides: str) -> RunDirectory:
    run = RunDirectory(folder)
    run.create()
    run.overrides.parent.mkdir()
    run.overrides.write_text(yaml.safe_dump(list(overrides)))
    return run


def mirrored(client: Any, run: RunDirectory, population: Population, name: str = "demo") -> list[Any]:
    """Return the runs of a search that is sent whole, those of the trials first."""
    for trial in population.decided:
        run.write_trial(trial, population)
    mirror = MlflowMirror(run, name, client._tracking_client.tracking_uri)
    list(mirror.send(population, make_summary(population, name=name), closing=True))
    found = client.search_runs([mirror.experiment_id], f"tags.`graft.search_id` = '{id_of(run.root)}'")
    return sorted(found, key=lambda each: int(each.data.tags.get("graft.trial", 9999)))


def test_the_searches_of_a_sweep_share_an_experiment_with_a_table_and_a_chart(client: Any, tmp_path: Path) -> None:
    runs = {}
    for strategy in ("greedy", "random"):
        own = f"sweeps/cmp/seed=0,strategy={strategy}"
        run = make_run(tmp_path / own, "name=cmp", f"strategy={strategy}", "llm.model=a/b", "budget.trainings=9")
        runs[strategy] = mirrored(client, run, _SMALL, own)

    assert {run.info.experiment_id for each in runs.values() for run in each} == {
        client.get_experiment_by_name("sweeps/cmp").experiment_id
    }
    assert [run.info.run_name for run in runs["random"]] == [
        *("#0 MATRIX_LR -> 0.02", "#1 MATRIX_LR -> 0.021 (-0.1000)"),
        "random seed=0",
    ]
    params = runs["random"][1].data.params
    assert params.items() >= {"strategy": "random", "seed": "0", "operator": "constants", "llm.model": "a/b"}.items()
    assert "budget.trainings" not in params  # may change when the search is resumed, and a parameter cannot
    tags = client.get_experiment_by_name("sweeps/cmp").tags
    table, chart = (json.loads(tags[f"{_TAG}{key}"]) for key in (TRIALS, BEST_SO_FAR))
    assert "params.`strategy`" in table["selectedColumns"]
    assert chart["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "strategy"}]
    assert chart["name"] == "best so far by strategy"


def test_a_saved_view_is_one_that_old_and_new_servers_read_and_fits_into_a_tag() -> None:
    for tag in saved_views(["acceptance", "seed", "strategy", "operator.weights.tune"], 5).values():
        view = json.loads(tag)
        state = json.loads(view.pop("state"))
        assert (view.pop("name"), view.pop("createdAt")) != ("", 0)
        assert state == view
        assert len(tag) < 5000


def test_the_link_names_the_view_and_nothing_that_would_replace_it() -> None:
    assert view_link("http://h:1/", "7", TRIALS) == (
        "http://h:1/#/experiments/7/runs?viewStateShareKey=graft-trials&workflowType=machine_learning"
    )
    assert view_link("http://h:1", "7", BEST_SO_FAR).endswith("compareRunsMode=CHART")


def test_descriptions_have_the_change_the_verdict_and_links_to_parents_and_children(
    client: Any, tmp_path: Path
) -> None:
    runs = mirrored(client, make_run(tmp_path / "notes"), MIXED, "notes")
    numbers = {run.data.tags["graft.trial"]: run for run in runs[:-1]}

    def linked(number: int) -> str:
        run = numbers[str(number)]
        address = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?workflowType=machine_learning"
        return f"[#{number}]({address})"

    first, second, *_ = numbers["5"].data.tags["mlflow.note.content"].splitlines()
    assert first == "MATRIX_LR -> 0.025  "
    assert second == f"**keep**, val_bpb 1.8500, -0.0500 against its parent, made from {linked(1)}"
    note = numbers["1"].data.tags["mlflow.note.content"]
    assert f"made from it, the best first: {linked(5)} 1.8500, {linked(3)} 1.9500, {linked(2)} crashed" in note
    assert "+MATRIX_LR = 0.021  # knob: 1e-4..1 log" in note
    of_search = runs[-1].data.tags["mlflow.note.content"]
    assert f"val_bpb 2.0000 → 1.8000, trial {linked(9)}" in of_search
    assert "1 not_built" in of_search


def test_a_long_description_keeps_its_links_at_the_top_and_within_a_tag() -> None:
    population = make_population(2.0, *(1.9 - number / 1000 for number in range(30)))
    trial = population.trials[1]
    assert trial.mutation is not None
    wordy = replace(trial, mutation=replace(trial.mutation, description="word " * 100, rationale="why " * 1000))

    note = trial_note(wordy, population, population.trials[2:], "+x\n" * 4000, lambda number: f"#/{number}")

    first, second, *_ = note.splitlines()
    assert len(first) < 120
    assert "made from [#0](#/0)" in second
    assert "and 9 more" in note
    assert "... the rest is in diff.txt" in note
    assert len(note) <= 5000
    assert search_note(Population(), make_summary(Population()), lambda _: "")


def test_a_name_is_cut_between_two_changes_and_a_difference_has_no_more_digits_than_it_means() -> None:
    changes = "HEAD_LR 0.004 -> 0.00104, DEPTH 8 -> 12, WIDTH 512 -> 256"
    trial = make_trial(1, 1.9, status=Status.KEEP, description=changes)
    made = trial_record(trial, Population((make_trial(0, 2.0123456789, status=Status.BASELINE), trial)))

    assert made.run_name == "#1 HEAD_LR 0.004 -> 0.00104, DEPTH 8 -> 12, WIDTH 512 -> 256 (-0.1123)"
    assert made.metrics["delta_val_bpb"] == -0.112346
    assert shortened(changes, 50) == "HEAD_LR 0.004 -> 0.00104, DEPTH 8 -> 12, ..."
    assert shortened("x" * 80, 60) == "x" * 56 + " ..."
    assert trial.mutation is not None
    free = replace(trial, mutation=replace(trial.mutation, cost_usd=0.0))
    assert "cost_usd" not in trial_record(free, Population((make_trial(0, 2.0, status=Status.BASELINE), free))).metrics


def test_at_the_end_the_scores_and_names_are_those_of_the_end(client: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "corrected")
    before = make_population(2.0, 1.9, 1.95)
    mirrored(client, run, before, "corrected")
    seed_program = before.trials[0]
    again = replace(seed_program, evaluations=(*seed_program.evaluations, make_evaluation(1.8, seed=1)))
    after = before.with_trial(again)

    runs = mirrored(client, run, after, "corrected")

    shown = [(each.data.metrics["val_bpb"], each.info.run_name[-9:]) for each in runs[1:-1]]
    assert shown == [
        (float(f"{after.scores[number]:.6g}"), f"({after.scores[number] - after.scores[parent]:+.4f})")
        for number, parent in ((1, 0), (2, 1))
    ]
    assert after.scores[1] - after.scores[0] != before.scores[1] - before.scores[0]


def test_the_best_so_far_has_a_value_at_every_training() -> None:
    population = make_population(2.0, 2.1, 1.9, 2.2)

    assert best_by_training(population) == {1: 2.0, 2: 2.0, 3: 1.9, 4: 1.9}
    assert best_by_training(Population()) == {}


def test_searches_that_begin_a_sweep_together_agree_on_its_id(tmp_path: Path) -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(id_of(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(ids)) == 1
    assert place_of(RunDirectory(tmp_path / "a"), "sweeps/x/y=1,b.c=2") == Place(
        name="sweeps/x", owner=ids[0], differing=("y", "b.c")
    )


def test_a_search_without_its_configuration_has_the_defaults_as_parameters(tmp_path: Path) -> None:
    found = search_parameters(RunDirectory(tmp_path), make_summary(MIXED))

    assert found == {"strategy": "greedy", "operator": "constants", "target": "tiny", "seed": "0"}
