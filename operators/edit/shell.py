"""Reads whole files that a reply writes by a shell command: `cat > train.py <<'EOF'`, `tee train.py <<EOF`."""

from __future__ import annotations

import re
from typing import Final

from operators.edit.foreign import Foreign
from operators.edit.text import require_own_file

_COMMAND: Final = re.compile(
    r"^[ \t]{0,9}(?:[$#>][ \t])?(?:sudo[ \t])?(?P<before>(?:cat|tee)\b[^\n<]{0,300})<<-?[ \t]{0,9}"
    r"(?P<quote>[\"']?)(?P<end>\w{1,40})(?P=quote)(?P<behind>[^\n<]{0,300})$",
    re.MULTILINE,
)
_COMMANDS: Final = 40
"""Largest number of commands that are read: each may look for its end through the whole text."""
_INTO: Final = re.compile(r"(?<!>)>[ \t]{0,9}[\"']?(?P<name>[\w./~-]{1,200})")
_TEE: Final = re.compile(r"tee[ \t]{1,9}[\"']?(?P<name>[\w./~][\w./~-]{0,200})")


def shell_files(text: str, own: str) -> tuple[Foreign, str]:
    """Return the files that shell commands in a text write, and the text without these commands.

    Args:
        text: The text.
        own: Name of the file that may be edited.

    Raises:
        EditError: A command writes another file.
    """
    found, rest, position = Foreign(), list[str](), 0
    for _ in range(_COMMANDS):
        if (match := _COMMAND.search(text, position)) is None:
            break
        name = _TEE.match(match["before"]) or _INTO.search(match["before"] + match["behind"])
        end = re.compile(rf"^[ \t]*{re.escape(match['end'])}[ \t]*$", re.MULTILINE).search(text, match.end())
        stop = match.end() if name is None or end is None else end.end()
        if name is None or end is None:
            rest.append(text[position:stop])
        else:
            require_own_file(name["name"], own)
            found.files.append(text[match.end() + 1 : end.start()])
            rest += [text[position : match.start()], "\n" * text.count("\n", match.start(), stop)]
        position = stop
    return found, "".join([*rest, text[position:]])
