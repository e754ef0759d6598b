"""Folders of finished searches with scores that a test chooses, written by the code that writes real ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from operators.population import Population
from operators.trial import Status
from search.acceptance import training_seed
from search.runs.ledger import Ledger
from search.runs.reading import Elapsed
from search.runs.rundir import RunDirectory
from search.runs.summary import RunStatus, summarize
from tests.search.builders import make_population

ENVIRONMENT = {
    "device": {"kind": "cpu", "cpu": "a cpu", "cores": 2, "memory_bytes": 1},
    "corpus": {"name": "packages", "vocab_size": 512, "hash": "abc"},
    "versions": {"torch": "2.13.0"},
}


def write_run(
    root: Path,
    verdicts: Sequence[float | Status],
    *,
    seed: int = 0,
    strategy: str = "greedy",
    status: RunStatus = "finished",
    config: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    staleness: Sequence[int] = (),
) -> Population:
    """Write the folder of a search whose trials got these verdicts; trial n has a program of its own in each search."""
    run = RunDirectory(root)
    run.create()
    population = make_population(*verdicts)
    ledger = Ledger(run)
    for trial in population.trials:
        ledger.propose(trial.proposal)
        if trial.mutation:
            source = trial.mutation.program.source + f"SEARCH = {f'{root}'!r}\n" * (trial.number > 0)
            program = replace(trial.mutation.program, source=source)
            ledger.build(trial.number, replace(trial.mutation, program=program))
        begun = trial.number + staleness[trial.number] if staleness else None
        for evaluation in trial.evaluations:
            ledger.evaluate(trial.number, replace(evaluation, seed=training_seed(seed, 0)), begun_verdicts=begun)
        if trial.decided is not None:
            ledger.decide(trial.number, trial.status, detail=trial.detail, elapsed=Elapsed())
    summary = summarize(
        ledger.population,
        name=root.name,
        strategy=strategy,
        seed=seed,
        status=status,
        stop_reason="",
        wall_seconds=9.0,
        busy_fraction=0.5,
    )
    run.write_summary(summary)
    composed = {
        "name": root.name,
        "outputs": "outputs",
        "seed": seed,
        "budget": {"trainings": len(verdicts), "hours": None, "usd": None},
        "strategy": {"_target_": f"search.strategies.{strategy}"},
        "acceptance": {"_target_": "search.acceptance.Confirm", "seed": seed},
        "target": {"name": "tiny"},
        **(config or {}),
    }
    run.config.parent.mkdir()
    run.config.write_text(yaml.safe_dump(composed))
    run.overrides.write_text(yaml.safe_dump([f"strategy={strategy}", f"seed={seed}"]))
    run.environment.write_text(json.dumps(ENVIRONMENT | (environment or {})))
    return ledger.population


def write_sweep(root: Path, arms: dict[str, float], *, seeds: int, trials: int = 4, **options: Any) -> None:
    """Write searches that go down evenly to about the value of their arm, a little further with each seed."""
    for strategy, final in arms.items():
        for seed in range(seeds):
            end = final + 0.002 * (seed - seeds / 2)
            scores = [2.0, *(2.0 - (2.0 - end) * step / (trials - 1) for step in range(1, trials))]
            write_run(root / f"seed={seed},strategy={strategy}", scores, seed=seed, strategy=strategy, **options)
