# ruff: noqa: E501 -- one record a row, as in a table
"""A run directory that others have manipulated."""

from __future__ import annotations

import contextlib
import os
import pty
import sys
from pathlib import Path

import pytest

from operators.trial import Proposal
from search.errors import UserError
from search.runs.files import write_atomically
from search.runs.ledger import Ledger
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from target.printable import PrintableStream, printable

ATTACKS = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]52;c;eA==\x07",
    "\u202egnp",
    "\x9b31m",
    "\x08\x08",
    "\u200b",
    "\x00",
    "\udc80",
]


@pytest.fixture
def run(tmp_path):
    made = RunDirectory(tmp_path / "outputs" / "x")
    made.create()
    ledger = Ledger(made)
    for seed in range(3):
        ledger.propose(Proposal(parents=(), seed=seed, operator="seed"))
    write_atomically(made.results, "number\tstatus\n0\tbaseline\n")
    return made


@pytest.mark.parametrize(
    "place", ["results.tsv", "summary.json", "report.md", "journal.log", "trials", ".hydra/config.yaml"]
)
def test_a_link_in_a_run_directory_is_refused_and_what_it_leads_to_is_untouched(run, tmp_path, place):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    link = run.root / place
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(elsewhere)

    with pytest.raises(UserError, match="is a symbolic link"):
        run.create()
    assert elsewhere.read_text() == "mine"


@pytest.mark.parametrize("damage", ["emptied", "removed"])
def test_results_without_their_ledger_begin_no_new_search(run, damage):
    run.journal.write_text("") if damage == "emptied" else run.journal.unlink()

    with pytest.raises(UserError, match=r"has results\.tsv, but its ledger, journal\.log, has no trial: restore"):
        Ledger(run)


RECORDS = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep in a record": '{"op_code": 8, "worker_id": "x", "trial_id": 0, "user_attr": {"mutation": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}}",
    "unknown operation": '{"op_code": 99, "worker_id": "x"}',
    "no operation": "{}",
    "a list": "[]",
    "a number": "1",
    "a text": '"op_code"',
    "null": "null",
    "proposal of another form": '{"op_code": 8, "worker_id": "x", "trial_id": 0, "user_attr": {"proposal": 3}}',
    "verdict of another form": '{"op_code": 8, "worker_id": "x", "trial_id": 0, "user_attr": {"verdict": {"status": "?"}}}',
    "verdict without its clocks": '{"op_code": 8, "worker_id": "x", "trial_id": 0, "user_attr": {"verdict": {"status": "keep", "decided": 0}}}',
    "infinite number": '{"op_code": 8, "worker_id": "x", "trial_id": 0, "user_attr": {"proposal": {"number": 1e999}}}',
    "long integer": '{"op_code": ' + "9" * 5_000 + "}",
}  # fmt: skip


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_that_no_search_writes_is_refused_with_a_sentence(run, record):
    with run.journal.open("a") as journal:
        journal.write(record + "\n")

    for read in (lambda: Ledger(run), lambda: read_population(run)):
        with pytest.raises(UserError, match=r"journal\.log"):
            read()


def test_text_of_others_is_shown_with_escapes():
    for attack in ATTACKS:
        shown = printable(f"a{attack}b\n\tc")
        assert shown.startswith("a")
        assert shown.endswith("b\n\tc")
        assert all(each.isprintable() or each in "\n\t" for each in shown)
    assert printable("größer → 中文 🙂") == "größer → 中文 🙂"


def test_a_stream_escapes_and_keeps_characters_that_come_in_pieces(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        stream = PrintableStream(file)
        for piece in ("ü\x1b[2J\rprogress\n".encode()[n : n + 1] for n in range(17)):
            stream.write(piece)

    assert (tmp_path / "out").read_bytes() == "ü\\x1b[2J\rprogress\n".encode()


STOPPED = """
import signal
from search.budget import Budget
from search.views.console import Display
with Display(Budget(trainings=1)):
    signal.raise_signal(signal.SIGTSTP)
    print("back", flush=True)
"""


SHELL = f"""
import os, signal, subprocess, sys
job = subprocess.Popen([sys.executable, "-c", {STOPPED!r}], process_group=0)
_, status = os.waitpid(job.pid, os.WUNTRACED)
print("STOPPED" if os.WIFSTOPPED(status) else "NOT STOPPED", flush=True)
os.kill(job.pid, signal.SIGCONT)
print("ENDED", os.waitpid(job.pid, 0)[1], flush=True)
"""


def test_a_stopped_search_leaves_the_shell_its_cursor(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", SHELL])
    shown = b""
    with contextlib.suppress(OSError):  # how the end of a terminal shows
        while piece := os.read(terminal, 10_000):
            shown += piece
    os.close(terminal)
    os.waitpid(pid, 0)

    before, _, after = shown.partition(b"STOPPED")
    assert before.rindex(b"\x1b[?25h") > before.rindex(b"\x1b[?25l"), shown
    assert b"NOT" not in before
    assert after.index(b"\x1b[?25l") < after.index(b"back") < after.rindex(b"\x1b[?25h") < after.index(b"ENDED 0")
