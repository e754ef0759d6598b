"""Turns the end of a candidate's log into one or two lines that a person or a model can act on."""

from __future__ import annotations

import re
import signal

from target.evaluation import Outcome
from target.printable import printable

DETAIL_CHARACTERS = 1_500
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?P<line>\d+), in (?P<function>.*)')
_OUT_OF_MEMORY = re.compile(
    r"\bMemoryError\b|out of memory|DefaultCPUAllocator|OutOfMemoryError|Cannot allocate memory|std::bad_alloc"
    r"|CU(BLAS|DNN)_STATUS_ALLOC_FAILED"
)
_LAST_LINES = 5


class CandidateFailure(Exception):  # noqa: N818 -- a candidate's failure is data, not an error of ours
    """A candidate failed a stage of an evaluation; the evaluator turns this into an `Evaluation`.

    Args:
        outcome: How the evaluation ended.
        detail: What was required, what was found, what to do.
        killed: Whether it was killed, and not by us: by the kernel, a person, or the candidate itself.
    """

    def __init__(self, outcome: Outcome, detail: str, *, killed: bool = False) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.killed = killed
        self.detail = printable(detail)[:DETAIL_CHARACTERS]  # it quotes what the program printed


def last_words(tail: str) -> str:
    """Return the exception that ended a program and the line of `train.py` it passed last, or its last lines."""
    _, found, trace = tail.rpartition(_TRACEBACK)
    if not found:
        lines = [line for line in tail.splitlines() if line.strip()]
        return "\n".join(lines[-_LAST_LINES:])[-DETAIL_CHARACTERS:]
    lines = trace.strip("\n").splitlines()
    frames = [(number, match) for number, line in enumerate(lines) if (match := _FRAME.match(line))]
    first = next((number for number, line in enumerate(lines) if line and not line.startswith(" ")), len(lines) - 1)
    message = "\n".join(lines[first : first + 2 * _LAST_LINES]).strip()
    own = [(number, frame) for number, frame in frames if frame["file"].endswith("train.py")]
    if not own:
        return message[:DETAIL_CHARACTERS]
    number, frame = own[-1]
    code = lines[number + 1].strip() if number + 1 < len(lines) and number + 1 < first else ""
    return f"{message[:DETAIL_CHARACTERS]}\nat train.py:{frame['line']} in {frame['function']}: {code}".rstrip(": ")


def reason(tail: str) -> str:
    """Return the first line of the exception that ended a program, or its last line; empty if it printed nothing.

    CUDA's errors and the compiler's have several lines, and the last ones are advice for developers of torch.
    """
    lines = last_words(tail).splitlines() or [""]
    return lines[0 if _TRACEBACK in tail else -1].strip()


def ran_out_of_memory(tail: str) -> bool:
    """Return whether the last words of a program say that it ran out of memory."""
    return bool(_OUT_OF_MEMORY.search(last_words(tail)))


def failure_from_log(tail: str, status: int | None, *, stage: str) -> CandidateFailure:
    """Return the failure of a child that ended by itself without success.

    Args:
        tail: End of its log.
        status: Its wait status, if known.
        stage: What it was doing, for the detail: "training", "the import of train.py".
    """
    words = last_words(tail)
    if ran_out_of_memory(tail):
        return CandidateFailure(Outcome.OUT_OF_MEMORY, f"{stage} ran out of memory: {words}")
    if status is not None and status & 0x7F:
        name = _signal_name(status & 0x7F)
        killed = name == "SIGKILL"
        hint = " (the kernel does this when the machine has no memory left)" if killed else ""
        detail = f"{stage} was ended by {name}{hint}; its last output: {words or 'nothing'}"
        return CandidateFailure(Outcome.CRASHED, detail, killed=killed)
    code = "" if status is None else f" with exit code {status >> 8}"
    return CandidateFailure(Outcome.CRASHED, f"{stage} failed{code}: {words or 'it printed nothing'}")


def _signal_name(number: int) -> str:
    """Return the name of a signal. Python has no names for real-time signals (32 to 64) and invalid numbers."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def refusal(tail: str) -> str:
    """Return the message of the `ContractError` that a child printed last."""
    return (
        tail.rpartition("ContractError: ")[2].strip()[:DETAIL_CHARACTERS] or "the contract was broken, without a reason"
    )
