"""`python -m search.compare`: arms, refusals, and what is written."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from operators.trial import Status
from search.champions import champions
from search.compare.__main__ import main
from search.compare.arms import group_by_arm
from search.compare.comparison import Comparison, compare
from search.compare.page import power_text, render_markdown
from search.compare.staleness import Kept
from search.final.report import final_json, judge_final
from search.runs.finished import find_runs, load_run
from search.runs.rundir import RunDirectory
from target.evaluation import Evaluation, Outcome
from tests.search.sweeps import ENVIRONMENT, write_run, write_sweep

ROOT = Path(__file__).parents[2]
APART = {"beam": 1.5, "greedy": 1.8}


def compared(root: Path) -> Comparison:
    return compare([load_run(path) for path in find_runs([root])])


def test_arms_that_are_far_apart_are_ranked(tmp_path: Path) -> None:
    write_sweep(tmp_path, {**APART, "random": 1.9}, seeds=6)
    found = compared(tmp_path)

    assert found.refusals == ()
    assert [(arm.label, arm.ranks) for arm in found.arms] == [
        ("strategy=beam", (1, 1)),
        ("strategy=greedy", (2, 2)),
        ("strategy=random", (3, 3)),
    ]
    assert all(pair.p_holm < 0.05 for pair in found.pairs)
    assert found.detectable is not None
    assert 0 < found.detectable < 0.05


def test_a_metric_that_is_maximized_is_shown_as_the_target_has_it(tmp_path: Path) -> None:
    metric = {"name": "speed", "direction": "maximize"}
    write_sweep(tmp_path, {"beam": -1.8, "greedy": -1.5}, seeds=4, environment={"metric": metric})

    assert main([str(tmp_path), "--csv"]) == 0

    text = (tmp_path / "compare.md").read_text()
    assert "device hours" in text, "the device may be a CPU"
    scores, curves = (
        [*csv.DictReader((tmp_path / f"compare_{name}.csv").read_text().splitlines())] for name in ("scores", "curves")
    )
    assert [(row["arm"], row["seed"]) for row in scores[:2]] == [("strategy=beam", "0"), ("strategy=beam", "1")]
    assert len(scores) == 8
    for row in scores:
        own = [each for each in curves if (each["arm"], each["seed"]) == (row["arm"], row["seed"])]
        assert float(own[0]["speed"]) < float(own[-1]["speed"]) == float(row["speed"])
        assert 0 < int(own[0]["trainings"]) < int(own[-1]["trainings"]) <= int(row["trainings"])
        assert load_run(Path(row["search"])).summary.seed == int(row["seed"])
        assert row["on_fresh_seeds"] == ""
    rows = [line for line in text.splitlines() if line.startswith("| 1 | strategy=beam")]
    assert "speed at the end" in text
    assert "higher is better" in text
    assert "val_bpb" not in text
    assert re.search(r"\| 1\.8\d* \[1\.[78]\d*, 1\.8\d*\]", rows[0])


def test_champions_are_ranked_on_fresh_seeds_if_all_searches_have_them(tmp_path: Path) -> None:
    write_sweep(tmp_path, APART, seeds=4)
    roots = find_runs([tmp_path])
    for number, root in enumerate(roots):
        champion = list(champions(load_run(root).population))[-1].champion
        score = 1.9 + 0.001 * number - 0.1 * ("greedy" in root.name)  # what looked better was lucky
        trained = [[Evaluation(outcome=Outcome.OK, seed=seed, score=each) for each in (2.0, score)] for seed in (7, 8)]
        assert champion.program is not None
        report = judge_final(
            champion.number,
            champion.program.id,
            [(one, two) for one, two in trained],
            reported_difference=-0.5,
            looks=1,
        )
        RunDirectory(root).final.write_text(final_json(report, []))

    found = compared(tmp_path)
    assert [(arm.label, arm.ranks) for arm in found.arms] == [("strategy=greedy", (1, 1)), ("strategy=beam", (2, 2))]
    assert main([str(tmp_path), "--tracking-uri", "none"]) == 0
    assert "difference of means on fresh seeds" in (tmp_path / "compare.md").read_text()

    final = RunDirectory(roots[0]).final.rename(tmp_path / "final.json")
    assert compared(tmp_path).arms[0].label == "strategy=beam"
    for root in roots:
        if "greedy" in root.name:
            config = RunDirectory(root).config
            config.write_text(config.read_text().replace("acceptance.Confirm", "acceptance.Naive"))
    assert "one acceptance rule" in compared(tmp_path).refusals[0]
    final.rename(RunDirectory(roots[0]).final)
    assert compared(tmp_path).refusals == (), "on fresh seeds no rule has more luck than another"


def test_equal_arms_share_their_ranks(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"beam": 1.5, "greedy": 1.5}, seeds=4)
    found = compared(tmp_path)

    assert found.refusals == ()
    assert [arm.ranks for arm in found.arms] == [(1, 2), (1, 2)]


@pytest.mark.parametrize(("seeds", "refused"), [(2, True), (3, True), (4, False)])
def test_too_few_seeds_are_not_ranked_and_it_says_how_many_are_needed(
    tmp_path: Path, seeds: int, refused: bool
) -> None:
    write_sweep(tmp_path, APART, seeds=seeds)
    found = compared(tmp_path)

    assert any("at least 4 seeds per arm are needed" in each for each in found.refusals) == refused
    assert (found.pairs == ()) == refused
    assert all((arm.ranks is None) == refused for arm in found.arms)
    assert ("none could have been found" in power_text(found)) == refused
    assert not re.search(r"\binf\b", power_text(found))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"config": {"target": {"name": "gpu"}}}, r"one target \(name is 'gpu' and 'tiny'\)"),
        ({"config": {"budget": {"trainings": 99, "hours": None, "usd": None}}}, "one budget"),
        ({"config": {"acceptance": {"_target_": "search.acceptance.Naive", "seed": 7}}}, "one acceptance rule"),
        ({"environment": {"corpus": {"hash": "other"}}}, "one corpus"),
        ({"environment": {"device": {**ENVIRONMENT["device"], "cpu": "another"}}}, "one machine"),
        ({"status": "stopped"}, "is stopped, not finished"),
    ],
)
def test_what_cannot_be_compared_is_not_ranked(tmp_path: Path, options: dict, reason: str) -> None:
    write_sweep(tmp_path, APART, seeds=4)
    write_run(tmp_path / "odd", [2.0, 1.4], seed=7, strategy="beam", **options)

    assert any(re.search(reason, each) for each in compared(tmp_path).refusals)


def test_unequal_numbers_of_seeds_are_told(tmp_path: Path) -> None:
    write_sweep(tmp_path, {**APART, "random": APART["beam"]}, seeds=6)
    assert "to 6 seeds" not in power_text(compared(tmp_path))
    for root in find_runs([tmp_path]):
        if "greedy" in root.name and load_run(root).summary.seed == 5:
            shutil.rmtree(root)
    found = compared(tmp_path)

    assert "The arms have 5 to 6 seeds" in power_text(found)
    assert "| thousands |" not in render_markdown(found, title="", runs=[], skipped=[], picture=None), "equal arms"


def test_a_seed_that_is_there_twice_is_no_repetition(tmp_path: Path) -> None:
    write_sweep(tmp_path, APART, seeds=4)
    write_run(tmp_path / "again", [2.0] * 4, seed=3, strategy="beam")

    assert any("strategy=beam has seed 3 more than once" in each for each in compared(tmp_path).refusals)


def test_arms_are_what_configurations_differ_in_but_for_seeds(tmp_path: Path) -> None:
    for index, (seed, step) in enumerate([(0, 0.5), (1, 0.5), (0, 0.9), (1, 0.9)]):
        config = {"operator": {"_target_": "a.B", "step": step, "seed": seed}}
        write_run(tmp_path / str(index), [2.0, 1.9], seed=seed, config=config)
    arms = group_by_arm([load_run(path) for path in find_runs([tmp_path])])

    assert {label: len(runs) for label, runs in arms.items()} == {"operator.step=0.5": 2, "operator.step=0.9": 2}


def test_a_choice_that_is_the_same_in_all_arms_is_not_in_their_names(tmp_path: Path) -> None:
    for prompt in ("terse", "default"):
        root = tmp_path / prompt
        write_run(root, [2.0, 1.9], config={"operator": {"_target_": "a.Patch", "style": prompt}, "prompt": prompt})
        RunDirectory(root).overrides.write_text(f"[operator=patch, prompt={prompt}]")

    assert set(group_by_arm([load_run(path) for path in find_runs([tmp_path])])) == {"prompt=terse", "prompt=default"}


def test_the_best_so_far_is_the_champion_with_what_it_cost(tmp_path: Path) -> None:
    population = write_run(tmp_path / "a", [2.0, Status.CRASHED, 1.9, 1.95])
    points = list(champions(population))

    assert [(point.champion.number, point.trainings) for point in points] == [(0, 1), (0, 2), (2, 3), (2, 4)]
    assert points[-1].gpu_hours == pytest.approx(sum(8.0 + 1.0 for _ in range(4)) / 3600)
    assert points[-1].usd == pytest.approx(0.04)


def test_sooner_is_a_smaller_area(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"soon{seed}", [2.0, 1.5, 1.9, 1.9], seed=seed, strategy="beam")
        write_run(tmp_path / f"late{seed}", [2.0, 2.1, 2.1, 1.5], seed=seed, strategy="greedy")
    beam, greedy = sorted(compared(tmp_path).arms, key=lambda arm: arm.label)

    assert beam.finals == pytest.approx(greedy.finals)
    assert beam.areas[0] == pytest.approx((2 * 2.0 + 2 * 1.5) / 4)
    assert greedy.areas[0] == pytest.approx(2.0)


def test_failures_are_counted_over_the_seeds(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / str(seed), [2.0, Status.CRASHED, Status.OUT_OF_MEMORY, 1.9], seed=seed)
    (arm,) = compared(tmp_path).arms

    assert arm.failure_rate == pytest.approx(0.5)
    assert arm.outcomes == {"ok": 4, "crashed": 2, "out_of_memory": 2}


def test_what_proposals_made_ahead_cost_is_shown_by_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "ahead", [2.0, 1.9, 1.95, 1.8, 1.85], strategy="beam", staleness=[0, 0, 1, 1, 1])
    write_run(tmp_path / "serial", [2.0, 1.9, 1.95, 1.8, 1.85], strategy="greedy", staleness=[0] * 5)
    late = {arm.label: arm.staleness for arm in compared(tmp_path).arms}

    assert late["strategy=beam"].mean == pytest.approx(3 / 4)
    assert (late["strategy=beam"].fresh, late["strategy=beam"].stale) == (
        Kept(trained=1, kept=1),
        Kept(trained=3, kept=1),
    )
    assert (late["strategy=greedy"].mean, late["strategy=greedy"].stale) == (0, Kept(trained=0, kept=0))
    assert main([str(tmp_path), "--tracking-uri", "none"]) == 0
    assert "| strategy=beam | 0.75 | 1 of 1 | 1 of 3 | 0 of 0 |" in capsys.readouterr().out
    assert '<td class="number">1 of 3</td>' in (tmp_path / "compare.html").read_text()


def test_without_proposals_made_ahead_there_is_no_table_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a", [2.0, 1.9], staleness=[0, 0])
    write_run(tmp_path / "b", [2.0, 1.9], strategy="beam")  # of a version that did not record it
    main([str(tmp_path), "--tracking-uri", "none"])
    assert "made ahead" not in capsys.readouterr().out


def test_the_command_writes_pages_that_agree(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", APART, seeds=4)
    write_run(tmp_path / "sweep" / "failed", [Status.CRASHED])
    first = find_runs([tmp_path / "sweep"])[-1]
    (first / "report.html").touch()
    command = [sys.executable, "-m", "search.compare", str(tmp_path / "sweep")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    written = {path.suffix: path for path in (tmp_path / "sweep").glob("compare.*")}
    record = json.loads(written[".json"].read_text())

    assert set(written) == {".md", ".html", ".png", ".json"}
    assert written[".png"].read_bytes().startswith(b"\x89PNG")
    assert "strategy=beam is better than every other arm" in done.stdout
    assert record["verdict"] in written[".html"].read_text()
    assert re.findall(r'href="([^"]+)"', written[".html"].read_text()) == [f"{quote(first.name)}/report.html"]
    assert written[".md"].read_text() in done.stdout
    assert "failed has no baseline" in done.stdout
    assert [arm["ranks"] for arm in record["arms"]] == [[1, 1], [2, 2]]
    assert len(record["arms"][0]["curves"]["trainings"]["mean"]) == len(record["arms"][0]["curves"]["usd"]["grid"])


def test_what_stands_in_a_configuration_cannot_break_the_page(tmp_path: Path) -> None:
    for seed, prompt in [(0, "<script>alert(1)</script> | $x_{$"), (0, "plain")]:
        write_run(tmp_path / prompt[1:4], [2.0, 1.9], seed=seed, config={"prompt": prompt})

    assert main([str(tmp_path), "--tracking-uri", "none"]) == 0
    assert "<script>" not in (tmp_path / "compare.html").read_text()
    assert r"\<script>" in (tmp_path / "compare.md").read_text()


def test_a_comparison_becomes_a_run_in_mlflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mlflow import MlflowClient

    write_sweep(tmp_path / "sweep", APART, seeds=2)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert main([str(tmp_path / "sweep"), "--tracking-uri", uri]) == 0
    assert "there is no" in capsys.readouterr().out
    client = MlflowClient(tracking_uri=uri)
    client.search_experiments()  # makes the database

    assert main([str(tmp_path / "sweep"), "--tracking-uri", uri]) == 0
    experiment = client.get_experiment_by_name("comparisons")
    view = json.loads(experiment.tags["mlflow.sharedViewState.graft-figures"])
    assert {"metrics.`final strategy beam`", "metrics.`final strategy greedy`"} <= set(view["selectedColumns"])
    assert "`figures, latest first`" in experiment.tags["mlflow.note.content"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["final strategy beam"] == pytest.approx(1.498, abs=0.01)
    assert run.data.tags["graft.ranked"] == "False"
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {
        "compare.md",
        "compare.html",
        "compare.json",
        "compare.png",
    }


def test_a_folder_without_a_search_gets_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no search" in capsys.readouterr().err
