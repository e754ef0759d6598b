from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from operators.population import Population
from operators.trial import Attempt, Mutation, Proposal, Status
from search.errors import UserError
from search.runs.ledger import Ledger
from search.runs.ledger_records import sha256_of
from search.runs.reading import Elapsed, read_population
from search.runs.rundir import RunDirectory
from target.program import IDS_BY, Program
from tests.search.builders import make_evaluation

PROGRAM = Program('DEPTH = 4  # ü\r\nS = """a\tb"""\n')


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def write_search(run: RunDirectory) -> Ledger:
    """Write a search with a baseline, a failure, a champion measured again later, and a pending trial."""
    ledger = Ledger(run)
    for number in range(4):
        ledger.propose(Proposal(parents=(0,) if number else (), seed=number, labels={"generation": number, "x": 0.5}))
    for number in (0, 2, 3):
        program = PROGRAM.with_constants({"DEPTH": 4 + number})
        ledger.build(
            number,
            Mutation(
                program=program,
                operator="constants",
                description="d",
                rationale="r",
                cost_usd=0.25,
                prompt="default@0",
                extra_parents=(0,),
            ),
        )
    ledger.evaluate(0, make_evaluation(2.0, seed=5))
    ledger.decide(0, Status.BASELINE, detail="", elapsed=Elapsed(1.0, 0.5))
    failure = Attempt(operator="patch", cost_usd=0.125, prompt="default@0", extra_parents=(0,))
    ledger.decide(1, Status.NOT_BUILT, detail="no code", elapsed=Elapsed(2.0, 0.5), failure=failure)
    ledger.evaluate(2, make_evaluation(1.5, seed=5))
    ledger.decide(2, Status.KEEP, detail="", elapsed=Elapsed(3.0, 1.5))
    ledger.evaluate(2, make_evaluation(1.7, seed=6))
    return ledger


def test_what_was_written_is_read_back(run: RunDirectory) -> None:
    written = write_search(run)

    again = Ledger(run)
    assert again.population == written.population == read_population(run)
    assert again.elapsed == Elapsed(3.0, 1.5)
    population = again.population
    assert [trial.status.value for trial in population.trials] == ["baseline", "not_built", "keep", "pending"]
    assert population.champion is population.trials[2]
    assert population.trials[2].score == pytest.approx(1.6)  # the later training counts too
    assert population.trainings == 3
    assert population.cost_usd == pytest.approx(0.875)
    assert population.trials[0].program == PROGRAM


OLD = {
    "number": 1,
    "parents": [0],
    "seed": 7,
    "operator": None,
    "labels": {"generation": 1, "inspirations": "3,7", "model": "openai/a"},
}
"""A proposal as the journal has it since the first version: companions and model are labels."""


@pytest.mark.parametrize(
    ("changes", "companions", "model"),
    [
        ({}, (3, 7), "openai/a"),
        ({"labels": {"inspirations": ""}}, (), None),
        ({"labels": {"inspirations": "3"}}, (3,), None),
        ({"labels": {"generation": 1}}, None, None),
    ],
)
def test_a_proposal_of_an_earlier_version_is_read_and_written_as_it_was(
    run: RunDirectory, changes: dict[str, Any], companions: tuple[int, ...] | None, model: str | None
) -> None:
    ledger = Ledger(run)
    ledger.propose(Proposal(parents=(), seed=0))
    storage = JournalStorage(JournalFileBackend(str(run.journal)))
    old = create_trial(state=TrialState.RUNNING, user_attrs={"proposal": {**OLD, **changes}})
    storage.create_new_trial(storage.get_all_studies()[0]._study_id, template_trial=old)

    resumed = Ledger(run)
    resumed.propose(replace(resumed.population.trials[1].proposal, seed=8))

    proposal = resumed.population.trials[1].proposal
    assert (proposal.companions, proposal.model) == (companions, model)
    assert proposal.labels == {
        name: value for name, value in {**OLD, **changes}["labels"].items() if name == "generation"
    }
    assert read_population(run) == resumed.population
    written = [json.loads(line) for line in run.journal.read_text().splitlines()]
    _, _, third = [line["user_attrs"]["proposal"] for line in written if "proposal" in line.get("user_attrs", {})]
    assert json.dumps(third) == json.dumps({**OLD, **changes, "number": 2, "seed": 8, "known_verdicts": 0})


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_torn_last_line_never_happened_or_is_completed(run: RunDirectory, cut: int) -> None:
    written = write_search(run)
    run.journal.write_bytes(run.journal.read_bytes()[:-cut])

    ledger = Ledger(run)
    champion = ledger.population.trials[2]
    assert len(champion.evaluations) == (2 if cut == 1 else 1)
    assert ledger.population.trials[:2] == written.population.trials[:2]
    torn = run.journal.with_name("journal.log.torn")
    assert torn.exists() == (cut > 1)  # what is cut off is set aside
    ledger.evaluate(2, make_evaluation(1.8, seed=7))
    assert Ledger(run).population == ledger.population


def test_reading_leaves_a_torn_journal_as_it_is(run: RunDirectory) -> None:
    write_search(run)
    torn = run.journal.read_bytes()[:-5]
    run.journal.write_bytes(torn)

    assert len(read_population(run).trials) == 4
    assert run.journal.read_bytes() == torn


def test_damage_inside_is_refused_with_its_line(run: RunDirectory) -> None:
    write_search(run)
    lines = run.journal.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4][:20] + b"\n"
    run.journal.write_bytes(b"".join(lines))

    for open_it in (Ledger, read_population):
        with pytest.raises(UserError, match=r"journal\.log:5: not JSON"):
            open_it(run)
    assert run.journal.read_bytes() == b"".join(lines)


def test_a_lost_line_is_refused(run: RunDirectory) -> None:
    write_search(run)
    lines = run.journal.read_bytes().splitlines(keepends=True)
    run.journal.write_bytes(b"".join(lines[:1] + lines[2:]))  # the first trial was never created

    with pytest.raises(UserError, match=r"journal\.log"):
        Ledger(run)


@pytest.mark.parametrize("text", ['{"a": 1}\n', "[]\n", "3\n", "null\n"])
def test_a_file_of_something_else_is_refused(run: RunDirectory, text: str) -> None:
    run.journal.write_text(text)

    with pytest.raises(UserError, match=r"journal\.log"):
        Ledger(run)


def test_a_crash_between_verdict_and_seal_is_mended(run: RunDirectory) -> None:
    ledger = Ledger(run)
    ledger.propose(Proposal(parents=(), seed=0))
    ledger.build(0, Mutation(program=PROGRAM, operator="seed", description=""))
    ledger.evaluate(0, make_evaluation(2.0))
    ledger.decide(0, Status.BASELINE, detail="", elapsed=Elapsed())
    lines = run.journal.read_bytes().splitlines(keepends=True)
    assert json.loads(lines[-1])["op_code"] == 6  # Optuna's state, behind the verdict
    run.journal.write_bytes(b"".join(lines[:-1]))

    assert Ledger(run).population == ledger.population
    assert run.journal.read_bytes().count(b'"op_code":6') == 1


def as_older_versions_wrote(run: RunDirectory, population: Population) -> None:
    """Rewrite a journal: lines without a hash, sources in files, all fields of all records."""
    lines = [json.loads(line) for line in run.journal.read_text().splitlines()]
    run.program("").parent.mkdir()
    for line in lines:
        del line["line"], line["sha256"]
        if mutation := line.get("user_attr", {}).get("mutation"):
            made = population.trials[line["trial_id"]].mutation
            assert made is not None
            mutation["source_sha256"] = sha256_of(made.program.source)
            run.program(mutation["source_sha256"]).write_bytes(made.program.source.encode())
            for key in ("source", "edits", "ids_by"):
                mutation.pop(key, None)
            usual = {"rationale": "", "cost_usd": 0.0, "n_exchanges": 0, "prompt": "", "extra_parents": []}
            line["user_attr"]["mutation"] = {**usual, **mutation, "constants": made.program.constants}
        if verdict := line.get("user_attr", {}).get("verdict"):
            line["user_attr"]["verdict"] = {"detail": "", "failure": None, **verdict}
    run.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_search_of_an_older_version_goes_on(run: RunDirectory) -> None:
    written = write_search(run)
    as_older_versions_wrote(run, written.population)

    ledger = Ledger(run)
    assert ledger.population == written.population
    ledger.propose(Proposal(parents=(2,), seed=9))
    assert Ledger(run).population == ledger.population


def test_a_lost_or_edited_program_of_an_older_version_is_refused(run: RunDirectory) -> None:
    as_older_versions_wrote(run, write_search(run).population)
    program = next(iter((run.root / "programs").iterdir()))
    program.write_text(program.read_text() + "\n# edited\n")
    with pytest.raises(UserError, match="was changed"):
        Ledger(run)
    program.unlink()
    with pytest.raises(UserError, match="cannot read"):
        Ledger(run)


def test_a_source_is_kept_as_what_differs_from_its_parent(run: RunDirectory) -> None:
    write_search(run)
    records = [json.loads(line).get("user_attr", {}).get("mutation") for line in run.journal.read_text().splitlines()]

    first, second, _ = [record for record in records if record]
    assert first["source"] == PROGRAM.source
    assert second["edits"] == [[0, 1, "DEPTH = 6  # ü\r\n"]]


def test_programs_that_were_left_out_are_read_back(run: RunDirectory) -> None:
    ledger = write_search(run)
    spares = tuple(PROGRAM.with_constants({"DEPTH": depth}) for depth in (20, 21))
    ledger.propose(Proposal(parents=(0,), seed=8))
    made = Mutation(program=Program("A = 1\n"), operator="sample/patch", description="d", spares=spares)
    ledger.build(4, made)

    population = Ledger(run).population
    assert population == ledger.population
    assert population.spare(spares[1].id) == population.trials[4] == ledger.population.spare(spares[1].id)
    assert population.find(spares[1].id) is None


def test_hashes_of_another_version_of_python_are_not_trusted(run: RunDirectory) -> None:
    written = write_search(run)
    text = run.journal.read_text()
    for old, new in ((IDS_BY, "3.0"), (PROGRAM.id, "0" * 16)):
        text = text.replace(json.dumps(old), json.dumps(new))
    lines = [re.sub(r',"line":\d+,"sha256":"\w+"}$', "}", line) for line in text.splitlines()]
    run.journal.write_text("\n".join(lines) + "\n")

    assert Ledger(run).population.find(PROGRAM.id) == written.population.trials[0]


def test_a_lock_left_by_a_killed_writer_does_not_block(run: RunDirectory) -> None:
    write_search(run)
    run.journal.with_name("journal.log.lock").symlink_to(run.journal)
    run.clear_leftovers()

    Ledger(run).propose(Proposal(parents=(0,), seed=1))  # Optuna alone would wait for 30 seconds


def test_no_search_is_said_so(run: RunDirectory) -> None:
    with pytest.raises(UserError, match="holds no search"):
        read_population(run)


def test_a_search_that_lost_its_ledger_is_refused_by_all_who_read_it(run: RunDirectory) -> None:
    write_search(run)
    run.journal.write_text("", encoding="utf-8")
    run.results.write_text("number\tstatus\n0\tbaseline\n", encoding="utf-8")

    for use in (Ledger, read_population):
        with pytest.raises(UserError, match=r"has results\.tsv, but its ledger, journal\.log, has no trial: restore"):
            use(run)


def test_time_goes_on_from_the_last_verdict_not_from_the_last_trial(run: RunDirectory) -> None:
    ledger = write_search(run)
    ledger.propose(Proposal(parents=(0,), seed=4))
    ledger.decide(4, Status.NOT_BUILT, detail="", elapsed=Elapsed(5.0, 2.0))
    ledger.decide(3, Status.NOT_BUILT, detail="", elapsed=Elapsed(6.0, 3.0))

    assert Ledger(run).elapsed == Elapsed(6.0, 3.0)


def test_optuna_shows_the_verdicts(run: RunDirectory) -> None:
    write_search(run).decide(3, Status.PRUNED, detail="", elapsed=Elapsed())
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(run.journal))))

    assert [(trial.state.name, trial.value) for trial in study.get_trials()] == [
        ("COMPLETE", 2.0),
        ("FAIL", None),
        ("COMPLETE", 1.5),
        ("PRUNED", None),
    ]
