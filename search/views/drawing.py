"""Drawings for the console, as functions of the state of a search: no clock, no screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from operators.population import Population
from operators.trial import Status, Trial
from search.budget import Budget
from search.figures import DELTA_HEADER, delta_text, difference, gain_text, value_text
from search.observer import Running
from search.printed import command
from search.runs.rundir import RunDirectory, diff
from search.runs.summary import Summary
from search.views.pulse import Pulse
from search.views.unverified import has_holdout
from search.views.verdicts import ancestry, description_of, one_line
from target.durations import duration
from target.evaluation import Evaluation
from target.metric import VAL_BPB, Metric

_ROWS: Final = 30  # at most: each redraw costs time that the trainings need
_DIFF_LINES: Final = 150
_CHROME_LINES: Final = 14  # header, pulse, champion, bars and borders: lines that the table must leave free
_STATUS_WIDTH: Final = max(len(status.value) for status in Status)
_NARROW: Final = 110  # characters: below, descriptions need the room of the operator and the parents
_STYLES: Final = {
    Status.PENDING: "cyan",
    Status.BASELINE: "blue",
    Status.KEEP: "bold green",
    Status.DISCARD: "dim",
    Status.PRUNED: "magenta",
    Status.UNMEASURED: "dim",
}
_FILES: Final = (
    ("report.html", "the full report, for a browser"),
    ("report.md", "the same as text"),
    ("lineage.html", "every trial with its diff"),
    ("results.tsv", "one row per trial"),
)


def live_view(
    population: Population,
    summary: Summary,
    running: Sequence[Running],
    budget: Budget,
    *,
    wall_seconds: float,
    height: int,
    kept_seconds_ago: float | None = None,
    noise_sd: float | None = None,
    metric: Metric = VAL_BPB,
) -> RenderableType:
    """Return the live screen: the state of the search, the last trials, the work under way, the rest of the budget.

    Args:
        population: The trials.
        summary: State as of the last verdict.
        running: What is under way.
        budget: The limits.
        wall_seconds: Time that the search has taken so far.
        height: Lines of the terminal.
        kept_seconds_ago: Time since the last keep; None if it was before this session.
        noise_sd: Standard deviation of a score between seeds; None if it is not known.
        metric: What the target measures.
    """
    rows = max(3, min(_ROWS, height - _CHROME_LINES - len(running)))
    return Group(
        _headline(summary, metric),
        Pulse(
            population=population,
            summary=summary,
            running=running,
            kept_seconds_ago=kept_seconds_ago,
            noise_sd=noise_sd,
            metric=metric,
        ),
        _Trials(population=population, running=running, n_rows=rows, metric=metric),
        _budget_table(summary, budget, wall_seconds),
    )


def verdict_line(
    trial: Trial, population: Population, summary: Summary, budget: Budget, metric: Metric = VAL_BPB
) -> Text:
    """Return a verdict as one plain line."""
    score, delta = value_text(trial, population, metric) or "-", delta_text(trial, population, metric)
    against = f"{delta} to parent" if delta and "vs" not in delta else delta
    parts = [
        f"#{trial.number:04d}",
        f"{trial.status.value:<{_STATUS_WIDTH}}",
        f"{metric.name} {score:<6}",
        f"{against:>18}",
        f"{_train_seconds(trial):6.1f} s",
        f"[{_used(summary, budget)}]",
        f"{trial.operator} of {_parents(trial)}:" if trial.proposal.parents else f"{trial.operator}:",
        description_of(trial),
    ]
    return Text(" ".join(parts).rstrip())


def measurement_line(trial: Trial, evaluation: Evaluation, metric: Metric = VAL_BPB) -> Text:
    """Return a further training of a trial as one plain line."""
    score = evaluation.outcome.value if evaluation.score is None else f"{metric.name} {metric.text(evaluation.score)}"
    return Text(
        f"#{trial.number:04d} training {len(trial.evaluations)} (seed {evaluation.seed}): {score}, "
        f"{evaluation.train_seconds:.1f} s"
    )


def under_way_text(running: Sequence[Running]) -> str:
    """Return what is under way, as one line for a file."""
    works = (
        f"#{each.number:04d} {each.stage} {duration(each.seconds)}{each.loss and f', {each.loss}'}" for each in running
    )
    return f"under way: {'; '.join(works)}"


def event_line(text: str) -> Text:
    """Return a message as one line without terminal control characters."""
    return Text(one_line(text))


def final_view(
    population: Population,
    summary: Summary,
    run: RunDirectory,
    hint: str | None,
    *,
    coloured: bool,
    metric: Metric = VAL_BPB,
) -> RenderableType:
    """Return the result of a search: the scores, the diff from the seed program to the best, the places of the files.

    Args:
        population: The trials.
        summary: The final state.
        run: The folder of the search.
        hint: The tracker's message about where to look.
        coloured: Whether the diff may be coloured.
        metric: What the target measures.
    """
    best = population.champion
    parts: list[RenderableType] = [Text()]
    if best and best.number and best.program and population.trials[0].program:
        patch = diff(population.trials[0].program, best.program, metric.file)
        shown = _printable_lines(patch)
        parts += [Text("seed program -> best:"), _coloured_diff(shown) if coloured else Text(shown), Text()]
    parts += [_result_text(population, summary, metric), Text(f"{summary.status}: {one_line(summary.stop_reason)}")]
    parts += [Text(f"slots busy {100 * summary.busy_fraction:.0f} % of {duration(summary.wall_seconds)}"), Text()]
    number = best.number if best else 0
    places = [(run.program_of(number), "the best program")] if number else []
    places += [(run.root / name, what) for name, what in _FILES]
    parts += [_uncut(f"{path}  {what}") for path, what in places if path.exists()]
    if number and not run.final.exists():
        holds = command("search.final", str(run.root))
        on = "on fresh seeds and the holdout" if has_holdout(run) else "on fresh seeds"
        parts.append(_uncut(f"{holds}  whether the gain holds {on}: the best of many looks better than it is"))
    if hint:
        parts.append(_uncut(hint))
    return Group(*parts)


def _uncut(text: str) -> Text:
    """Return a line that the console does not wrap, so that a command in it can be copied."""
    return Text(text, no_wrap=True, overflow="ignore")


def _printable_lines(patch: str) -> str:
    lines = patch.splitlines()
    more = [f"... {len(lines) - _DIFF_LINES} more lines: see report.md"] if len(lines) > _DIFF_LINES else []
    shown = ("".join(char if char.isprintable() else " " for char in line) for line in lines[:_DIFF_LINES])
    return "\n".join([*shown, *more])


def _coloured_diff(patch: str) -> Syntax:
    return Syntax(patch, "diff", theme="ansi_dark", background_color="default", word_wrap=True)


def _headline(summary: Summary, metric: Metric) -> Text:
    text = Text.assemble((one_line(summary.name), "bold"), f"  {summary.strategy}, seed {summary.seed}")
    if summary.best_val_bpb is None or summary.baseline_val_bpb is None:
        return text.append("  measuring the seed program")
    text.append(f"  {metric.name} {metric.text(summary.baseline_val_bpb)} -> ")
    text.append(metric.text(summary.best_val_bpb), style="bold green").append(f"  (trial #{summary.best_trial})  ")
    return text.append(f"busy {100 * summary.busy_fraction:.0f} %", style="dim")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trials:
    """The table of the latest trials, with the columns that the terminal has room for."""

    population: Population
    running: Sequence[Running]
    n_rows: int
    metric: Metric

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Yield the table."""
        table = _trial_table(self.population, self.running, self.n_rows, self.metric)
        if options.max_width < _NARROW:
            table.columns = [column for column in table.columns if column.header not in ("operator", "parents")]
            next(column for column in table.columns if column.header == DELTA_HEADER).header = "delta"
        yield table


def _trial_table(population: Population, running: Sequence[Running], n_rows: int, metric: Metric) -> Table:
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    for name in ("trial", "operator", "parents", metric.name, DELTA_HEADER, "seconds", "status"):
        right = name in ("trial", metric.name, DELTA_HEADER, "seconds")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("description", no_wrap=True, overflow="ellipsis", ratio=1)
    latest, champion = population.decided[-n_rows:], population.champion
    if champion and champion not in latest:
        _add(
            table,
            champion,
            population,
            f"{_train_seconds(champion):.1f}",
            "champion",
            _STYLES[Status.KEEP],
            metric=metric,
        )
    for trial in latest:
        _add(table, trial, population, f"{_train_seconds(trial):.1f}", trial.status.value, metric=metric)
    for work in sorted(running, key=lambda each: (each.stage != "train", each.number)):
        if work.number >= len(population.trials):
            continue  # proposed since the last verdict
        pending = population.trials[work.number]
        again = f" {len(pending.evaluations) + 1}" if pending.evaluations and work.stage == "train" else ""
        _add(
            table,
            pending,
            population,
            f"{work.seconds:.0f}",
            f"{work.stage}{again}",
            "cyan",
            metric=metric,
            said=work.loss,
        )
    return table


def _add(
    table: Table,
    trial: Trial,
    population: Population,
    seconds: str,
    status: str,
    style: str | None = None,
    *,
    metric: Metric,
    said: str = "",
) -> None:
    table.add_row(
        str(trial.number),
        one_line(trial.operator),
        _parents(trial),
        value_text(trial, population, metric),
        delta_text(trial, population, metric),
        seconds,
        status,
        Text("; ".join(filter(None, (said, description_of(trial))))),
        style=style or _STYLES.get(trial.status, "red"),
    )


def _budget_table(summary: Summary, budget: Budget, wall_seconds: float) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, fraction, text in _limits(summary, budget, wall_seconds):
        table.add_row(name, ProgressBar(total=1.0, completed=min(fraction, 1.0), width=30), text)
    left = _seconds_left(summary, budget, wall_seconds)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary.outcomes.items())
    table.add_row("left", Text("?" if left is None else f"about {duration(left)}"), Text(outcomes, style="dim"))
    return table


def _limits(summary: Summary, budget: Budget, wall_seconds: float) -> list[tuple[str, float, str]]:
    """Return name, used fraction and text of each limit that is set."""
    limits = []
    if budget.trainings is not None:
        limits.append(("trainings", summary.trainings / budget.trainings, f"{summary.trainings}/{budget.trainings}"))
    if budget.hours is not None:
        seconds = 3600 * budget.hours
        limits.append(("time", wall_seconds / seconds, f"{duration(wall_seconds)} of {duration(seconds)}"))
    if budget.usd is not None:
        limits.append(("usd", summary.cost_usd / budget.usd, f"{summary.cost_usd:.2f}/{budget.usd:g}"))
    return limits


def _seconds_left(summary: Summary, budget: Budget, wall_seconds: float) -> float | None:
    """Return the time until the first limit is reached, at the average pace up to the last verdict; None before it."""
    forecasts = []
    if budget.hours is not None:
        forecasts.append(3600 * budget.hours - wall_seconds)
    if budget.trainings is not None and summary.trainings:
        forecasts.append(summary.wall_seconds * budget.trainings / summary.trainings - wall_seconds)
    if budget.usd is not None and summary.cost_usd:
        forecasts.append(summary.wall_seconds * budget.usd / summary.cost_usd - wall_seconds)
    return max(0.0, min(forecasts)) if forecasts else None


def _used(summary: Summary, budget: Budget) -> str:
    return ", ".join(f"{name} {text}" for name, _, text in _limits(summary, budget, summary.wall_seconds))


def _result_text(population: Population, summary: Summary, metric: Metric) -> Text:
    best = population.champion
    if best is None or best.score is None or summary.baseline_val_bpb is None:
        return Text("no result: the seed program has no score")
    text = Text(f"baseline {metric.text(summary.baseline_val_bpb)}   best ")
    text.append(value_text(best, population, metric), style="bold green")
    steps = len(ancestry(best, population)) - 1
    last = f"the last of {steps} steps: " if steps > 1 else ""  # the gain is that of all of them
    text.append(f" (trial #{best.number}, {last}{description_of(best)})")
    change = difference(best, population.trials[0], population)
    if change is None:
        return text.append("   no improvement")
    return text.append(f"   {gain_text(change, summary.baseline_val_bpb, metric)}")


def _parents(trial: Trial) -> str:
    return ",".join(f"#{parent}" for parent in trial.proposal.parents)


def _train_seconds(trial: Trial) -> float:
    return sum(run.train_seconds for run in trial.evaluations)
