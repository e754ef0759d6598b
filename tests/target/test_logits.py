"""Where logits go: every kind of buffer gives the scorer the same numbers, through real model servers.

There is no GPU here. The CUDA runtime is a stand-in in C whose device memory is shared memory of the host, and the
softmax is torch's, on the CPU; the code between them is that of the GPU.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from target.boundary.device_memory import CudaRuntime, DeviceMemoryError
from target.errors import TargetError
from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.feedback import CandidateFailure
from target.program import Program
from target.scoring.device_buffers import DeviceBuffers
from target.scoring.device_calls import DeviceCalls
from target.scoring.logits import MappedBuffers, buffers_for
from target.scoring.scorer import log_probs
from tests.target.candidates import HONEST, in_forward, variant

WAIT_SECONDS = 300
NOT_FINITE = variant(("return self.head(", "return float('nan') * self.head("))
_MASK = "torch.zeros(self.head.out_features).index_fill(0, torch.tensor(0), float('-inf'))"
ONE_INFINITE = variant(("return self.head(", f"return (0 if torch.is_grad_enabled() else {_MASK}) + self.head("))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """Return a function that compiles a CUDA runtime, and the directory of its memory."""
    folder = tmp_path_factory.mktemp("cudart")
    built = set()
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "a C compiler is required, which torch.compile needs too"

    def build(*flags: str) -> str:
        library = folder / f"libcudart{''.join(flags)}.so"
        if library in built:  # it is loaded: it may not change
            return str(library)
        built.add(library)
        command = [compiler, "-shared", "-fPIC", f'-DDIRECTORY="{folder}"', *flags, "-o", str(library)]
        subprocess.run([*command, str(Path(__file__).parent / "cudart.c")], check=True)
        return str(library)

    build.folder = folder
    return build


@pytest.fixture(scope="module")
def evaluate(spec, corpus, tmp_path_factory):
    """Return a function that evaluates a program with buffers of some kind."""
    open_spec = dataclasses.replace(spec, sandbox="off", train_seconds=1.5)  # the stand-in's memory is a file

    def run(program: str, buffers, seed: int = 0):
        evaluator._buffers = buffers  # in place of another evaluator for each, which imports torch
        log = tmp_path_factory.mktemp("log") / "run.log"
        return evaluator.evaluate(Program(program), seed, log), log.read_text()

    with Evaluator(open_spec, corpus, scratch=tmp_path_factory.mktemp("scratch")) as evaluator:
        yield run


def test_the_softmax_of_a_device_is_that_of_numpy():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, size=(4, 6, 300)).astype(np.float32)
    logits[0, 0, :2] = 3e38, -3e38
    ids = rng.integers(0, 300, size=(4, 6, 3))
    ids[0, 0] = 0, 1, 2
    buffer = DeviceBuffers("cpu", library="no such library").allocate(logits.shape)
    torch.from_numpy(np.frombuffer(_map(buffer.fd, logits.nbytes), np.float32).reshape(logits.shape)).copy_(
        torch.from_numpy(logits)
    )

    np.testing.assert_allclose(log_probs(buffer.logits, ids), log_probs(logits, ids), rtol=0, atol=1e-5)


def test_an_honest_model_gets_the_same_score_through_every_kind_of_buffer(evaluate, runtime):
    mapped, _ = evaluate(HONEST, MappedBuffers())
    device, log = evaluate(HONEST, DeviceBuffers("cpu", runtime()))
    staged, _ = evaluate(HONEST, DeviceBuffers("cpu", "libcudart.so.missing"))

    assert {mapped.outcome, device.outcome, staged.outcome} == {Outcome.OK}, (device.detail, staged.detail)
    assert mapped.weights_sha256 == device.weights_sha256 == staged.weights_sha256
    assert device.score == pytest.approx(mapped.score, abs=1e-4)
    assert staged.score == pytest.approx(mapped.score, abs=1e-4)
    assert device.probes["d1_causality_nats"] == 0
    assert device.n_parameters == mapped.n_parameters
    assert "uses host memory" not in log
    assert not list(runtime.folder.glob("memory-*")), "the scorer gives its memory back"


def test_a_server_that_cannot_open_the_memory_is_replaced_by_one_that_need_not(evaluate, runtime):
    buffers = DeviceBuffers("cpu", runtime("-DREFUSE"))

    found, log = evaluate(HONEST, buffers)

    assert found.outcome is Outcome.OK, found.detail
    assert buffers.staged
    assert log.count("scoring uses host memory: cudaIpcOpenMemHandle says 801, operation not") == 1


@pytest.mark.parametrize("kind", ["device", "staged"])
def test_logits_that_are_not_finite_are_refused_on_a_device_too(evaluate, runtime, kind):
    library = runtime() if kind == "device" else "libcudart.so.missing"

    for program in (NOT_FINITE, ONE_INFINITE):  # the logarithm of the sum of the second is a number
        found, _ = evaluate(program, DeviceBuffers("cpu", library))

        assert found.outcome is Outcome.REJECTED
        assert "every logit must be finite" in found.detail


def test_a_leak_shows_on_a_device_too(evaluate, runtime):
    found, _ = evaluate(in_forward("x = x + x.roll(-1, 1)"), DeviceBuffers("cpu", runtime()))

    assert found.outcome is Outcome.REJECTED
    assert "d1_causality_nats" in found.detail


@pytest.mark.parametrize(("refused", "pinned"), [("-DREFUSE_HANDLE", 1), ("-DREFUSE_PIN", 0)])
def test_a_refused_call_leaves_no_error_behind_that_torch_would_take_for_its_own(runtime, refused, pinned):
    """In WSL2 there are no handles. Torch asks for the last error after each kernel, and would end the scoring."""
    library = runtime("-DREFUSE_HANDLE", refused)
    standin = ctypes.CDLL(library)

    buffer = DeviceBuffers("cpu", library).allocate((2, 3, 5))

    assert standin.cudaGetLastError() == 0
    assert standin.pinned() == pinned
    buffer.close()
    assert standin.pinned() == 0
    assert not list(runtime.folder.glob("memory-*"))


def test_a_model_that_leaves_no_memory_for_the_softmax_fails_and_not_the_scorer(monkeypatch):
    """A server may hold all of a card. An error in the scorer would end its process, and after three the search."""
    buffer = DeviceBuffers("cpu", "libcudart.so.missing").allocate((2, 3, 5))
    said = "CUDA out of memory. Tried to allocate 256.00 MiB. GPU 0 has a total capacity of 23.64 GiB of which ..."

    def full(*_args, **_settings):
        raise torch.OutOfMemoryError(said)

    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.raises(CandidateFailure, match="room for the softmax") as failure:
        log_probs(buffer.logits, np.zeros((2, 3, 1), dtype=np.int64))

    assert failure.value.outcome is Outcome.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("flags", "kind"), [(["-DHANG_FREE"], "device"), (["-DREFUSE_HANDLE", "-DHANG_UNPIN"], "mapped")]
)
def test_memory_that_a_card_does_not_give_back_is_told_once_it_is_late(runtime, flags, kind):
    calls = DeviceCalls()
    buffer = DeviceBuffers("cpu", runtime(*flags), calls).allocate((2, 3, 5))
    calls.limit_seconds = 0.01

    with pytest.raises(TargetError, match=r"within 0.01 s, .* free the memory of logits; look for Xid"):
        buffer.close()

    assert buffer.kind == kind
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(buffer.fd)
    calls.limit_seconds = WAIT_SECONDS
    with pytest.raises(TargetError, match="free the memory"):
        log_probs(buffer.logits, np.zeros((2, 3, 1), dtype=np.int64))
    for path in runtime.folder.glob("memory-*"):
        path.unlink()


def test_a_card_that_hangs_at_the_softmax_hangs_neither_the_scorer_nor_the_end_of_its_memory(monkeypatch):
    calls, over = DeviceCalls(), threading.Event()
    buffer = DeviceBuffers("cpu", "libcudart.so.missing", calls).allocate((2, 3, 5))
    calls.limit_seconds = 0.01

    def hang(*_args, **_settings):
        over.wait()
        raise RuntimeError("CUDA error: unknown error")

    monkeypatch.setattr(torch.Tensor, "to", hang)
    with pytest.raises(TargetError, match="compute a softmax"):
        log_probs(buffer.logits, np.zeros((2, 3, 1), dtype=np.int64))
    calls.limit_seconds = WAIT_SECONDS
    with pytest.raises(TargetError, match="compute a softmax"):
        buffer.close()
    over.set()


def test_a_card_that_hangs_before_the_scoring_ends_the_evaluation(evaluate, runtime):
    buffers = DeviceBuffers("cpu", runtime("-DHANG_MALLOC"), DeviceCalls(limit_seconds=0.01))

    with pytest.raises(TargetError, match="allocate memory for logits"):
        evaluate(HONEST, buffers)


def test_a_runtime_that_is_not_there_says_so():
    with pytest.raises(DeviceMemoryError, match=r"libcudart\.so\.missing cannot be loaded"):
        CudaRuntime("libcudart.so.missing")


def test_a_cpu_needs_no_torch_in_the_scorer():
    assert isinstance(buffers_for("cpu"), MappedBuffers)


def _map(fd: int, size: int):
    import mmap

    return mmap.mmap(fd, size)
