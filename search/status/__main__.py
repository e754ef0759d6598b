"""Lists searches, what runs, and how to resume what stopped: `python -m search.status [outputs]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from search.commands import fails_with_a_line, show
from search.errors import UserError
from search.names import OUTPUTS, given_folder
from search.printed import command, resume_text
from search.runs.finished import read_summary
from search.runs.lock import holder
from search.runs.rundir import RunDirectory, searches_below
from search.runs.summary import Summary
from target.metric import VAL_BPB


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of one search.

    Attributes:
        folder: Its folder.
        state: `running`, `finished`, `stopped`, `killed` (it says that it runs, and no process does: also where a full
            disk left it no room to write how it ended), or `not begun`.
        detail: The process that runs it, or why it does not run.
        trials: Trials proposed so far.
        trainings: Finished trainings.
        metric: What its target measures.
        baseline: That of the seed program; None before it is known.
        best: That of the best program; None as for `baseline`.
        resume: The command that resumes it, or what else does; empty unless it stopped or was killed, and its
            seed program has a score or no verdict yet.
    """

    folder: str
    state: str
    detail: str
    trials: int = 0
    trainings: int = 0
    metric: str = VAL_BPB.name
    baseline: float | None = None
    best: float | None = None
    resume: str = ""


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the list; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m search.status", description=__doc__)
    parser.add_argument("folder", nargs="?", default=str(OUTPUTS), help="folder of searches (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    options = parser.parse_args(arguments)
    is_first = options.folder == str(OUTPUTS) and not OUTPUTS.exists()
    root = OUTPUTS if is_first else given_folder(options.folder)
    states = [state_of(RunDirectory(path)) for path in searches_below(root)]
    if options.json:
        sys.stdout.write(json.dumps([asdict(each) for each in states], indent=2) + "\n")
    else:
        show(_table(states) if states else _nothing_in(root))
    return 0


def _nothing_in(root: Path) -> str:
    """Return what to say of a folder without a search. A search loads its libraries before it makes its folder."""
    listed = "one that was started just now is listed after some seconds, when it has made its folder"
    return f"{root} holds no search yet: `{command('search')}` starts one; {listed}\n"


def state_of(run: RunDirectory) -> State:
    """Return the state of the search in a folder."""
    process = holder(run.lock)
    try:
        summary = read_summary(run)
    except UserError as error:
        return State(folder=str(run.root), state="running" if process else "not begun", detail=process or str(error))
    state, detail = _now(summary, process)
    metric = run.metric
    scores = (summary.baseline_val_bpb, summary.best_val_bpb)
    baseline, best = (None if each is None else metric.value(each) for each in scores)
    has_failed = summary.baseline_val_bpb is None and bool(summary.outcomes)  # the seed program: it would fail again
    is_left = state in ("stopped", "killed") and not has_failed
    return State(
        folder=str(run.root),
        state=state,
        detail=detail,
        trials=summary.trials,
        trainings=summary.trainings,
        metric=metric.name,
        baseline=baseline,
        best=best,
        resume=resume_text(run, summary.name) if is_left else "",
    )


def _now(summary: Summary, process: str | None) -> tuple[str, str]:
    if process:
        return "running", process
    if summary.status == "running":
        return "killed", "no process runs it: it was killed, or a full disk stopped it"
    return summary.status, summary.stop_reason


def _table(states: Sequence[State]) -> str:
    width = max(len(each.folder) for each in states)
    scores = [(_score_text(each.baseline), _score_text(each.best)) for each in states]
    wide = max(len("baseline"), *(len(text) for pair in scores for text in pair))
    lines = [f"{'search':<{width}}  {'state':<9} {'trials':>6} {'trained':>7} {'baseline':>{wide}} {'best':>{wide}}"]
    for each, (baseline, best) in zip(states, scores, strict=True):
        figures = f"{each.trials:>6} {each.trainings:>7} {baseline:>{wide}} {best:>{wide}}"
        lines.append(f"{each.folder:<{width}}  {each.state:<9} {figures}  {each.detail}".rstrip())
    lines += [f"resume: {each.resume}" for each in states if each.resume]
    return "\n".join(lines) + "\n"


def _score_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    raise SystemExit(main())
