"""How a search ended, for the user: the exit status, the message, and the command that resumes it."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from search.printed import command, named

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_RESUMABLE: Final = 75
EXIT_INTERRUPTED: Final = 130
_REASON_CHARACTERS: Final = 200  # in the last lines of a sweep, which follow the whole message


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one search ended.

    Attributes:
        name: Name of the search.
        code: Exit status; 0 if it finished.
        message: What went wrong; empty if it finished, or if the console has shown it.
        reason: Why it did not finish, for the last line of a sweep; empty if it finished.
        resume: Arguments of `python -m search` that resume it; empty if that makes no sense.
        stops_sweep: Whether the searches that follow in a sweep must not start.
    """

    name: str
    code: int
    message: str = ""
    reason: str = ""
    resume: Sequence[str] = ()
    stops_sweep: bool = False


def tell(ending: Ending) -> None:
    """Write the message of an ending and the command that resumes the search to standard error."""
    from operators.secrets import redact
    from target.printable import printable

    lines = [f"error: {redact(ending.message)}"] if ending.message else []
    lines += [f"resume: {command('search', *ending.resume)}"] if ending.resume else []
    sys.stderr.write(printable("".join(f"{line}\n" for line in lines)))


def end_state(ending: Ending, outputs: str) -> dict[str, Any]:
    """Return how a search ended, as plain JSON types: its summary, folder, exit status, message and resumption.

    Args:
        ending: How it ended.
        outputs: The folder of all searches.
    """
    folder = Path(outputs).expanduser() / ending.name
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it did not begin
        summary = {"name": ending.name}
    resume = command("search", *ending.resume) if ending.resume else None
    return {**summary, "folder": str(folder), "exit": ending.code, "error": ending.message or None, "resume": resume}


@dataclass(slots=True)
class Sweep:
    """How a sweep ends.

    Attributes:
        name: Its name.
        endings: Those of the searches that ran.
    """

    name: str = ""
    endings: list[Ending] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The exit status: 0, that of all failures, or 1 if these differ."""
        codes = {each.code for each in self.endings if each.code}
        return codes.pop() if len(codes) == 1 else EXIT_FAILED * bool(codes)

    def text(self, searches: int, arguments: Sequence[str]) -> str:
        """Return the last lines of a sweep: how many searches finished, which failed and why, and how to resume.

        Args:
            searches: Number of searches in the sweep.
            arguments: Those of the sweep.
        """
        from operators.secrets import redact
        from target.printable import printable

        failed = [each for each in self.endings if each.code]
        text = f"{len(self.endings) - len(failed)} of {searches} finished"
        if not failed and len(self.endings) == searches:
            return f"{text}\n"
        for reason in dict.fromkeys(each.reason for each in failed):
            names = [each.name for each in failed if each.reason == reason]
            shown = "all" if len(names) == searches else ", ".join(dict.fromkeys(names))
            text += f"; failed: {shown}: {textwrap.shorten(reason, _REASON_CHARACTERS, placeholder=' ...')}"
        left = searches - len(self.endings)
        text += f"; not started: {left}" if left else ""
        is_named = any(word.startswith("name=") for word in arguments)
        resume = command("search", *(arguments if is_named else named(arguments, self.name)))
        advice = "the same command resumes" if left or any(each.resume for each in failed) else "it goes on after a fix"
        return printable(redact(f"{text}; {advice}\n")) + f"resume: {resume}\n"
