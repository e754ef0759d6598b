"""Every way in which a process can end becomes a failure with words, never an error of ours."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target.command.reported import read_log
from target.evaluation import Outcome
from target.feedback import DETAIL_CHARACTERS, failure_from_log, last_words, ran_out_of_memory, reason, refusal
from tests.limits import within_cpu_seconds

IGNORED = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
# the kernel ignores these in an orphaned process group, as in the background of a script
STOPS_OF_A_TERMINAL = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
TRACEBACK = "Traceback (most recent call last):"


def test_every_wait_status_has_words():
    for status in range(1, 1 << 16):
        failure = failure_from_log("", status, stage="training")
        assert failure.outcome is Outcome.CRASHED
        assert "it printed nothing" in failure.detail or "was ended by" in failure.detail


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_a_process_that_dies_of_a_signal_has_crashed(number):
    pid = os.fork()
    if pid == 0:
        try:
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if not status:
        assert number in IGNORED | STOPS_OF_A_TERMINAL
        return

    failure = failure_from_log("", status, stage="training")

    assert failure.outcome is Outcome.CRASHED
    assert failure.killed == (number == signal.SIGKILL)
    if os.WIFSIGNALED(status):
        assert str(getattr(number, "name", f"signal {int(number)}")) in failure.detail


@pytest.mark.parametrize("code", range(1, 256))
def test_an_exit_code_is_named(code):
    assert f"exit code {code}" in failure_from_log("", code << 8, stage="training").detail


@given(st.text(), st.integers(0, 0xFFFF))
def test_no_log_and_no_ending_is_an_error_of_ours(tail, status):
    for text in (tail, f"Traceback (most recent call last):\n{tail}", f'  File "train.py", line 1, in f\n{tail}'):
        assert len(failure_from_log(text, status or None, stage="s").detail) <= DETAIL_CHARACTERS
        last_words(text)
        refusal(text)


@pytest.mark.parametrize(
    "piece",
    [
        "x",
        " ",
        "\n",
        "a:",
        'File "',
        '  File "',
        f"{TRACEBACK}\n",
        ".",
        "\r",
        "\n[... ",
        "\n[... 1 bytes left out ...]\n",
    ],
)
@pytest.mark.parametrize("read", [read_log, partial(read_log, metric="a"), last_words, refusal, ran_out_of_memory])
def test_a_long_log_is_read_in_linear_time(read, piece):
    within_cpu_seconds(10, lambda: read(piece * (500_000 // len(piece))))


def test_what_a_program_prints_is_quoted_in_printable_characters():
    failure = failure_from_log("\x1b]0;owned\x07 \u202eboom\r\n", 256, stage="training")

    assert failure.detail == "training failed with exit code 1: \\x1b]0;owned\\x07 \\u202eboom"
    assert len(failure_from_log("\x1b" * 9_000, 256, stage="training").detail) == DETAIL_CHARACTERS


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (
            'warning: x\nTraceback (most recent call last):\n  File "/a/start.py", line 3, in start\n    compute()\n'
            "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device\n"
            "Search for `cudaErrorNoKernelImageForDevice' in https://docs.nvidia.com/...\n"
            "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
            "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n\n",
            "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device",
        ),
        (
            'Traceback (most recent call last):\n  File "/a/start.py", line 3, in start\n    compute()\n'
            "torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler. Please specify via CC\n\n"
            "Set TORCHDYNAMO_VERBOSE=1 for the internal stack trace\n",
            "torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler. Please specify via CC",
        ),
        ("one\ntwo\n", "two"),
        ("", ""),
    ],
)
def test_the_reason_is_the_first_line_of_an_error_and_not_the_advice_behind_it(tail, expected):
    assert reason(tail) == expected


@pytest.mark.parametrize(
    ("message", "memory"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of", True),
        ("torch.AcceleratorError: CUDA error: out of memory", True),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`", False),
        ("triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 131072", False),
    ],
)
def test_every_way_in_which_a_gpu_says_that_its_memory_is_full_counts_as_that(message, memory):
    assert ran_out_of_memory(f"{TRACEBACK}\n  ...\n{message}\n") is memory
