"""Records the decisions of a search: first in the ledger, then in the files; then it notifies the observer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from operators.population import Population
from operators.secrets import redact
from operators.trial import Attempt, Trial
from search.acceptance import Verdict
from search.observer import Observer
from search.runs.ledger import Ledger
from search.runs.reading import Elapsed
from search.runs.results import ResultsTable
from search.runs.rundir import RunDirectory
from search.runs.summary import RunStatus, Summary, summarize
from search.settings import Settings


class Recorder:
    """Keeps the records of one session of a search.

    Args:
        settings: The search.
        run: Its folder.
        ledger: Its ledger.
        observer: Is notified of every record.
        slots: Number of parallel evaluations.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        run: RunDirectory,
        ledger: Ledger,
        observer: Observer,
        *,
        slots: int,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._run = run
        self._ledger = ledger
        self._observer = observer
        self._slots = slots
        self._clock = clock
        self._began = clock()
        self._before = ledger.elapsed
        self._busy_seconds = 0.0
        self._trying_out_usd = ledger.trying_out_usd
        self._results = ResultsTable(run)

    @property
    def population(self) -> Population:
        """All trials in the ledger."""
        return self._ledger.population

    @property
    def cost_usd(self) -> float:
        """The cost of all model calls, including the test requests before the search."""
        return self.population.cost_usd + self._trying_out_usd

    def add_busy(self, seconds: float) -> None:
        """Add the time that a slot was busy."""
        self._busy_seconds += seconds

    def elapsed(self) -> Elapsed:
        """Return the time taken so far, over all sessions."""
        return Elapsed(
            wall_seconds=self._before.wall_seconds + self._clock() - self._began,
            busy_seconds=self._before.busy_seconds + self._busy_seconds,
        )

    def repair(self) -> None:
        """Write what is in the ledger but not in the files because of a crash."""
        for trial in self.population.decided:
            self._run.write_trial(trial, self.population, unless_there=True)

    def heard(self, trials: Iterable[Trial]) -> None:
        """Write the folders of trials that another session has decided or measured again, and the rest."""
        for trial in trials:
            self._run.write_trial(trial, self.population)
        self.record("running", "")

    def measured_again(self, number: int) -> None:
        """Bring the folder of a decided trial up to date."""
        self._run.write_trial(self.population.trials[number], self.population)

    def decide(self, number: int, verdict: Verdict, spent: Attempt | None = None) -> Trial:
        """Record the verdict on a trial, and the attempt if there is nothing to train; return the trial."""
        trial = self._ledger.decide(
            number,
            verdict.status,
            detail=redact(verdict.detail),
            tie=verdict.tie,
            elapsed=self.elapsed(),
            failure=self._failure(number, spent) if spent else None,
        )
        self._run.write_trial(trial, self.population)
        self.record("running", "")
        return trial

    def _failure(self, number: int, spent: Attempt) -> Attempt:
        proposal = self.population.trials[number].proposal
        return Attempt(
            operator=spent.operator or self._settings.operator_for(proposal).name,
            cost_usd=spent.cost_usd,
            exchanges=spent.exchanges,
            prompt=spent.prompt,
            extra_parents=spent.extra_parents,
        )

    def record(self, status: RunStatus, stop_reason: str) -> Summary:
        """Complete the table, rewrite the summary, tell the observer."""
        elapsed = self.elapsed()
        if status != "running":
            self._ledger.rest(elapsed)
        slot_seconds = elapsed.wall_seconds * self._slots
        summary = summarize(
            self.population,
            name=self._settings.name,
            strategy=self._settings.strategy_name,
            seed=self._settings.seed,
            status=status,
            stop_reason=redact(stop_reason),
            wall_seconds=elapsed.wall_seconds,
            busy_fraction=elapsed.busy_seconds / slot_seconds if slot_seconds else 0.0,
            cost_usd=self.cost_usd,
        )
        self._results.write(self.population, exact=status != "running")
        self._run.write_summary(summary)
        self._observer.recorded(self.population, summary)
        return summary
