"""The number that a program reports: which one counts, and what is no number."""

from __future__ import annotations

import dataclasses

import pytest

from target.command.target import CommandTarget
from target.evaluation import Evaluation, Outcome
from target.program import Program
from tests.checkouts import TRAIN
from tests.target.command.targets import measured_by_file


def test_the_checkout_as_it_is_scores_what_it_prints(evaluator, log):
    found = evaluator.evaluate(Program(TRAIN), 10, log)

    assert (found.outcome, found.seed, found.score) == (Outcome.OK, 10, pytest.approx(0.92 + 3e-4))
    assert not found.verified
    assert found.peak_memory_bytes == int(45060.2 * 2**20)
    assert found.n_parameters == 50_300_000
    assert {name: found.reported[name] for name in ("num_steps", "mfu_percent")} == {
        "num_steps": 953,
        "mfu_percent": 39.8,
    }
    assert found.train_seconds > 0
    assert "scrubbed-environment" in found.isolation
    assert "step 00002" in log.read_text()
    assert Evaluation.from_json(found.to_json()) == found


def test_an_evaluation_from_before_the_mark_counts_as_verified():
    record = Evaluation(outcome=Outcome.OK, seed=0, score=1.0).to_json()
    del record["verified"], record["reported"]

    assert Evaluation.from_json(record).verified


def test_files_keep_the_name_of_the_score_that_they_always_had():
    record = Evaluation(outcome=Outcome.OK, seed=0, score=1.25).to_json()

    assert list(record)[:3] == ["outcome", "seed", "val_bpb"]
    assert Evaluation.from_json(record).score == 1.25
    with pytest.raises(ValueError, match="unknown keys in an evaluation: score"):
        Evaluation.from_json({**record, "score": 1.25})


@pytest.mark.parametrize(
    ("printed", "val_bpb"),
    [
        (r"val_bpb: 0.9979\r\ntraining_seconds: 300.1\r\n", 0.9979),
        (r"val_bpb: 2.0\nval_bpb: 1.5\nval_bpb:   0.9\n", 0.9),
        (r"step 1\rval_bpb: 1.25\rdone\n", 1.25),
        (r"the val_bpb: 7\nval_bpb: 1.25", 1.25),
        (r"val_bpb: 0.9979 (EMA)\n", 0.9979),
        (r"val_bpb=0.9979,\n", 0.9979),
        (r"\x1b[1;32mval_bpb:\x1b[0m 0.9979\x1b[0m\n", 0.9979),
        (r"step 100 | val_bpb: 0.99 | NEW BEST\nstep 200 | val_bpb: 0.98 |\n", 0.98),
        (r"2026-03-08 01:02:03 - INFO - val_bpb: 0.99\n", 0.99),
        (r"step 1 | val_bpb: 0.5\nval_bpb: 0.99\nstep 2 | val_bpb: 0.4\n", 0.99),
        (r"val_bpb: 0.99\nval_bpb: n/a\n", 0.99),
        (r"best_val_bpb: 0.1\nval_bpb: 0.99\nval_bpb: 0.99 -> 0.2\n", 0.99),
    ],
    ids=[
        *("CRLF", "the last line counts", "lone CR", "a line of its own", "a remark", "an equals sign", "colours"),
        *("progress", "a log's prefix", "a line of its own before progress", "a word behind a number", "two numbers"),
    ],
)
def test_the_last_line_with_the_metric_is_read_however_lines_end(evaluator, log, printed, val_bpb):
    source = f"import sys\nsys.stdout.buffer.write(b'{printed}')"

    assert evaluator.evaluate(Program(source), 0, log).score == val_bpb


@pytest.mark.parametrize(
    ("source", "outcome", "phrase"),
    [
        ("print('val_bpb: nan')", Outcome.CRASHED, "val_bpb in the output, where the last line"),
        ("print('val_bpb: 1.0\\nval_bpb: nan')", Outcome.CRASHED, "is nan"),
        ("print('val_bpb: inf')", Outcome.CRASHED, "is inf"),
        ("print('val_bpb: 0.000000')", Outcome.CRASHED, "must be above 0, got 0"),
        ("print('val_bpb: skipped')", Outcome.CRASHED, "must be a number, got 'skipped'"),
        ("pass", Outcome.CRASHED, "no 'val_bpb' in the output, where the last line `val_bpb: NUMBER` counts"),
        ("print('all is well')", Outcome.CRASHED, "the last output: all is well"),
        ("print('val_bpb: 1.0')\nraise SystemExit(1)", Outcome.CRASHED, "exit code 1"),
        ("x = 1 / 0", Outcome.CRASHED, "ZeroDivisionError: division by zero\nat train.py:1"),
        ("raise MemoryError", Outcome.OUT_OF_MEMORY, "ran out of memory"),
        ("open('prepare.py', 'a').write('#')\nprint('val_bpb: 0.1')", Outcome.REJECTED, "prepare.py is fixed"),
        ("import os\nos.remove('prepare.py')\nprint('val_bpb: 0.1')", Outcome.REJECTED, "prepare.py is fixed"),
    ],
)
def test_what_has_no_result_fails_and_says_why(evaluator, log, source, outcome, phrase):
    found = evaluator.evaluate(Program(source), 0, log)

    assert (found.outcome, found.score, found.trained, found.verified) == (outcome, None, True, False)
    assert phrase in found.detail


def test_a_pattern_of_the_settings_decides_which_number_counts(spec, once):
    spec = dataclasses.replace(spec, metric="top1", metric_pattern=r"Acc@1 ([\d.]+)", metric_file="result.json")

    assert once(spec, "print('top1: 3')\nprint(' * Acc@1 76.13 Acc@5 92.86')").score == 76.13
    missing = once(spec, "print('top1: 3')")
    assert "counts that matches target.metric_pattern='Acc@1 ([" in missing.detail
    assert "matches `Acc@1 (" in CommandTarget(spec).contract.goal


def test_a_run_that_fails_behind_its_score_is_told_apart(evaluator, log):
    found = evaluator.evaluate(Program("print('val_bpb: 1.25')\nraise RuntimeError('x' * 5_000)"), 0, log)

    assert (found.outcome, found.score) == (Outcome.CRASHED, None)
    assert found.detail.startswith(
        "it printed val_bpb: 1.25, but failed afterwards, so that does not count: the command"
    )
    assert "advice" not in found.detail


@pytest.mark.parametrize(
    ("written", "phrase"),
    [
        (None, "without writing result.json"),
        ("{", "is not JSON"),
        ("[1]", "must hold a JSON object"),
        ('{"speed": 1}', "no 'ratio' in result.json"),
        ('{"ratio": "fast"}', "must be a number, got 'fast'"),
        ('{"ratio": true}', "must be a number, got True"),
        ('{"ratio": NaN}', "is nan"),
    ],
)
def test_a_file_without_the_number_fails_and_says_why(once, tmp_path, written, phrase):
    found = once(measured_by_file(tmp_path), "" if written is None else f"open('result.json', 'w').write({written!r})")

    assert (found.outcome, found.score) == (Outcome.CRASHED, None)
    assert phrase in found.detail


def test_a_number_that_is_maximized_is_a_score_with_its_sign_changed(once, tmp_path):
    found = once(measured_by_file(tmp_path), "open('result.json', 'w').write('{\"ratio\": 3.5, \"seconds\": 2}')")

    assert (found.outcome, found.score) == (Outcome.OK, -3.5)
    assert found.reported == {"ratio": 3.5, "seconds": 2}


def test_a_result_file_from_before_the_run_is_not_read(once, tmp_path):
    spec = measured_by_file(tmp_path)
    (spec.root / "result.json").write_text('{"ratio": 99}')

    assert once(spec, "pass").outcome is Outcome.CRASHED


def test_a_result_that_leads_elsewhere_is_not_followed(once, tmp_path):
    (tmp_path / "elsewhere.json").write_text('{"ratio": 99}')
    source = f"import os\nos.symlink({str(tmp_path / 'elsewhere.json')!r}, 'result.json')"

    assert once(measured_by_file(tmp_path), source).outcome is Outcome.CRASHED
