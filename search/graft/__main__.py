"""The command `graft`: `graft report outputs/NAME` is `python -m search.report outputs/NAME`, and so on."""

from __future__ import annotations

import importlib.metadata
import os
import runpy
import sys
from collections.abc import Sequence

from search.graft.texts import COMMANDS, COMPLETION, completions, explain, help_text, near
from target.output import ends_quietly

_USAGE = 2


@ends_quietly
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or answer a question; return the exit status."""
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first in COMMANDS:
        return _run(first, rest)
    if first in ("--help", "-h") or (first == "help" and (not rest or rest[0] == "help")):
        return _say(help_text())
    if first == "--version":
        return _say(f"graft {importlib.metadata.version('graft-search')}\n")
    if first == "help":
        return _help(rest[0])
    if first == "--completion" and rest and rest[0] in COMPLETION:
        return _say(COMPLETION[rest[0]])
    if first == "--completion":
        return _refuse(f"--completion must be followed by one of {', '.join(COMPLETION)}")
    if first == "--complete" and rest:
        return _say("".join(f"{word}\n" for word in completions(rest[0])))
    meant = f"search {first}" if "=" in first else near(first) if near(first) in COMMANDS else ""
    advice = f"did you mean graft {meant}?" if meant else "`graft --help` lists all"
    return _refuse(f"there is no command {first!r}; {advice}")


def run() -> None:
    """Start from the installed command."""
    sys.exit(main())


def _run(name: str, words: Sequence[str]) -> int:
    """Run a module as `python -m` does; it exits with its own status."""
    module, *first = COMMANDS[name][0].split()
    sys.argv = [f"graft {name}", *first, *words]
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:  # noqa: PTH109 -- sys.path holds texts
        sys.path.append(here)  # for classes of the user's own; at the end, so that nothing there hides Graft's modules
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def _help(key: str) -> int:
    if key in COMMANDS and key not in ("prompt",):
        return _run(key, ["--help"])
    text = explain(key)
    if text is not None:
        return _say(text)
    meant = near(key)
    return _refuse(
        f"there is no setting, group or command {key!r}"
        + (f"; did you mean {meant}?" if meant else "; `graft --help` lists the most needed")
    )


def _say(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _refuse(text: str) -> int:
    sys.stderr.write(f"error: {text}\n")
    return _USAGE


if __name__ == "__main__":
    run()
