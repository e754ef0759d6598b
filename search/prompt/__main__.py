"""Shows the prompts that models got, and what each prompt gained.

    python -m search.prompt outputs/NAME TRIAL              the prompt of a trial as it was sent
    python -m search.prompt outputs/NAME TRIAL --as terse   as another prompt of conf/prompt would have worded it
    python -m search.prompt --table outputs/sweeps/NAME     proposals, programs, gain, tokens and cost by prompt

If the prompt of the trial was recorded, it is shown. Otherwise it is rebuilt from what was known when the trial was
proposed, and a line on standard error says so. The table is written to prompts.md and to MLflow as well. A second table
has the tokens of each section in the last prompt of each kind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from search.commands import fails_with_a_line, show
from search.errors import UserError
from search.names import given_folder
from target.words import user_path


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Print a prompt, or the table of prompts; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m search.prompt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", metavar="DIR TRIAL", help="a search and a trial; with --table, searches")
    parser.add_argument("--as", dest="style", metavar="PROMPT", help="rebuild it with this choice of conf/prompt")
    parser.add_argument("--request", type=int, default=1, help="which of its requests, from 1 (default: the first)")
    parser.add_argument("--table", action="store_true", help="compare prompts instead, over searches or a sweep")
    parser.add_argument("--tracking-uri", help="with --table: MLflow URI, or none (default: that of the searches)")
    parser.add_argument(
        "--config-dir", type=user_path, metavar="DIR", help="your own choices (default: those the search began with)"
    )
    options = parser.parse_args(arguments)
    if options.table:
        text = _table([given_folder(each) for each in options.what], options.tracking_uri)
    elif len(options.what) == 2:
        text = show_prompt(
            given_folder(options.what[0]),
            options.what[1],
            request=options.request,
            style=options.style,
            config_dir=options.config_dir,
        )
    else:
        parser.error(f"a prompt needs the folder of a search and the number of a trial, got {options.what}")
    show(text)
    return 0


def show_prompt(
    root: Path, trial: str, *, request: int = 1, style: str | None = None, config_dir: Path | None = None
) -> str:
    """Return the prompt of a trial as readable text.

    Args:
        root: Folder of the search.
        trial: Number of the trial.
        request: Which of its requests, from 1.
        style: Choice of conf/prompt to rebuild it with; None for the prompt as sent.
        config_dir: The user's folder with more choices; None for that with which the search was started.

    Raises:
        UserError: There is no such search, trial, request or prompt.
        TargetError: The target of the search is not valid.
    """
    from search.prompt.rebuilt import rebuilt_text
    from search.runs.reading import read_population
    from search.runs.rundir import RunDirectory
    from search.runs.transcript import prompts_text

    run = RunDirectory(root)
    trials = read_population(run).trials
    if not trial.isdecimal() or int(trial) >= len(trials):
        raise UserError(f"{root} has no trial {trial!r}: its trials are 0 to {len(trials) - 1}")
    found = trials[int(trial)]
    if not found.proposal.parents:
        raise UserError(f"trial {found.number} is the seed program: no model was asked for it")
    if found.exchanges and style is None:
        if not 1 <= request <= len(found.exchanges):
            raise UserError(f"trial {found.number} has requests 1 to {len(found.exchanges)}, got --request {request}")
        return prompts_text(found.exchanges[request - 1 : request])
    sys.stderr.write(f"rebuilt from what was known when trial {found.number} was proposed\n")
    return rebuilt_text(root, found, style, config_dir=config_dir)


def _table(folders: Sequence[Path], tracking_uri: str | None) -> str:
    from search.prompt.mlflow_run import send_prompts
    from search.prompt.rebuilt import section_tokens
    from search.prompt.table import prompt_rows, prompt_table, section_table
    from search.runs.files import write_atomically
    from search.runs.finished import find_runs, load_run

    runs = [load_run(root) for root in find_runs(folders)]
    rows = prompt_rows(run.population for run in runs)
    if not rows:
        raise UserError(f"no trial of {', '.join(map(str, folders))} has a verdict yet")
    sections = {prompt: found for run in runs for prompt, found in section_tokens(run).items()}
    text = prompt_table(rows) + section_table(sections)
    output = folders[0] / "prompts.md"
    write_atomically(output, text)
    tracker = runs[0].config.get("tracker") or {}
    sent = send_prompts(rows, folders[0].resolve().name, tracking_uri or tracker.get("tracking_uri") or "none")
    return f"{text}\n{output}\n" + (f"{sent}\n" if sent else "")


if __name__ == "__main__":
    raise SystemExit(main())
