"""Asks something of a search; NAME is one in `outputs`, or its folder.

    graft idea NAME "try ..."    graft pause NAME    graft resume NAME    graft stop NAME    graft skip NAME 17

The same as `python -m search.steering idea NAME "try ..."`, and so on.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
from collections.abc import Sequence
from typing import Final

from search.commands import fails_with_a_line, show
from search.composed import read_config
from search.errors import UserError
from search.names import find_search
from search.printed import resume_text
from search.runs.finished import read_summary
from search.runs.lock import holder
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.steering.requests import Idea, Requests

_HOLDER: Final = re.compile(r"process (\d+) on (\S+)")
_PROPOSALS: Final = 5
_LONGEST_IDEA: Final = 2000  # characters: it is a part of prompts


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m search.steering", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    for name, does in (
        ("idea", "put a sentence into the next prompts of a search"),
        ("pause", "begin nothing new; what is under way ends"),
        ("resume", "go on after a pause"),
        ("stop", "end a search in order, as Ctrl-C does"),
        ("skip", "leave out a trial that waits"),
    ):
        command = commands.add_parser(name, help=does, description=does)
        command.add_argument("search", help="name of a search in outputs, or its folder")
        if name == "idea":
            command.add_argument("text", help="the sentence")
            command.add_argument("--proposals", type=int, default=_PROPOSALS, help="that get it (default: %(default)s)")
        if name == "skip":
            command.add_argument("number", type=int, help="number of the trial")
    options = parser.parse_args(arguments)
    run = find_search(options.search)
    show(f"{_ask(options, run)}\n")
    return 0


def _ask(options: argparse.Namespace, run: RunDirectory) -> str:
    requests = Requests(run)
    match options.what:
        case "idea":
            return _give(run, options.text, options.proposals)
        case "pause":
            _require_running(run, "pause")
            requests.pause()
            return f"{run.root} begins nothing new; what is under way ends. Go on: graft resume {options.search}"
        case "resume":
            if not requests.paused:
                raise UserError(f"{run.root} is not paused; {_instead_of_resuming(run)}")
            requests.unpause()
            return f"{run.root} goes on"
        case "stop":
            process = _require_running(run, "stop")
            os.kill(process, signal.SIGINT)
            return f"{run.root} was asked to end in order (process {process}); the same command resumes it"
    return _skip(run, options.number)


def _instead_of_resuming(run: RunDirectory) -> str:
    summary = read_summary(run)
    if holder(run.lock):
        return "it runs"
    again = resume_text(run, summary.name)
    if summary.status == "finished":
        return f"it has ended ({summary.stop_reason}), and was started with: {again}"
    return f"start it again: {again}"


def _give(run: RunDirectory, text: str, proposals: int) -> str:
    text = " ".join(text.split())
    if not text or len(text) > _LONGEST_IDEA or proposals < 1:
        raise UserError(
            f"an idea must have 1 to {_LONGEST_IDEA} characters and --proposals be at least 1, got {len(text)} and "
            f"{proposals}"
        )
    summary, config = read_summary(run), read_config(run)
    if summary.status == "finished":
        raise UserError(f"{run.root} has ended ({summary.stop_reason}): no proposal follows that could get an idea")
    if not (config.get("llm") or {}).get("model") and not (config.get("agent") or {}).get("command"):
        raise UserError(f"{run.root} asks no language model and no agent: nothing would read the idea")
    trials = len(read_population(run).trials)
    Requests(run).give(Idea(text=text, trials=trials, proposals=proposals))
    when = "" if holder(run.lock) else ", once it is resumed"
    return f"the prompts of trials {trials} to {trials + proposals - 1} get it{when}"


def _skip(run: RunDirectory, number: int) -> str:
    trials = read_population(run).trials
    if len(trials) < 2:
        raise UserError(f"{run.root} has no trial that can be skipped: only the seed program was proposed")
    if not 0 < number < len(trials):
        raise UserError(f"{run.root} has trials 1 to {len(trials) - 1} that can be skipped, got {number}")
    if trials[number].decided is not None:
        raise UserError(f"trial {number} has its verdict already: {trials[number].status.value}")
    Requests(run).skip(number)
    return f"trial {number} is left out as soon as nothing is under way for it: a training that has begun ends first"


def _require_running(run: RunDirectory, what: str) -> int:
    """Return the process that runs a search, which must be on this host."""
    process = holder(run.lock)
    if process is None:
        raise UserError(f"no process runs {run.root}: there is nothing to {what}")
    found = _HOLDER.fullmatch(process)
    if found is None or found[2] != socket.gethostname():
        raise UserError(f"{run.root} is run by {process}: {what} it on that host")
    return int(found[1])


if __name__ == "__main__":
    raise SystemExit(main())
