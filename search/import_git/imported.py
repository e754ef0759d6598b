"""Makes trials with parents and verdicts from the rows of an autoresearch branch.

A row with the program of an earlier row is another measurement of that program. If it was kept, the branch went back:
what was kept in between was reverted. The parent of a trial is the nearest ancestor of its commit that is a trial.

Some agents reset before they log. Then the row of a discarded program has the commit of the program that was kept. Its
number is not a measurement of the kept program. Such a row becomes a trial without a program, which prompts still use.
So does a discarded row without a commit, if the program that was kept last is known: it was made from that one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from operators.trial import Status
from search.errors import UserError
from search.import_git.git import Repository
from search.import_git.table import LeftOut, Row, told, where
from target.evaluation import Evaluation, Outcome
from target.program import Program

KEPT: Final = frozenset({Status.BASELINE, Status.KEEP})
_RERUN: Final = re.compile(
    r"\bre-?(?:run|test|measure|eval|check)|\brepeat(?:ed)? (?:run|of|measure)|\breplicat"
    r"|\bsame (?:code|program|commit)|\bnoise (?:check|test|floor)|\brevert|\bback to\b",
    re.IGNORECASE,
)
"""Words which show that a row is about the program of its commit, although another row has the same commit."""


@dataclass(slots=True, kw_only=True)
class Experiment:
    """One program of the branch.

    Attributes:
        number: Number of the trial that it becomes.
        commit: Full hash.
        program: Its source; None if it is lost.
        parent: Number of the trial that it was made from; None for the baseline.
        status: Its verdict.
        decided: Line of the row with this verdict.
        description: What was tried.
        detail: Why it failed, or was reverted later.
        evaluations: Its measurements.
    """

    number: int
    commit: str
    program: Program | None
    parent: int | None
    status: Status
    decided: int
    description: str
    detail: str = ""
    evaluations: list[Evaluation] = field(default_factory=list)


@dataclass(slots=True)
class History:
    """The experiments that were found.

    Attributes:
        experiments: The experiments by number; 0 is the baseline.
        left_out: Rows that could not be imported.
        notes: Other remarks for the user, as sentences.
    """

    experiments: list[Experiment] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def in_order(self) -> list[Experiment]:
        """Return the experiments in the order of their verdicts."""
        return sorted(self.experiments, key=lambda each: (each.status is not Status.BASELINE, each.decided))


def read_history(
    repository: Repository,
    rows: Iterable[Row],
    *,
    tip: str,
    file: str,
    maximize: bool = False,
    left_out: Iterable[LeftOut] = (),
) -> History:
    """Return the experiments of a branch.

    Args:
        repository: The repository with the programs.
        rows: The experiments, in their order.
        tip: Commit at the end of the branch.
        file: Path of the program in the repository.
        maximize: Whether larger numbers are better; then a score is the number with its sign changed.
        left_out: Rows that could not be read; they are told with those that cannot be imported.

    Raises:
        UserError: No program that was kept can be found, so there is no baseline.
    """
    return _Reader(repository, file, maximize, left_out).read(rows, tip)


class _Reader:
    def __init__(self, repository: Repository, file: str, maximize: bool, left_out: Iterable[LeftOut]) -> None:
        self._repository = repository
        self._file = file
        self._maximize = maximize
        self._history = History(left_out=list(left_out))
        self._shared: set[str] = set()  # commits that are written beside several programs that were kept
        self._rows: dict[tuple[str | None, float, Status, str], int] = {}  # their lines
        self._repeated: list[int] = []
        self._by_commit: dict[str, int] = {}
        self._by_program: dict[str, int] = {}
        self._programs: dict[str, str | None] = {}  # of commits without a row
        self._kept: int | None = None  # the trial that was kept last; None if its program is not known
        self._without_commit: list[int] = []

    def read(self, rows: Iterable[Row], tip: str) -> History:
        rows = self._with_baseline(self._with_labelled(rows))
        self._shared = _of_several_programs(rows)
        for row in rows:
            self._add(row)
        history = self._history
        if not history.experiments:
            raise UserError(
                "no row that was kept has a commit in the repository (its hash, or a name such as exp4 with which the "
                "message of one commit begins), so there is no baseline to start from: "
                + "; ".join(told(history.left_out))
            )
        self._follow(tip)
        if self._repeated:
            history.notes.append(
                f"the program of an earlier row again: {where(self._repeated)}; the score of a program is the mean of "
                "its rows"
            )
        without = set(self._without_commit)
        if without:
            history.notes.append(
                f"no commit, and not kept: {where(self._without_commit)}; each becomes a trial without program and "
                "score, made from the program that was kept last"
            )
        if lost := [
            each.decided for each in history.experiments if each.program is None and each.decided not in without
        ]:
            history.notes.append(
                f"the commit is that of another program: {where(lost)}; their own programs are lost, so each becomes a "
                "trial without program and score"
            )
        return history

    def _with_labelled(self, rows: Iterable[Row]) -> list[Row]:
        """Give rows with a name in place of a commit the commit whose message begins with it."""
        found = [(row, row.label and self._repository.labelled(row.label, self._file)) for row in rows]
        if named := [row.line for row, commit in found if commit]:
            self._history.notes.append(
                f"a name in place of the commit: {where(named)}; each is of the only commit whose message begins with "
                "that name"
            )
        return [replace(row, commit=commit) if commit else row for row, commit in found]

    def _with_baseline(self, rows: list[Row]) -> Sequence[Row]:
        """If the kept row before the first known commit has no commit, give it the parent of that first commit."""
        for index, row in enumerate(rows):
            commit = self._repository.commit(row.commit) if row.commit else None
            if commit is None:
                continue
            earlier = [at for at in range(index) if rows[at].commit is None and rows[at].status is Status.KEEP]
            if earlier and (parent := self._repository.parent(commit)):
                rows[earlier[-1]] = replace(rows[earlier[-1]], commit=parent)
            break
        return rows

    def _add(self, row: Row) -> None:
        if row.value is not None and row.description:
            earlier = self._rows.setdefault((row.commit, row.value, row.status, row.description), row.line)
            if earlier != row.line:
                self._leave_out(row, "a copy of an earlier row")
                return
        kept = self._kept
        if row.status is Status.KEEP:
            self._kept = None  # until its program is known
        if row.commit is None:
            if kept is None or row.status is Status.KEEP:
                self._leave_out(row, "no commit")
            else:
                self._without_commit.append(row.line)
                self._lost(row, self._history.experiments[kept].commit, kept)
            return
        commit = self._repository.commit(row.commit)
        source = self._repository.file(commit, self._file) if commit else None
        if commit is None or source is None:
            self._leave_out(row, f"its commit has no {self._file}" if commit else "its commit is not in the repository")
            return
        if not self._history.experiments and row.status is not Status.KEEP:
            self._leave_out(row, "it comes before the baseline, the first row that was kept")
            return
        program = Program(source)
        number = self._by_program.get(program.id)
        if number is not None and self._is_lost(row, self._history.experiments[number], commit):
            self._lost(row, commit, number)
            return
        if number is None:
            number = self._new(row, commit, program)
        else:
            self._repeated.append(row.line)
            self._again(row, self._history.experiments[number])
        self._by_commit[commit] = number
        if row.status is Status.KEEP:
            self._kept = number
        experiment = self._history.experiments[number]
        experiment.evaluations.append(self._evaluation(row, len(experiment.evaluations)))

    def _is_lost(self, row: Row, experiment: Experiment, commit: str) -> bool:
        """Return whether a row has the commit of another program."""
        if _RERUN.search(row.description):
            return False
        if row.commit not in self._shared and row.description and row.description == experiment.description:
            return False
        same_commit = self._by_commit.get(commit) == experiment.number
        if row.status is Status.KEEP:
            return same_commit and experiment.status in KEPT
        return experiment.status in KEPT or (same_commit and experiment.status is Status.DISCARD)

    def _lost(self, row: Row, commit: str, parent: int) -> None:
        score = "" if row.value is None else f" at {row.value:g}"
        self._history.experiments.append(
            Experiment(
                number=len(self._history.experiments),
                commit=commit,
                program=None,
                parent=parent,
                status=Status.NOT_BUILT,
                decided=row.line,
                description=row.description,
                detail=f"{row.description or 'no description'}: {row.status.value}{score}; its program is lost",
            )
        )

    def _new(self, row: Row, commit: str, program: Program) -> int:
        number = len(self._history.experiments)
        self._history.experiments.append(
            Experiment(
                number=number,
                commit=commit,
                program=program,
                parent=self._parent(commit) if number else None,
                status=row.status if number else Status.BASELINE,
                decided=row.line,
                description=row.description,
                detail="" if row.status in (Status.KEEP, Status.DISCARD) else row.description,
            )
        )
        self._by_program[program.id] = number
        return number

    def _again(self, row: Row, experiment: Experiment) -> None:
        """Add a row about a known program."""
        if row.status is Status.KEEP and experiment.status in KEPT:
            self._go_back(experiment, f"line {row.line} ({row.commit})")
            return
        discarded = experiment.status is Status.DISCARD
        if experiment.status not in KEPT and (row.status is Status.KEEP or (row.value is not None and not discarded)):
            experiment.status, experiment.decided, experiment.detail = row.status, row.line, ""  # kept after all

    def _go_back(self, experiment: Experiment, by: str) -> None:
        for later in self._history.experiments:
            if later.status is Status.KEEP and later.decided > experiment.decided:
                later.status, later.detail = Status.DISCARD, f"kept at first, then reverted by {by}"

    def _follow(self, tip: str) -> None:
        """Make the program at the end of the branch the champion, if it was kept."""
        number = self._number_of(tip)
        if number is None:
            self._history.notes.append(f"the end of the branch, {tip[:7]}: no row has its {self._file}")
        elif self._history.experiments[number].status in KEPT:
            self._go_back(self._history.experiments[number], f"the end of the branch, {tip[:7]}")

    def _parent(self, commit: str) -> int:
        for ancestor in self._repository.ancestors(commit):
            number = self._number_of(ancestor)
            if number is not None:
                return number
        kept = (each for each in self._history.experiments if each.status in KEPT)
        return max(kept, key=lambda each: each.decided).number

    def _number_of(self, commit: str) -> int | None:
        """Return the trial of a commit: by its row, or else by its program, for commits that were never run."""
        if commit in self._by_commit:
            return self._by_commit[commit]
        if commit not in self._programs:
            source = self._repository.file(commit, self._file)
            self._programs[commit] = None if source is None else Program(source).id
        program = self._programs[commit]
        return None if program is None else self._by_program.get(program)

    def _evaluation(self, row: Row, index: int) -> Evaluation:
        """Return a measurement. Its seed is negative, so it cannot equal the seed of a later training."""
        value = None if row.value is None else -row.value if self._maximize else row.value
        return Evaluation(
            outcome=Outcome(row.status.value) if value is None else Outcome.OK,
            seed=-1 - index,
            score=value,
            trained=False,
            peak_memory_bytes=row.memory_bytes,
            detail="" if value is not None else row.description or "crashed",
            verified=False,
        )

    def _leave_out(self, row: Row, why: str) -> None:
        self._history.left_out.append(LeftOut(row.line, why))


def _of_several_programs(rows: Iterable[Row]) -> set[str]:
    """Return the commits beside which several programs were kept: the agent logged before it committed, or never did.

    Then the same description, such as `baseline`, does not show that two rows are about the same program.
    """
    described: dict[str, set[str]] = {}
    for row in rows:
        if row.commit is not None and row.status is Status.KEEP and not _RERUN.search(row.description):
            described.setdefault(row.commit, set()).add(row.description)
    return {commit for commit, descriptions in described.items() if len(descriptions) > 1}
