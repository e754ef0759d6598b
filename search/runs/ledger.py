"""The ledger: an Optuna study in an append-only journal, one Optuna trial per program, fsynced before it is used.

Trials carry `proposal`, `mutation`, `evaluation <k>` and `verdict` as user attributes, so `optuna-dashboard` shows
them. Optuna seals a trial with its verdict; trainings that a champion gets later are attributes of the study.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Final

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from operators.chat import Exchange
from operators.population import Population
from operators.trial import SCORED, Attempt, Mutation, Proposal, Status, Trial
from search.errors import UserError
from search.runs.exchanges import ExchangeStore
from search.runs.ledger_records import (
    FAILED_ATTEMPTS,
    LATER,
    evaluation_record,
    moved_record,
    moved_to,
    mutation_record,
    proposal_record,
    verdict_record,
)
from search.runs.optuna_study import distributions_of
from search.runs.reading import BEGAN_WITH, ELAPSED, Elapsed, read_all, read_one, refuse_orphans, study_of
from search.runs.rundir import RunDirectory
from search.runs.share import Alone, Share
from target.evaluation import Evaluation
from target.program import Program

_TRYING_OUT: Final = "usd for trying models out"


class Ledger:
    """Records a search step by step, and gives the current population.

    The caller holds the lock of the run directory, so there is one writer there. It has removed what a killed search
    left.

    Args:
        run: Where the journal and the programs are.
        share: The other sessions of the search; None if there are none. The caller closes it.

    Raises:
        UserError: If the journal is damaged, or lacks verdicts of results.tsv. An incomplete last line is no error: it
            is cut off and saved in another file.
        StorageError: A shared ledger cannot be reached; so for all methods that write.
    """

    def __init__(self, run: RunDirectory, share: Share | None = None) -> None:
        self._run = run
        self.share = share or Alone()
        self._exchanges = ExchangeStore(run.exchanges)
        self._storage = self.share.open(run.journal)
        with self.share.turn():
            study_id = study_of(self._storage)
            if study_id is None or not self._storage.get_all_trials(study_id, deepcopy=False):
                refuse_orphans(run)
            if study_id is None:
                study_id = self._storage.create_new_study([StudyDirection.MINIMIZE], run.root.name)
            self._study_id = study_id
            self.population, self.elapsed = read_all(run, self._storage, self._study_id)
            self.share.changes()  # they are in the population
            _refuse_lost_verdicts(run, self.population)
            self.seal_decided()

    @contextmanager
    def turn(self) -> Iterator[tuple[int, ...]]:
        """Decide and record while no other session does; gives the trials that others have changed.

        `population` has their changes. Alone, a session need not take turns.
        """
        with self.share.turn():
            changed = self.share.changes()
            self._read_again(changed)
            yield tuple(sorted(changed))

    def propose(self, proposal: Proposal) -> int:
        """Record a proposal and return the number of its trial."""
        number = len(self.population.trials)
        known = len(self.population.decided)
        record = {"number": number, **proposal_record(proposal), "known_verdicts": known}
        template = create_trial(state=TrialState.RUNNING, user_attrs={"proposal": record})
        self._storage.create_new_trial(self._study_id, template_trial=template)
        self.population = self.population.with_trial(Trial(number=number, proposal=proposal, known_verdicts=known))
        return number

    def build(self, number: int, mutation: Mutation) -> None:
        """Record the program of a trial."""
        mutation = replace(mutation, exchanges=self._keep(number, mutation.exchanges))
        parents = self.population.trials[number].proposal.parents
        parent = self.population.trials[parents[0]].program if parents else None
        self._storage.set_trial_user_attr(self._trial_id(number), "mutation", mutation_record(mutation, parent))
        self._update(number, mutation=mutation)
        if not parents:
            self._show_constants(number, mutation.program)

    def move(self, number: int, onto: int, program: Program, description: str | None = None) -> None:
        """Record that the edit of a trial was made to another parent.

        Args:
            number: The trial; it is not trained yet.
            onto: The new parent, an earlier trial.
            program: The new program.
            description: What it changes there; None if that stays as it was.
        """
        record = moved_record(onto, program, self.population.trials[onto].program, description)
        self._storage.set_trial_user_attr(self._trial_id(number), "moved", record)
        moved = moved_to(self.population.trials[number], onto, program, description)
        self.population = self.population.with_trial(moved)

    def evaluate(self, number: int, evaluation: Evaluation, *, begun_verdicts: int | None = None) -> None:
        """Record a finished evaluation; the trial may already have its verdict.

        Args:
            number: The trial.
            evaluation: Its result.
            begun_verdicts: Number of verdicts when it began; None for a pre-flight. Kept of the first training only.
        """
        trial = self.population.trials[number]
        index = len(trial.evaluations)
        begun = trial.begun_verdicts if index else begun_verdicts
        if trial.decided is None:
            record = evaluation_record(evaluation, None if index else begun)
            self._storage.set_trial_user_attr(self._trial_id(number), f"evaluation {index}", record)
        else:
            key = LATER.format(number=number, index=index)
            self._storage.set_study_user_attr(self._study_id, key, evaluation.to_record())
        self._update(number, evaluations=(*trial.evaluations, evaluation), begun_verdicts=begun)

    def attempt_failed(self, number: int, seed: int | None) -> int:
        """Record that an evaluation ended with an error of the machine; return how often this has happened to it.

        Args:
            number: The trial.
            seed: Seed of the training; None for the pre-flight.
        """
        stage = "pre-flight" if seed is None else f"seed {seed}"
        key = FAILED_ATTEMPTS.format(number=number, stage=stage)
        attempts = int(self._storage.get_study_user_attrs(self._study_id).get(key, 0)) + 1
        self._storage.set_study_user_attr(self._study_id, key, attempts)
        return attempts

    def decide(
        self,
        number: int,
        status: Status,
        *,
        detail: str,
        elapsed: Elapsed,
        tie: bool = False,
        failure: Attempt | None = None,
        seal: bool = True,
    ) -> Trial:
        """Record the final verdict on a trial, and return the trial.

        Args:
            number: The trial.
            status: The verdict.
            detail: Why it failed, or was not kept.
            elapsed: Time that the search has taken until now.
            tie: Whether a tie decided.
            failure: The failed proposal, if there is no program.
            seal: Whether to give Optuna the score too. This fits all scores, so a caller that records many verdicts at
                once calls `seal_decided` after the last one instead.
        """
        decided = len(self.population.decided)
        if failure:
            failure = replace(failure, exchanges=self._keep(number, failure.exchanges))
        record = verdict_record(status, decided, detail=detail, tie=tie, failure=failure, seconds=asdict(elapsed))
        self._storage.set_trial_user_attr(self._trial_id(number), "verdict", record)
        self._update(
            number,
            status=status,
            decided=decided,
            detail=detail,
            tie=tie,
            failure=failure,
        )
        self.elapsed = elapsed
        trial = self.population.trials[number]
        if seal:
            self._seal(trial)
        return trial

    @property
    def trying_out_usd(self) -> float:
        """Cost of trying the models out, over all sessions; it is not part of any trial's cost."""
        return float(self._storage.get_study_user_attrs(self._study_id).get(_TRYING_OUT, 0.0))

    def pay_for_trying_out(self, usd: float) -> None:
        """Record the cost of trying a model out."""
        if usd:
            with self.share.turn():
                self._storage.set_study_user_attr(self._study_id, _TRYING_OUT, self.trying_out_usd + usd)

    def seal_decided(self) -> None:
        """Give decided trials their Optuna state where it is missing after a crash, or was postponed."""
        sealed = {each.number for each in self._frozen() if each.state.is_finished()}
        for trial in self.population.trials:
            if trial.decided is not None and trial.number not in sealed:
                self._seal(trial)

    def rest(self, elapsed: Elapsed) -> None:
        """Record the time taken, at the end of a session."""
        self._storage.set_study_user_attr(self._study_id, ELAPSED, asdict(elapsed))
        self.elapsed = elapsed

    def began_with(self, origin: str) -> None:
        """Record that all trials of the earlier search have been imported."""
        self._storage.set_study_user_attr(self._study_id, BEGAN_WITH, origin)

    def _seal(self, trial: Trial) -> None:
        """Give a decided trial its Optuna state."""
        state = TrialState.COMPLETE if trial.status in SCORED else TrialState.FAIL
        if trial.status is Status.PRUNED:
            state = TrialState.PRUNED
        value = self.population.scores.get(trial.number) if trial.scored else None
        self._storage.set_trial_state_values(self._trial_id(trial.number), state, None if value is None else [value])

    def _show_constants(self, number: int, program: Program) -> None:
        """Give Optuna the constants of the seed program: its dashboard fails without any parameter.

        Those of later programs are in `python -m search.export --optuna`: in the journal they would take most of it.
        """
        for name, distribution in distributions_of([program]).items():
            value = distribution.to_internal_repr(program.constants[name])
            self._storage.set_trial_param(self._trial_id(number), name, value, distribution)

    def _frozen(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study_id, deepcopy=False)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _keep(self, number: int, exchanges: Sequence[Exchange]) -> tuple[Exchange, ...]:
        """Store exchanges, and return them as stored."""
        seed = self.population.trials[number].proposal.seed
        kept = self._exchanges.keep_all(seed, exchanges)
        self.share.publish(self._exchanges.files(seed, len(kept)))
        return kept

    def _read_again(self, changed: Collection[int]) -> None:
        """Bring the population up to date with lines that other sessions wrote."""
        if not changed:
            return
        later = self._storage.get_study_user_attrs(self._study_id)
        frozen = {trial.number: trial for trial in self._frozen() if trial.number in changed}
        trials = list(self.population.trials)
        for number in sorted(frozen):
            trials[number : number + 1] = [read_one(self._run, frozen[number], later, trials)]
        if len(frozen) == 1:
            self.population = self.population.with_trial(trials[next(iter(frozen))])
        else:
            self.population = Population(tuple(trials))

    def _update(self, number: int, **changes: Any) -> None:
        self.population = self.population.with_trial(replace(self.population.trials[number], **changes))


def _refuse_lost_verdicts(run: RunDirectory, population: Population) -> None:
    """Refuse a journal that lost its last lines: a verdict is in the journal before its row is in results.tsv."""
    decided = {str(trial.number) for trial in population.decided}
    lost = [number for number in run.numbers_in_results() if number not in decided]
    if lost:
        results, journal = run.results.name, run.journal.name
        raise UserError(
            f"{run.root / results} has a verdict on trial {lost[0]}, but {journal} has none: lines are missing at the "
            f"end of {journal}; restore it from a copy. To continue with {journal} as it is, move {results} away: the "
            "search writes it again"
        )
