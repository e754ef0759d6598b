"""`python -m search.noise`, and where its figures are read."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from search.errors import UserError
from search.noise import Noise, _text, in_sds, main, noise_of, stored_noise, summarize
from search.report import render_report
from search.runs.environment import describe_device
from search.runs.rundir import RunDirectory
from target.device.cores import usable_cores
from target.evaluate import load_target
from target.evaluation import Evaluation, Outcome
from tests.cards import TWO_H100, pretend
from tests.search.builders import make_summary
from tests.search.command import FAST
from tests.search.sweeps import write_run

NOISE = Noise(
    target="tiny",
    date="2026-11-25",
    program_id="abc",
    n_seeds=6,
    mean=2.4,
    seed_sd=0.05,
    n_repeats=3,
    repeat_sd=0.01,
)


def runs(*values: float | None) -> list[Evaluation]:
    return [
        Evaluation(
            outcome=Outcome.OK if value else Outcome.CRASHED, seed=seed, score=value, detail="" if value else "x"
        )
        for seed, value in enumerate(values)
    ]


def test_it_is_measured_kept_and_found_again(tmp_path: Path) -> None:
    settings = [*FAST, f"target.train_seconds=0.{701 + hash(tmp_path) % 97}"]  # no other noise is overwritten
    command = [sys.executable, "-m", "search.noise", *settings, "--seeds", "2", "--repeats", "2", "--json"]
    done = subprocess.run([*command, str(tmp_path / "noise.json")], capture_output=True, text=True, check=True)
    kept = Path(done.stdout.split("kept in ")[1].split(",")[0])
    try:
        spec = load_target("tiny", [each.removeprefix("target.") for each in settings])
        seed = spec.seed_program()
        noise = stored_noise(spec, describe_device(spec.device), seed)
        assert noise is not None
        assert (noise.n_seeds, noise.n_repeats, noise.program_id) == (2, 2, seed.id)
        assert noise.seed_sd > 0
        record = json.loads((tmp_path / "noise.json").read_text())
        assert len(record["rows"]) == 3, "the first seed's training is both a seed and a repeat"
        assert record["rows"][0]["seed"] == record["rows"][2]["seed"]
        assert record["seed_sd"] == noise.seed_sd
        assert f"sd {noise.seed_sd:.4f}" in done.stdout
        assert f"3 trainings, {usable_cores()} at a time" in done.stdout
        assert stored_noise(replace(spec, train_seconds=99), describe_device(spec.device), seed) is None
        assert stored_noise(spec, {**describe_device(spec.device), "cpu": "another"}, seed) is None
        assert stored_noise(spec, describe_device(spec.device), seed.with_constants({"DEPTH": 9})) is None
    finally:
        kept.unlink()


def test_a_report_says_the_gain_in_standard_deviations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    target = yaml.safe_load((Path(__file__).parents[2] / "conf" / "target" / "tiny.yaml").read_text())
    target["program"] = "mine.py"  # in the directory where the search was started
    population = write_run(tmp_path / "run", [2.0, 1.9], config={"target": target})
    run = RunDirectory(tmp_path / "run")
    run.write_trial(population.trials[0], population)
    assert noise_of(run) is None
    assert " sd " not in render_report(population, make_summary(population), run)

    from search.noise import _place

    device, program = json.loads(run.environment.read_text())["device"], population.trials[0].program
    assert program is not None
    place = _place(load_target("tiny"), device, program)
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({name: getattr(NOISE, name) for name in NOISE.__slots__}))
    assert noise_of(run) == NOISE
    told = render_report(population, make_summary(population), run)
    assert "The gain is 2.0 sd of a single training" in told
    assert f"with {NOISE.n_seeds} seeds the sd may be 0.0" in told
    assert "By luck alone a search of 120 trainings with the default rule shows 1.7 sd" in told

    for damaged in ("{", '{"sd": 1}'):
        place.write_text(damaged)
        assert noise_of(run) is None, "a report is written without it"


def test_a_gain_without_a_yardstick_is_told_without_one() -> None:
    assert in_sds(0.1, NOISE) == "2.0 sd"
    assert in_sds(0.1, None) == ""
    assert in_sds(0.1, replace(NOISE, seed_sd=0.0)) == ""


def test_failures_are_left_out_and_two_scores_are_the_least() -> None:
    spec = load_target("tiny")
    noise = summarize(spec, spec.seed_program(), runs(2.0, None, 2.2), runs(2.0, None))
    assert (noise.n_seeds, noise.mean, noise.n_repeats, noise.repeat_sd) == (2, pytest.approx(2.1), 1, None)
    assert "with 2 seeds the sd may be 0.0631 to 4.5128 (95 % interval)" in _text(noise)
    assert "a seed changes nothing" in _text(replace(noise, seed_sd=0.0))

    with pytest.raises(UserError, match="two trainings with a score are needed, got 1 of 2: x"):
        summarize(spec, spec.seed_program(), runs(2.0, None), runs(2.0))


@pytest.mark.parametrize(
    ("argument", "said"),
    [("strategy=greedy", "only target=NAME"), ("target=none", "must be one of"), ("target.rows=1", "does not fit")],
)
def test_other_settings_get_one_clear_line(argument: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 2
    assert said in capsys.readouterr().err


def test_more_trainings_than_cards_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, tmp_path, TWO_H100)

    assert main(["target=gpu", "--slots", "3"]) == 2
    assert "--slots must be at most the number of GPUs, 2, got 3: two trainings on one" in capsys.readouterr().err
