"""Whether a search can run on this machine, and if not, what to do about it.

    python -m search.doctor [GROUP=CHOICE ...] [KEY=VALUE ...] [--config-dir DIR] [--target NAME] [--model]
                            [--json FILE]

Takes the arguments of `python -m search`, and checks that search without starting it. Each check prints one line as
soon as it is done: fine, warning or broken, with the consequence and, after an arrow, how to fix it. The exit status is
0 if a search can run, 1 if it cannot, 2 if the arguments are wrong. It trains nothing and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from operators.secrets import redact
from search.commands import fails_with_a_line
from search.printed import command
from target.words import user_path

if TYPE_CHECKING:
    from rich.console import Console

    from search.doctor.checks.row import Row
    from search.doctor.checks.subject import Subject

    Check = Callable[[Subject], Iterator[Row]]

_COLOURS: Final = {"fine": "green", "warning": "yellow", "broken": "bold red"}


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks, print each row as soon as it is known, and return the exit status."""
    options = _parser().parse_intermixed_args(arguments)
    from rich.console import Console

    named = [f"target={options.target}"] if options.target else []
    subject = compose_subject([*named, *options.overrides], config_dir=options.config_dir)
    console = Console(highlight=False)
    rows = []
    for row in examine(subject, ask_model=options.model):
        rows.append(row)
        _show(console, row)
    defects = [row.name for row in rows if row.state == "broken"]
    flags = ["--config-dir", str(options.config_dir)] if options.config_dir else []
    start = command("search", *flags, *subject.overrides)
    verdict = f"a search cannot run: {', '.join(dict.fromkeys(defects))}" if defects else f"a search can run: {start}"
    console.print(verdict, markup=False, soft_wrap=True, style="bold")
    if options.json:
        _write(options.json, subject, rows, can_run=not defects)
    return 1 if defects else 0


def compose_subject(overrides: Sequence[str], *, config_dir: Path | None = None) -> Subject:
    """Return the search that a command line describes.

    Args:
        overrides: The settings.
        config_dir: A folder of the user with more choices; None for none.

    Raises:
        UserError: It describes no search.
        TargetError: Likewise.
    """
    from search.construct import compose_search, instantiate, make_budget, resolve
    from search.doctor.checks.subject import make_subject
    from search.secrets import refuse_secrets

    composed = compose_search(overrides, config_dir=config_dir).config
    config = resolve(composed, overrides)
    refuse_secrets(config)
    make_budget(composed.budget)
    for group in ("strategy", "acceptance"):
        instantiate(config[group], group)
    subject = make_subject(config, overrides)
    subject.run  # noqa: B018 -- refuses its name
    if subject.device == "cpu":
        subject.slots  # noqa: B018 -- refuses its settings; on a GPU it asks for cards, which has a line of its own
    return subject


def examine(subject: Subject, *, ask_model: bool) -> Iterator[Row]:
    """Yield the rows of all checks, each as soon as it is known."""
    for check in _checks(ask_model=ask_model):
        yield from check(subject)


def _checks(*, ask_model: bool) -> Iterator[Check]:
    """Yield the checks. Slow modules are imported only when the first check needs them."""
    from search.doctor.checks import machine

    yield from (machine.check_python, machine.check_platform)
    yield from (machine.check_torch, machine.check_driver, machine.check_gpus)
    yield from (machine.check_workers, machine.check_compiler)
    from search.doctor.checks import isolation

    yield from (isolation.check_kernel, isolation.check_isolation)
    from search.doctor.checks import corpus, programs, storage, tracking

    yield from (programs.check_target, programs.check_metric_file, programs.check_constants)
    yield from (programs.check_from, corpus.check_corpus)
    yield from (storage.check_cache, storage.check_temporary, storage.check_outputs)
    yield tracking.check_tracker
    yield programs.check_operators
    from search.doctor.checks import models

    yield functools.partial(models.check_models, ask=ask_model)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, as python -m search takes them")
    parser.add_argument(
        "--config-dir",
        type=user_path,
        metavar="DIR",
        help="a folder of yours with more choices, as python -m search has it",
    )
    parser.add_argument("--target", metavar="NAME", help="the same as target=NAME")
    parser.add_argument("--model", action="store_true", help="send one short request to each language model")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write the rows to a file")
    return parser


def _show(console: Console, row: Row) -> None:
    """Print a row; a pipe gets it at once, without colours and uncut."""
    from rich.text import Text

    line = Text(f"{row.state:<8}", style=_COLOURS[row.state])
    line.append(f"{row.name:<15} {redact(row.text)}", style="default")
    console.print(line, soft_wrap=True)


def _write(path: Path, subject: Subject, rows: Sequence[Row], *, can_run: bool) -> None:
    from search.runs.files import write_atomically
    from search.secrets import redact_all

    report = {"can_run": can_run, "overrides": list(subject.overrides), "rows": [asdict(row) for row in rows]}
    write_atomically(path, json.dumps(redact_all(report), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
