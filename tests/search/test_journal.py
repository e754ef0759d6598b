"""The lines of a journal carry their number and hash: what was changed is found, and what crashed goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from operators.trial import Mutation, Proposal, Status
from search.errors import UserError
from search.runs.journal import check_journal
from search.runs.ledger import Ledger
from search.runs.reading import Elapsed, read_population
from search.runs.results import ResultsTable
from search.runs.rundir import RunDirectory
from target.program import Program
from tests.search.builders import make_evaluation

Lines = list[bytes]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path)
    write(Ledger(made), 3)
    return made


def write(ledger: Ledger, count: int) -> None:
    """Add trials with their verdicts."""
    for number in range(len(ledger.population.trials), len(ledger.population.trials) + count):
        ledger.propose(Proposal(parents=(0,) if number else (), seed=number))
        program = Program(f"DEPTH = {number}\n")
        ledger.build(number, Mutation(program=program, operator="constants", description="d"))
        ledger.evaluate(number, make_evaluation(2.5 - number / 10, seed=5))
        status = Status.KEEP if number else Status.BASELINE
        ledger.decide(number, status, detail="", elapsed=Elapsed(float(number), 0.0))


def lines_of(run: RunDirectory) -> Lines:
    return run.journal.read_bytes().splitlines(keepends=True)


def without_seals(lines: Lines) -> Lines:
    """Return the lines as an older version wrote them."""
    return [re.sub(rb',"line":\d+,"sha256":"[0-9a-f]+"}\n\Z', b"}\n", line) for line in lines]


def refused(run: RunDirectory, expected: str) -> None:
    """Check that a journal is refused with a sentence, by the search and by a reader, and is left as it is."""
    before = run.journal.read_bytes()
    for opened in (Ledger, read_population):
        with pytest.raises(UserError, match=expected) as said:
            opened(run)
        assert "restore the file from a copy, or start a new run" in str(said.value)
    assert run.journal.read_bytes() == before


def test_every_line_ends_with_its_number_and_hash(run: RunDirectory) -> None:
    records = [json.loads(line) for line in lines_of(run)]

    assert [record["line"] for record in records] == [*range(1, len(records) + 1)]
    assert len({record["sha256"] for record in records}) == len(records)
    assert all(list(record)[-2:] == ["line", "sha256"] for record in records)


def test_a_line_changed_to_another_valid_one_is_refused(run: RunDirectory) -> None:
    lines = lines_of(run)
    (at,) = (index for index, line in enumerate(lines) if b'"val_bpb":2.4' in line)
    lines[at] = lines[at].replace(b'"val_bpb":2.4', b'"val_bpb":1.4')
    run.journal.write_bytes(b"".join(lines))

    refused(run, rf"journal\.log:{at + 1}: it was changed since it was written: its hash does not fit")


def change_hash(lines: Lines, at: int) -> Lines:
    digits = lines[at][-19:-3]
    return [*lines[:at], lines[at].replace(digits, digits[::-1]), *lines[at + 1 :]]


def reformat(lines: Lines, at: int) -> Lines:
    return [*lines[:at], json.dumps(json.loads(lines[at])).encode() + b"\n", *lines[at + 1 :]]


DAMAGE: dict[str, tuple[Callable[[Lines, int], Lines], int, str]] = {
    "dropped": (lambda lines, at: lines[:at] + lines[at + 1 :], 0, r"written as line {next}: lines were removed"),
    "doubled": (lambda lines, at: lines[: at + 1] + lines[at:], 1, r"written as line {number}: lines were removed"),
    "swapped": (
        lambda lines, at: [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
        0,
        r"written as line {next}: lines were removed, duplicated or moved",
    ),
    "inserted": (lambda lines, at: [*lines[:at], b'{"op_code":10}\n', *lines[at:]], 1, r"written as line {number}: "),
    "without its seal": (
        lambda lines, at: [*lines[:at], *without_seals(lines[at : at + 1]), *lines[at + 1 :]],
        1,
        r"it, or another of the lines from {number} on, was changed",
    ),
    "with another hash": (change_hash, 0, "it was changed"),
    "in another form": (reformat, 0, "it was written in another form"),
    "with other line breaks": (lambda lines, _: [line.replace(b"\n", b"\r\n") for line in lines], 0, "another form"),
    "joined to the next": (lambda lines, at: [*lines[:at], lines[at][:-1], *lines[at + 1 :]], 0, "not JSON"),
    "cut": (lambda lines, at: [*lines[:at], lines[at][:30] + b"\n", *lines[at + 1 :]], 0, "not JSON"),
}  # fmt: skip
"""The damage to the line at an index, how many lines later it is detected, and the message."""


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("place", [0, 1, 6, -3])
def test_damage_is_refused_with_its_line(run: RunDirectory, damage: str, place: int) -> None:
    lines = lines_of(run)
    index = place % len(lines)
    do, later, said = DAMAGE[damage]
    run.journal.write_bytes(b"".join(do(lines, index)))

    shows = 1 if damage == "with other line breaks" else index + 1 + later
    refused(run, rf"journal\.log:{shows}: .*{said.format(number=index + 1, next=index + 2)}")


def test_verdicts_that_the_journal_lost_at_its_end_are_missed(run: RunDirectory) -> None:
    ResultsTable(run).write(read_population(run))
    whole = lines_of(run)
    run.journal.write_bytes(b"".join(whole[:-5]))  # the last trial

    with pytest.raises(
        UserError, match=r"results\.tsv has a verdict on trial 2, but journal\.log has none: .* restore"
    ):
        Ledger(run)
    run.results.rename(run.root / "old.tsv")
    ledger = Ledger(run)
    assert len(ledger.population.trials) == 2
    ResultsTable(run).write(ledger.population)
    write(Ledger(run), 1)
    ResultsTable(run).write(read_population(run))
    assert run.numbers_in_results() == ["0", "1", "2"]


@pytest.mark.parametrize("other", ["# a note", "", "note\tx"])
def test_other_lines_in_results_are_no_verdicts(run: RunDirectory, other: str) -> None:
    ResultsTable(run).write(read_population(run))
    with run.results.open("a") as results:
        results.write(other + "\n")

    assert len(Ledger(run).population.trials) == 3


def test_a_line_torn_at_any_byte_never_happened_and_the_next_takes_its_number(run: RunDirectory) -> None:
    whole, last = run.journal.read_bytes(), lines_of(run)[-1]
    numbers = [*range(1, len(lines_of(run)) + 1)]
    for cut in range(1, len(last) + 1):
        run.journal.write_bytes(whole[:-cut])

        assert len(Ledger(run).population.decided) == 3  # the last line is the seal of a verdict; it is written again
        assert [json.loads(line)["line"] for line in lines_of(run)] == numbers
        assert check_journal(run.journal) == b""


def test_a_last_line_without_its_break_is_checked_too(run: RunDirectory) -> None:
    run.journal.write_bytes(run.journal.read_bytes()[:-1].replace(b'"values":[2.3]', b'"values":[1.3]'))

    refused(run, rf"journal\.log:{len(lines_of(run))}: it was changed")


def test_an_older_journal_goes_on_and_is_protected_from_there(run: RunDirectory) -> None:
    old = without_seals(lines_of(run))
    run.journal.write_bytes(b"".join(old))
    write(Ledger(run), 1)

    assert len(read_population(run).trials) == 4
    lines = lines_of(run)
    assert lines[: len(old)] == old
    assert json.loads(lines[len(old)])["line"] == len(old) + 1
    lines[2] = lines[2].replace(b'"worker_id"', b'"worker_ie"')
    run.journal.write_bytes(b"".join(lines))
    refused(run, rf"journal\.log:{len(old) + 1}: it, or another of the lines from 1 on, was changed")
    run.journal.write_bytes(b"".join(lines[1:]))
    refused(run, rf"journal\.log:{len(old)}: it was written as line {len(old) + 1}")


def plain_study(run: RunDirectory) -> optuna.Study:
    """Return the study as Optuna and `optuna-dashboard` load it."""
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(run.journal))))


def test_plain_optuna_sees_the_same_trials(run: RunDirectory) -> None:
    lines = lines_of(run)
    sealed = plain_study(run)
    run.journal.write_bytes(b"".join(without_seals(lines)))

    assert sealed.get_trials() == plain_study(run).get_trials()
    assert sealed.user_attrs == plain_study(run).user_attrs
    assert [(trial.state.name, trial.value) for trial in sealed.get_trials()] == [
        ("COMPLETE", 2.5),
        ("COMPLETE", 2.4),
        ("COMPLETE", 2.3),
    ]


def note(run: RunDirectory, text: str) -> None:
    """Append a line as `optuna-dashboard` does for a note on a study."""
    JournalStorage(JournalFileBackend(str(run.journal))).set_study_system_attr(0, "dashboard:note_str:0", text)


def test_notes_by_plain_optuna_are_accepted_and_sealed_by_the_next_line(run: RunDirectory) -> None:
    number = len(lines_of(run))
    note(run, "after the search")
    ledger = Ledger(run)
    ledger.propose(Proposal(parents=(0,), seed=9))
    note(run, "while it runs")
    ledger.propose(Proposal(parents=(0,), seed=10))

    assert Ledger(run).population == ledger.population
    lines = lines_of(run)
    assert [index for index, line in enumerate(lines) if b'"sha256"' not in line] == [number, len(lines) - 2]
    lines[-2] = lines[-2].replace(b"while", b"after")
    run.journal.write_bytes(b"".join(lines))
    refused(run, rf"journal\.log:{len(lines)}: it, or another of the lines from {len(lines) - 1} on, was changed")


@pytest.mark.parametrize("remains", [b"", b'{"op_code":1'])
def test_a_journal_cut_short_or_torn_while_a_search_writes_stops_it(run: RunDirectory, remains: bytes) -> None:
    ledger = Ledger(run)
    ledger.propose(Proposal(parents=(0,), seed=9))
    changed = run.journal.read_bytes() + remains if remains else b"".join(lines_of(run)[:-1])
    run.journal.write_bytes(changed)

    with pytest.raises(UserError, match=r"journal\.log: its end was cut off or is half a line"):
        ledger.propose(Proposal(parents=(0,), seed=10))
    assert run.journal.read_bytes() == changed
    assert list(run.root.glob("journal.log.lock*")) == []
    assert len(Ledger(run).population.trials) == (4 if remains else 3)  # the same command mends it


def test_a_line_appended_by_hand_with_the_number_of_another_stops_the_search(run: RunDirectory) -> None:
    ledger = Ledger(run)
    with run.journal.open("ab") as journal:
        journal.write(lines_of(run)[-1])

    with pytest.raises(UserError, match="lines were removed, duplicated or moved"):
        ledger.propose(Proposal(parents=(0,), seed=10))
    assert list(run.root.glob("journal.log.lock*")) == []
