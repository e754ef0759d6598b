# ruff: noqa: E501 -- one candidate a line, as in a table
"""Whole evaluations: honest programs score, everything else gets the outcome and the words it deserves."""

import dataclasses
import math
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import target.prepare
from target.errors import DiskFullError
from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.process.runlog import LIMIT_BYTES
from target.program import Program
from target.scoring.scorer import Validation
from tests.target import candidates
from tests.target.candidates import HONEST, in_forward, in_main, variant
from tests.target.conftest import below

OK, CRASHED, REJECTED = Outcome.OK, Outcome.CRASHED, Outcome.REJECTED
TIMED_OUT, OUT_OF_MEMORY = Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY


def test_an_honest_program_passes_the_preflight_and_scores(evaluator, log):
    assert evaluator.preflight(Program(HONEST), log) is None

    found = evaluator.evaluate(Program(HONEST), 7, log)

    assert (found.outcome, found.detail, found.seed, found.trained) == (OK, "", 7, True)
    assert 1 < found.score < 12
    assert 0 < found.train_seconds < 1
    assert found.score_seconds < found.wall_seconds
    assert found.peak_memory_bytes > 50_000_000
    assert found.n_parameters == sum(p.numel() for p in _build(HONEST).parameters())
    assert len(found.curve) == 8
    assert found.curve[0][1] > found.curve[-1][1]
    assert {"d1_causality_nats", "d2_rows_nats", "d3_state_nats", "d4_last_position_nats"} <= found.probes.keys()
    assert "rlimits" in found.isolation
    assert below(evaluator.zygote_pid) == []


def test_the_score_is_that_of_an_in_process_evaluation_of_the_same_weights(evaluator, log, spec, corpus):
    found = evaluator.evaluate(Program(variant(("STEPS = 8", "STEPS = 0"))), 3, log)

    torch.manual_seed(3)
    assert found.score == pytest.approx(_val_bpb(_build(HONEST), spec, corpus), abs=1e-5)


def test_the_holdout_is_scored_when_it_is_asked_for_and_only_then(evaluator, log, spec, corpus):
    program = Program(variant(("STEPS = 8", "STEPS = 0")))
    plain, final = evaluator.evaluate(program, 3, log), evaluator.evaluate(program, 3, log, holdout=True)

    torch.manual_seed(3)
    model = _build(HONEST)
    assert plain.holdout_bpb is None
    assert final.score == pytest.approx(plain.score, abs=1e-6)
    assert final.holdout_bpb == pytest.approx(_val_bpb(model, spec, corpus, holdout=True), abs=1e-5)
    assert final.holdout_bpb != pytest.approx(final.score, abs=1e-4)


def test_a_program_that_a_probe_refuses_is_not_scored_on_the_holdout(evaluator, log):
    found = evaluator.evaluate(Program(candidates.LEAK), 3, log, holdout=True)

    assert (found.outcome, found.holdout_bpb) == (REJECTED, None)


def test_the_seed_and_nothing_else_decides(evaluator, log):
    program = Program(HONEST)
    first, again, other = (evaluator.evaluate(program, seed, log) for seed in (1, 1, 2))

    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert first.score == pytest.approx(again.score, abs=1e-6)
    assert first.score != pytest.approx(other.score, abs=1e-4)


PREFLIGHT = [
    ("syntax", "def build_model(", REJECTED, "syntax"),
    ("endless import", "while True: pass\n" + HONEST, REJECTED, "import of train.py must end within 1 CPU seconds"),
    ("sleeping import", "import time; time.sleep(1e6)\n" + HONEST, REJECTED, "import of train.py must end within"),
    ("crashing import", "import nonexistent_module\n" + HONEST, CRASHED, "No module named 'nonexistent_module'"),
    ("exit at import", "import sys; sys.exit(0)\n" + HONEST, REJECTED, "ended the process"),
    ("file at import", "open('tmp/x', 'w').close()\n" + HONEST, REJECTED, "import: .* wrote tmp/x"),
    ("directories at import", "import os\nos.chdir('tmp')\nfor _ in range(1_200): os.mkdir('d'); os.chdir('d')\n" + HONEST, REJECTED, "import: .* wrote tmp/d"),
    ("process at import", "import subprocess; p = subprocess.Popen(['sleep', '9'])\n" + HONEST, REJECTED, "a process"),
    ("thread at import", "import threading; threading.Timer(9, print).start()\n" + HONEST, REJECTED, "a thread"),
    ("training at import", HONEST.replace("if __name__", "main()\nif __name__"), CRASHED, "public"),
    ("no module", variant(("return Net(vocab_size)", "return 3")), REJECTED, "must return a torch.nn.Module, got int"),
    ("crash in build", variant(("return Net(vocab_size)", "return 1 / 0")), CRASHED, r"build_model.*\n?at train\.py:\d+"),
    ("crash in forward", in_forward("x = x + torch.ones(3)"), CRASHED, r"(?s)first training step.*at train\.py:\d+ in forward"),
    ("wrong shape", in_forward("idx, x = idx[:, :-1], x[:, :-1]"), REJECTED, r"shape: .* got \(2, 31, 320\)"),
    ("loss, not logits", in_forward("return x.mean()"), REJECTED, "shape"),
    ("tuple", in_forward("return x, None"), REJECTED, "got tuple"),
    ("too few columns", variant(("nn.Linear(16, vocab_size)", "nn.Linear(16, vocab_size - 1)")), REJECTED, ">= 320"),
    ("NaN", in_forward("x = x * float('nan')"), REJECTED, "loss of the untrained model must be finite"),
    ("memory", in_forward("x = x + torch.zeros(2**33)[0]"), OUT_OF_MEMORY, "out of memory"),
    ("next-token leak", candidates.LEAK, REJECTED, r"causality: .*0\.\.t only"),
    ("leak behind a zero", in_forward("x = x + self.gate * x.roll(-1, 1)", ("super().__init__()", "super().__init__()\n        self.gate = nn.Parameter(torch.zeros(()))")), REJECTED, "causality"),
    ("batch", candidates.BATCH_COUPLED, REJECTED, "rows: "),
    ("dropout in eval", in_forward("x = F.dropout(x, 0.1)"), REJECTED, "state: "),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "outcome", "said"), [row[1:] for row in PREFLIGHT], ids=[row[0] for row in PREFLIGHT]
)
def test_the_preflight_refuses_without_a_training(evaluator, log, source, outcome, said):
    found = evaluator.preflight(Program(source), log)

    assert (found.outcome, found.trained) == (outcome, False)
    assert re.search(said, found.detail), found.detail
    assert below(evaluator.zygote_pid) == []


EVALUATE = [
    ("crash", in_main("x = 1 / 0"), CRASHED, r"(?s)exit code 1: ZeroDivisionError.*at train\.py:\d+ in main: x = 1 / 0"),
    ("no finish", variant(("prepare.finish(model)", "pass")), CRASHED, r"without prepare\.finish\(model\)"),
    ("memory", in_main("x = torch.zeros(2**33)"), OUT_OF_MEMORY, "DefaultCPUAllocator"),
    ("loop for ever", in_main("while True: pass"), TIMED_OUT, "CPU seconds used; stop when prepare.seconds_left"),
    ("hidden worker", in_main("if os.fork():\n    os.wait()\nelse:\n    while True: pass"), TIMED_OUT, "CPU seconds used"),
    ("list", variant(("prepare.finish(model)", "torch.save([1], 'out/weights.pt')")), REJECTED, "state_dict of tensors"),
    ("rubbish", variant(("prepare.finish(model)", "open('out/weights.pt', 'w').write('x')")), CRASHED, "loading weights"),
    ("NaN", variant(("prepare.finish(model)", "model.mix.weight.data.fill_(float('nan')); prepare.finish(model)")), REJECTED, "finite: "),
    ("exit in eval", in_forward("self.training or os._exit(0)"), CRASHED, r"forward\(\) at scoring failed with exit code 0"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "outcome", "said"), [row[1:] for row in EVALUATE], ids=[row[0] for row in EVALUATE])
def test_a_training_that_breaks_a_rule_or_fails_gets_no_score(evaluator, log, source, outcome, said):
    found = evaluator.evaluate(Program(source), 1, log)

    assert (found.outcome, found.score, found.trained) == (outcome, None, True)
    assert re.search(said, found.detail), found.detail
    assert str(log.parent) not in found.detail
    assert below(evaluator.zygote_pid) == []


def test_a_thorough_evaluation_scores_the_same_and_measures_the_contrast(evaluator, log):
    plain, thorough = (evaluator.evaluate(Program(HONEST), 1, log, thorough=thorough) for thorough in (False, True))

    assert thorough.score == pytest.approx(plain.score, abs=1e-6)
    further = thorough.probes.keys() - plain.probes.keys()
    assert {
        "d5_contrast_bpb",
        "contrast_d1_causality_nats",
        "contrast_d2_rows_nats",
        "contrast_d3_state_nats",
    } < further
    assert all("contrast" in name for name in further), further


def test_a_trained_leak_is_not_visible_to_the_preflight(evaluator, log):
    assert evaluator.preflight(Program(candidates.TRAINED_LEAK), log) is None


def test_a_daemon_is_dead_before_the_score(evaluator, log):
    found = evaluator.evaluate(Program(candidates.DAEMON), 1, log)

    assert found.outcome is OK
    assert below(evaluator.zygote_pid) == []


def test_the_log_never_grows_past_its_limit_and_keeps_both_ends(evaluator, log):
    source = in_main("print('the beginning', flush=True)\nfor _ in range(300): os.write(1, b'x' * 9999 + b'\\n')")
    source = source.replace("prepare.finish(model)", "prepare.finish(model)\n    raise ValueError('the end')")

    found = evaluator.evaluate(Program(source), 1, log)

    text = log.read_text()
    assert found.outcome is CRASHED
    assert "ValueError: the end" in found.detail
    assert len(text) <= LIMIT_BYTES
    assert text.startswith("the beginning")
    assert "bytes left out" in text
    assert text.rstrip().endswith("ValueError: the end")


def test_an_evaluation_goes_on_when_the_zygote_is_killed_once(spec, corpus, tmp_path, log):
    marker = tmp_path / "killed"
    source = in_main(f"import pathlib, signal\nmarker = pathlib.Path({str(marker)!r})\n"
                     "if not marker.exists():\n    marker.touch(); os.kill(os.getppid(), signal.SIGKILL)")  # fmt: skip
    with Evaluator(dataclasses.replace(spec, sandbox="off"), corpus, scratch=tmp_path) as evaluator:
        found = evaluator.evaluate(Program(source), 1, log)
        assert found.outcome is OK
        assert below(evaluator.zygote_pid) == []


def test_a_training_that_is_killed_once_is_done_again_and_a_second_time_it_is_at_fault(spec, corpus, tmp_path, log):
    marker = tmp_path / "killed"
    source = in_main(f"import pathlib, signal\nmarker = pathlib.Path({str(marker)!r})\n"
                     "once = not marker.exists()\nmarker.touch()\n"
                     "if once or ALWAYS: os.kill(os.getpid(), signal.SIGKILL)")  # fmt: skip
    with Evaluator(dataclasses.replace(spec, sandbox="off"), corpus, scratch=tmp_path) as evaluator:
        again = evaluator.evaluate(Program(source.replace("ALWAYS", "False")), 1, log)
        assert (again.outcome, again.tries, again.score_tries) == (OK, 2, 1)
        found = evaluator.evaluate(Program(source.replace("ALWAYS", "True")), 1, log)
    assert (found.outcome, found.trained) == (CRASHED, True)
    assert "SIGKILL" in found.detail


# Kills its server once, after it was asked `PASSES` times; what a marker outside says is gone only with sandbox=off.
KILLS_ITS_SERVER = in_forward(
    "self.training or self.count(x)",
    (
        "def past(self, x):",
        """def count(self, x):
        import pathlib, signal
        marker = pathlib.Path('MARKER')
        self.passes = getattr(self, 'passes', 0) + 1
        if not marker.exists():
            x += NOISE
            if self.passes == 3:
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    def past(self, x):""",
    ),
)


def test_a_server_that_is_killed_once_is_replaced_and_the_same_weights_are_scored(spec, corpus, tmp_path, log):
    honest = KILLS_ITS_SERVER.replace("MARKER", str(tmp_path / "one")).replace("NOISE", "0")
    moody = KILLS_ITS_SERVER.replace("MARKER", str(tmp_path / "two")).replace("NOISE", "0.1")
    with Evaluator(dataclasses.replace(spec, sandbox="off"), corpus, scratch=tmp_path) as evaluator:
        killed, plain = evaluator.evaluate(Program(honest), 1, log), evaluator.evaluate(Program(HONEST), 1, log)
        changed = evaluator.evaluate(Program(moody), 1, log)

    assert (killed.outcome, killed.tries, killed.score_tries) == (OK, 1, 2), killed.detail
    assert (plain.tries, plain.score_tries) == (1, 1)
    assert killed.weights_sha256 == plain.weights_sha256
    assert killed.score == pytest.approx(plain.score, abs=1e-6)
    assert killed.to_json()["score_tries"] == 2
    assert (changed.outcome, changed.score_tries) == (REJECTED, 2)
    assert "probe d3_state_nats" in changed.detail


def test_a_failure_on_a_full_disk_is_an_error_and_no_verdict_on_the_program(spec, corpus, tmp_path, log, monkeypatch):
    monkeypatch.setattr("target.launch.keeper._ROOM_BYTES", 1 << 60)
    with Evaluator(spec, corpus, scratch=tmp_path) as evaluator:
        assert evaluator.evaluate(Program(HONEST), 1, log).outcome is OK
        with pytest.raises(DiskFullError, match=r"unclear whether .*no room"):
            evaluator.evaluate(Program(in_main("raise OSError(28, 'no room')")), 1, log)


def test_a_log_that_cannot_be_written_is_the_machines_fault_not_the_programs(evaluator):
    with pytest.raises(DiskFullError, match=r"No space left on device: ./dev/full"):
        evaluator.evaluate(Program(in_main("print('x' * 500_000)")), 1, Path("/dev/full"))


def test_a_program_that_always_kills_the_zygote_is_at_fault(spec, corpus, tmp_path, log):
    source = in_main("import signal\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)")
    with Evaluator(dataclasses.replace(spec, sandbox="off"), corpus, scratch=tmp_path) as evaluator:
        found = evaluator.evaluate(Program(source), 1, log)
        assert (found.outcome, evaluator.evaluate(Program(HONEST), 1, log).outcome) == (CRASHED, OK)
    assert "killed twice" in found.detail
    assert list(tmp_path.glob("graft-*")) == []


def _build(source):
    """Build the model of a program in this process."""
    module = types.ModuleType("candidate")
    sys.modules["prepare"] = target.prepare
    exec(source, module.__dict__)
    del sys.modules["prepare"]
    return module.build_model(vocab_size=320)


def _val_bpb(model, spec, corpus, *, holdout=False):
    rows, length = spec.scoring.rows, spec.sequence_tokens
    validation = Validation.load(corpus, n_rows=rows, sequence_tokens=length, holdout=holdout)
    with torch.inference_mode():
        logits = model.eval()(torch.from_numpy(np.ascontiguousarray(validation.inputs)))
    targets = torch.from_numpy(np.ascontiguousarray(validation.targets))
    nll = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").double()
    counts = torch.from_numpy(validation.token_bytes)[targets.flatten()]
    return (nll[counts > 0].sum() / math.log(2) / counts.sum()).item()
