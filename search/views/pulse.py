"""Two lines about how a search is doing: the best score so far, the last keep, the shares of the outcomes."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions
from rich.text import Text

from operators.population import Population
from operators.trial import Status
from search.figures import difference, gain_text
from search.observer import Running
from search.runs.summary import Summary
from target.durations import duration
from target.metric import VAL_BPB, Metric

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = "_.-:=+*#"
_COLUMNS: Final = 60
_NARROW: Final = 100  # characters
_REST_CHARACTERS: Final = 40  # beside the line of blocks
_NOT_TRIED: Final = (Status.PENDING, Status.UNMEASURED)
_NO_FAILURES: Final = (Status.BASELINE, Status.KEEP, Status.DISCARD, Status.PRUNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """A drawing of how a search is doing.

    Attributes:
        population: The trials.
        summary: State as of the last verdict.
        running: What is under way.
        kept_seconds_ago: Time since the last keep; None if it was before this session.
        noise_sd: Standard deviation of a score between seeds, as `search.noise` measured it; None if it did not.
        metric: What the target measures.
    """

    population: Population
    summary: Summary
    running: Sequence[Running]
    kept_seconds_ago: float | None
    noise_sd: float | None
    metric: Metric = VAL_BPB

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the two lines; on a terminal without Unicode the blocks are letters."""
        if self.population.champion is None:
            return
        columns = max(8, min(_COLUMNS, options.max_width - _REST_CHARACTERS))
        blocks = _ASCII_BLOCKS if options.ascii_only else _BLOCKS
        line = sparkline(self.population, columns, blocks, self.metric)
        yield Text(f"best  {line}  {self._gain()}", no_wrap=True, overflow="ellipsis")
        yield Text(
            "; ".join(self._facts(in_short=options.max_width < _NARROW)), style="dim", no_wrap=True, overflow="ellipsis"
        )

    def _gain(self) -> str:
        best = self.population.champion
        change = best and difference(best, self.population.trials[0], self.population)
        if not change:
            return "no improvement yet"
        in_sds = f" ({-change / self.noise_sd:.1f} sd)" if self.noise_sd else ""
        return f"{gain_text(change, self.population.scores[0], self.metric)}{in_sds}"

    def _facts(self, *, in_short: bool) -> Iterator[str]:
        """Yield the facts, the most important first: a narrow terminal cuts the last ones."""
        decided = [trial for trial in self.population.decided if trial.number and trial.status not in _NOT_TRIED]
        champion = self.population.champion
        assert champion is not None
        after = [trial for trial in decided if (trial.decided or 0) > (champion.decided or 0)]
        when = "" if self.kept_seconds_ago is None else f"{duration(self.kept_seconds_ago)} and "
        n_after = sum(trial.trainings for trial in after)
        yield f"last keep {when}{n_after} training{'s' * (n_after != 1)} ago"
        if decided:
            kept = sum(trial.status is Status.KEEP for trial in decided)
            failed = sum(trial.status not in _NO_FAILURES for trial in decided)
            pruned = sum(trial.status is Status.PRUNED for trial in decided)
            counts = {"kept": kept, "failed": failed, **({"pruned": pruned} if pruned else {})}
            if in_short:
                yield f"{', '.join(f'{name} {count}' for name, count in counts.items())} of {len(decided)}"
            else:
                yield ", ".join(f"{name} {_share(count, len(decided))}" for name, count in counts.items())
        if self.running and not in_short:  # each has a line in the table
            stages = Counter(each.stage for each in self.running)
            yield ", ".join(f"{count} in {stage}" for stage, count in sorted(stages.items()))
        if self.summary.cost_usd:
            yield f"{self.summary.cost_usd:.2f} USD"


def _share(count: int, whole: int) -> str:
    return f"{count} of {whole} ({count / whole:.0%})"


def sparkline(population: Population, columns: int, blocks: str = _BLOCKS, metric: Metric = VAL_BPB) -> str:
    """Return the best score after each verdict as a line of blocks, in the direction of the metric.

    Args:
        population: Trials, of which one is a champion.
        columns: Longest line, in characters; a short search has one for each verdict.
        blocks: Characters from the lowest score to the highest.
        metric: What the target measures.
    """
    champions = population.champions
    begins = [champion.decided or 0 for champion in champions]
    scores = metric.values(population.scores[champion.number] for champion in champions)
    last = max(population.decided[-1].decided or 0, begins[-1])
    verdicts = last - begins[0] + 1
    n = min(columns, verdicts)
    ends = [begins[0] + (column + 1) * verdicts // n - 1 for column in range(n)]
    values = [scores[bisect_right(begins, end) - 1] for end in ends]
    low, high = min(scores), max(scores)
    if high == low:
        return blocks[-1] * n
    return "".join(blocks[round((value - low) / (high - low) * (len(blocks) - 1))] for value in values)
