"""Weights & Biases as a mirror, offline: the files that `wandb sync` would send, read back without wandb's help."""

from __future__ import annotations

import json
import shlex
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from operators.population import Population
from search.errors import UserError
from search.final.report import Contrast, FinalReport, final_json
from search.runs.rundir import RunDirectory
from search.tracking.later import Finding, record, send_again
from search.wandb.tracker import WandbTracker
from tests.search.builders import MIXED, make_summary

pytest.importorskip("wandb")
BUILT = [trial for trial in MIXED.trials if trial.decided is not None and trial.program]
NAME = "sweeps/cmp/seed=0,strategy=greedy"
_BLOCK, _MAGIC, _HEADER = 32768, 7, 7


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = RunDirectory(tmp_path / NAME)
    run.create()
    for trial in BUILT:
        run.write_trial(trial, MIXED)
    return run


def track(run: RunDirectory, population: Population) -> str:
    warnings: list[str] = []
    tracker = WandbTracker(run, NAME, "graft", warn=warnings.append)
    tracker.update(population, make_summary(population))
    hint = tracker.close()
    assert warnings == []
    assert hint is not None
    return hint


def records_in(path: Path) -> list[Any]:
    """Return the records of a file: in blocks of 32 kB, each part with a checksum, a length and a type."""
    from wandb.proto import wandb_internal_pb2

    content, at, whole, records = path.read_bytes(), _MAGIC, b"", []
    while at + _HEADER <= len(content):
        if _BLOCK - at % _BLOCK < _HEADER:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + _HEADER])
        whole += content[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(wandb_internal_pb2.Record.FromString(whole))
            whole = b""
    return records


def wait_for_end(path: Path) -> list[Any]:
    """Return the records of a run when the last is written, which another process does."""
    deadline = time.monotonic() + 300
    while True:
        records = records_in(path)
        if any(each.HasField("exit") for each in records):
            return records
        assert time.monotonic() < deadline, f"{path} has no end"
        threading.Event().wait(0.02)


def read(run: RunDirectory) -> dict[str, dict[str, Any]]:
    """Return what was written of each run, by its name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((run.root / "wandb").glob("offline-run-*/*.wandb")):
        records = wait_for_end(path)
        began = next(each.run for each in records if each.HasField("run"))
        named = [each.run for each in records if each.HasField("run")][-1]
        items = {item.key: json.loads(item.value_json) for item in began.config.update}
        history = [
            {item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json) for item in row.item}
            for row in (each.history for each in records if each.HasField("history"))
        ]
        summary = {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for each in records
            if each.HasField("summary")
            for item in each.summary.update
        }
        found[named.display_name or began.display_name] = {
            "group": began.run_group,
            "notes": began.notes,
            "config": items,
            "history": history,
            "summary": summary,
            "files": {file.name for file in (path.parent / "files").iterdir()},
        }
    return found


def test_each_trial_with_a_program_is_a_run_with_its_settings_scores_curve_and_files(run: RunDirectory) -> None:
    hint = track(run, MIXED)

    runs = read(run)
    trials = {name: each for name, each in runs.items() if name.startswith("#")}
    assert len(trials) == len(BUILT)
    kept = trials["#5 MATRIX_LR -> 0.025 (-0.0500)"]
    assert kept["group"] == "sweeps/cmp"
    assert kept["config"].items() >= {"strategy": "greedy", "seed": "0", "MATRIX_LR": "0.025", "status": "keep"}.items()
    assert kept["summary"]["val_bpb"] == 1.85
    assert kept["summary"]["delta_val_bpb"] == -0.05
    assert [row["train_loss"] for row in kept["history"]] == [loss for _, loss in MIXED.trials[5].evaluations[0].curve]
    assert "another rate may train faster" in kept["notes"]
    assert "-0.05" in kept["notes"]
    assert {"train.py", "diff.patch", "result.json"} <= kept["files"]
    search = runs["greedy seed=0"]
    assert [row["best_val_bpb"] for row in search["history"]] == [2.0, 1.9, 1.9, 1.9, 1.85, 1.85, 1.85, 1.8]
    assert search["summary"]["best_trial"] == 9
    assert search["summary"]["outcomes"]["not_built"] == 1
    assert hint.startswith(f"cd {shlex.quote(str(run.root))} && ")
    assert not [path for path in (run.root / "wandb").iterdir() if path.is_symlink()]


def test_a_resumed_search_sends_only_what_is_new_or_has_changed(run: RunDirectory) -> None:
    half = Population(MIXED.trials[:4])
    track(run, half)
    before = sorted((run.root / "wandb").glob("offline-run-*"))
    again = replace(half.trials[3], detail="measured again")

    track(run, half.with_trial(again))

    new = set((run.root / "wandb").glob("offline-run-*")) - set(before)
    assert sorted(path.name.split("-")[4] for path in new) == ["3", "search"]  # offline-run-TIME-SEARCH-NUMBER


def test_what_is_found_after_the_end_arrives_too(run: RunDirectory) -> None:
    first, tracker = Population(MIXED.trials[:1]), {"_target_": "search.wandb.tracker.WandbTracker", "project": "graft"}
    val = Contrast(baseline=2.0, champion=1.9, difference=-0.1, low=-0.2, high=-0.05, sd=0.01)
    report = FinalReport(
        trial=5, program_id="x", seeds=(1, 2), n_pairs=2, champion_failures=0, reported_difference=-0.1,
        val=val, holdout=None, looks=0, verdict="holds", reason="it does",
    )  # fmt: skip
    run.final.write_text(final_json(report, []))
    warnings: list[str] = []
    hint = send_again(run, {**tracker, "_partial_": True}, first, make_summary(first, name=NAME), warnings.append)
    found = Finding(
        kind="transfer",
        search=NAME,
        title="#5: DEPTH 2 -> 3",
        note="the gain holds",
        metrics={"here_difference": -0.2},
        tags={"graft.verdict": "holds"},
        files=[run.final],
    )

    assert (record(found, run, tracker), warnings) == (hint, [])
    runs = read(run)
    search, transfer = runs["greedy seed=0"], runs["#5: DEPTH 2 -> 3"]
    assert (search["summary"]["final"], search["summary"]["final_reason"]) == ("holds", "it does")
    assert "final.json" in search["files"] & transfer["files"]
    assert (transfer["group"], transfer["config"]["verdict"], transfer["notes"]) == ("sweeps/cmp", "holds", found.note)
    assert transfer["summary"]["here_difference"] == -0.2


def test_without_a_key_the_search_goes_on_with_one_warning(tmp_path: Path) -> None:
    code = (
        "from search.wandb.tracker import WandbTracker\n"
        "from tests.search.test_wandb_tracker import MIXED, RunDirectory, make_summary, Path\n"
        f"run = RunDirectory(Path({str(tmp_path)!r}) / 'a')\n"
        "run.create()\n"
        "tracker = WandbTracker(run, 'a', 'graft', warn=print)\n"
        "tracker.update(MIXED, make_summary(MIXED))\n"
        "assert tracker.close() is None\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "WANDB_MODE": "online"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=True
    )

    cannot, later = [line for line in done.stdout.splitlines() if line.startswith("wandb ")]
    assert cannot.startswith("wandb at project graft cannot be used, the search goes on: OSError: there is no key: use")
    assert later.endswith("the same command again sends the rest")


def test_a_missing_package_is_told_before_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(UserError, match=r"needs wandb: pip install 'graft-search\[wandb\]'"):
        WandbTracker(RunDirectory(tmp_path), "a", "graft")
