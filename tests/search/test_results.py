"""results.tsv: complete, exact at the end, cheap, and readable at any time."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from operators.population import Population
from operators.trial import Status, Trial
from search.runs.results import ResultsTable, columns_of
from search.runs.rundir import RunDirectory
from target.metric import VAL_BPB
from tests.search.builders import make_evaluation, make_population, make_trial


def test_rows_are_added_and_a_torn_one_is_written_again(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    population = make_population(2.0, 1.9, Status.CRASHED, 1.95)
    ResultsTable(run).write(Population(population.trials[:2]))
    head = run.results.read_text()
    ResultsTable(run).write(population)
    whole = run.results.read_text()
    run.results.write_text(whole[:-10])
    ResultsTable(run).write(population)

    assert whole.startswith(head)
    assert run.results.read_text() == whole
    rows = [line.split("\t") for line in whole.splitlines()]
    assert tuple(rows[0]) == columns_of(VAL_BPB)
    assert [row[:3] for row in rows[1:]] == [
        ["0", "baseline", "2.000000"],
        ["1", "keep", "1.900000"],
        ["2", "crashed", ""],
        ["3", "discard", "1.950000"],
    ]


def test_a_description_cannot_break_the_table(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    trial = make_trial(0, 2.0, status=Status.BASELINE, decided=0, description="a\tb\nc\r\x0bd\u2028e")
    ResultsTable(run).write(Population((trial,)))

    assert len(run.results.read_text().splitlines()) == 2
    assert all(len(line.split("\t")) == len(columns_of(VAL_BPB)) for line in run.results.read_text().splitlines())


def test_a_row_sums_up_all_trainings_and_cuts_the_description(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    baseline = make_trial(0, 2.0, status=Status.BASELINE, description="x" * 9999)
    largest = replace(make_evaluation(2.0, seed=1), peak_memory_bytes=900_000_000)
    trials = replace(baseline, evaluations=(*baseline.evaluations, largest, make_evaluation(None, seed=2)))
    ResultsTable(run).write(Population((trials,)))

    row = dict(zip(columns_of(VAL_BPB), run.results.read_text().splitlines()[1].split("\t"), strict=True))
    assert (row["n"], row["train_seconds"], row["peak_memory_gb"]) == ("2", "24.0", "0.900")
    assert row["description"] == "x" * 500


def on_two_seeds(number: int) -> Trial:
    """Return a trial that tells how seed 1 differs from seed 0, the baseline's."""
    trial = make_trial(number, 1.7, status=Status.DISCARD)
    return replace(trial, evaluations=(*trial.evaluations, make_evaluation(1.3, seed=1)))


def shifted(n_trials: int) -> tuple[Population, Population]:
    """Return two states of a search: another training of trial 1 shifts all later trials, which have one seed."""
    baseline = make_trial(0, 2.0, status=Status.BASELINE)
    kept = make_trial(1, 1.5, status=Status.KEEP, seeds=(1,))
    trials = [make_trial(number, 1.9, status=Status.DISCARD, seeds=(1,)) for number in range(2, n_trials)]
    again = replace(kept, evaluations=(*kept.evaluations, make_evaluation(1.8, seed=0)))
    return Population((baseline, kept, *trials)), Population((baseline, again, *trials))


def rows_in(run: RunDirectory) -> list[list[str]]:
    return [line.split("\t") for line in run.results.read_text().splitlines()[1:]]


def assert_exact(run: RunDirectory, population: Population) -> None:
    found = {row[0]: row[2] for row in rows_in(run)}
    assert found == {str(number): f"{score:.6f}" for number, score in population.scores.items()}


def test_earlier_rows_follow_the_correction_for_seeds(tmp_path: Path) -> None:
    run, table = RunDirectory(tmp_path), ResultsTable(RunDirectory(tmp_path))
    before, after = shifted(10)
    table.write(before, exact=False)
    frozen = rows_in(run)
    table.write(after, exact=True)

    assert rows_in(run)[5][2] != frozen[5][2]
    assert_exact(run, after)


def test_a_reader_that_follows_the_file_goes_on_when_earlier_rows_change(tmp_path: Path) -> None:
    run, table = RunDirectory(tmp_path), ResultsTable(RunDirectory(tmp_path))
    before, _ = shifted(10)
    table.write(before)
    with run.results.open() as reader:
        reader.seek(0, io.SEEK_END)  # as `tail -f` does
        table.write(before.with_trial(on_two_seeds(10)), exact=False)
        added = reader.read().splitlines()

    assert [line.split("\t")[0] for line in added] == ["10"]
    assert_exact(run, before.with_trial(on_two_seeds(10)))


def test_a_long_table_lags_behind_and_is_exact_at_the_end(tmp_path: Path) -> None:
    run, table = RunDirectory(tmp_path), ResultsTable(RunDirectory(tmp_path))
    before, _ = shifted(300)
    table.write(before)
    after = before.with_trial(on_two_seeds(300))
    table.write(after, exact=False)
    late = [row[2] for row in rows_in(run)]
    table.write(after)

    assert late[:300] == [f"{before.scores[number]:.6f}" for number in range(300)]
    assert after.scores[5] != before.scores[5]
    assert_exact(run, after)


def test_a_row_of_another_length_replaces_the_table(tmp_path: Path) -> None:
    run, table = RunDirectory(tmp_path), ResultsTable(RunDirectory(tmp_path))
    before, after = shifted(10)
    table.write(before)
    table.write(after)  # trial 1 has been trained for 16 seconds, not for 8

    assert rows_in(run)[1][5:9] == ["2", "0", "constants", "16.0"]
    assert_exact(run, after)


def test_a_child_of_a_crash_is_compared_with_the_champion_and_says_so(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    people = make_population(2.0, 1.9, Status.CRASHED)
    ResultsTable(run).write(people.with_trial(make_trial(3, 1.95, status=Status.DISCARD, parents=(2,))))

    assert [row[2:5] for row in rows_in(run)] == [
        ["2.000000", "", ""], ["1.900000", "-0.100000", "0"], ["", "", ""], ["1.950000", "+0.050000", "1"]
    ]  # fmt: skip
