"""Reads what here-documents of shell commands hold: `cat > train.py <<'EOF'`, `git apply <<EOF`, `python - <<EOF`."""

from __future__ import annotations

import re
from typing import Final

from operators.edit.foreign import Foreign
from operators.edit.text import EditError, quoted, require_own_file

_COMMAND: Final = re.compile(
    r"^[ \t]{0,9}(?:[$#>][ \t])?(?:cd [\w./~-]{1,200} && )?(?:sudo[ \t])?"
    r"(?P<before>(?P<program>cat|tee|python3?|apply_patch|patch|git[ \t]+apply)\b[^\n<]{0,300})<<-?[ \t]{0,9}"
    r"(?P<quote>[\"']?)(?P<end>\w{1,40})(?P=quote)(?P<behind>[^\n<]{0,300})$",
    re.MULTILINE,
)
_COMMANDS: Final = 40
"""Largest number of commands that are read: each may look for its end through the whole text."""
_INTO: Final = re.compile(r"(?<!>)>[ \t]{0,9}[\"']?(?P<name>[\w./~-]{1,200})")
_TEE: Final = re.compile(r"tee[ \t]{1,9}[\"']?(?P<name>[\w./~][\w./~-]{0,200})")
_UNREAD: Final = re.compile(
    r"^[ \t]{0,9}(?:[$#>%][ \t])?(?:sudo[ \t])?(?:perl[ \t]+-\S{0,9}i|g?awk[ \t]+-i|ed[ \t]+-|ex[ \t]+-|mv[ \t]|"
    r"(?:echo|printf)[ \t][^\n]{0,2000}>)[^\n]{0,2000}$",
    re.MULTILINE,
)
_WRITES: Final = frozenset({"cat", "tee"})
_RUNS: Final = frozenset({"python", "python3"})


def shell_documents(text: str, own: str) -> tuple[Foreign, str]:
    """Return the contents of the here-documents in a text, and the text without these commands.

    Of `cat` and `tee` it is the file that they write, of `python` a script, and of the others a patch.

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
        program = match["program"]
        name = _TEE.match(match["before"]) or _INTO.search(match["before"] + match["behind"])
        end = re.compile(rf"^[ \t]*{re.escape(match['end'])}[ \t]*$", re.MULTILINE).search(text, match.end())
        if end is None or (program in _WRITES and name is None):
            stop = match.end()
            rest.append(text[position:stop])
        else:
            stop = end.end()
            body = text[match.end() + 1 : end.start()]
            if program in _WRITES and name is not None:
                require_own_file(name["name"], own)
            (found.files if program in _WRITES | _RUNS else found.texts).append(body)
            rest += [text[position : match.start()], "\n" * text.count("\n", match.start(), stop)]
        position = stop
    return found, "".join([*rest, text[position:]])


def refuse_other_commands(text: str, own: str) -> None:
    """Refuse a command that edits the file and is not read: what else is in the reply would be half of its edit.

    Raises:
        EditError: There is one.
    """
    for match in _UNREAD.finditer(text):
        if re.search(rf"(?<![\w.-]){re.escape(own)}(?![\w.-])", match[0]):
            raise EditError(
                f"the command {quoted(match[0].strip())} is not read, and nothing is run: "
                "send SEARCH/REPLACE blocks, or the whole file"
            )
