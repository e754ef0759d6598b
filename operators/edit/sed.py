"""Reads `sed -i 's/OLD/NEW/' train.py` as an edit of the lines that it would change. Nothing is run.

Only substitutions are read, in basic or extended syntax, and each must change exactly one line of the file, at one
place: `sed` itself would change all of them, or none, without a word.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from operators.edit.foreign import Foreign
from operators.edit.sed_patterns import ADVICE, CHARACTERS, pattern_of, template_of
from operators.edit.text import Block, EditError, quoted, require_own_file, split_lines

_COMMAND: Final = re.compile(r"[ \t]{0,9}(?:[$#>%][ \t]{1,3})?(?:cd [\w./~-]{1,200} && )?(?:sudo )?sed[ \t]+(?=-|')")
_BREAKS: Final = frozenset({"&&", ";", "||", "|", "&"})
_COMMANDS: Final = 40
_LINES: Final = 20
"""Largest number of lines of one command, whose quotes may hold line breaks."""
_SHELL: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:\$[\w{(]|`)')
"""Double quotes in which a shell would put something else."""


@dataclass(frozen=True, slots=True)
class _Substitution:
    """One `s/OLD/NEW/`, perhaps for the lines that an address matches."""

    written: str
    pattern: re.Pattern[str]
    new: str
    address: re.Pattern[str] | None


def sed_edits(text: str, source: str, own: str) -> tuple[Foreign, str]:
    """Return the edits of the `sed` commands in a text, and the text without these commands.

    Args:
        text: The text.
        source: The present file.
        own: Name of the file that may be edited.

    Raises:
        EditError: A command edits another file, or cannot be read as an edit of single lines.
    """
    if "sed" not in text:
        return Foreign(), text
    lines, found, number, commands = text.split("\n"), Foreign(), 0, list[str]()
    while number < len(lines):
        if not _COMMAND.match(lines[number][:400]):
            number += 1
            continue
        stop, words = _words(lines, number)
        written = "\n".join(lines[number:stop])
        if edits := [each for each in _commands(words) if each[0] == "sed" and _in_place(each)]:
            if _SHELL.search(written):
                raise EditError(f"{quoted(written.strip())} is changed by the shell before sed sees it; {ADVICE}")
            for each in edits:
                commands.append(written)
                found.blocks += _blocks(each, source, own)
            lines[number:stop] = [""] * (stop - number)
        if len(commands) > _COMMANDS:
            raise EditError(f"an answer may have {_COMMANDS} sed commands, got more; {ADVICE}")
        number = stop
    _refuse_second_change(found.blocks)
    return found, "\n".join(lines)


def _words(lines: Sequence[str], start: int) -> tuple[int, list[str]]:
    """Return the end of the command that begins at a line, and its words as a shell separates them."""
    for stop in range(start + 1, min(start + _LINES, len(lines)) + 1):
        command = "\n".join(lines[start:stop])
        if command.endswith("\\"):
            continue
        bare = re.sub(r"^[ \t]*[$#>%][ \t]+", "", command.replace("\\\n", " "))
        lexer = shlex.shlex(bare, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split, lexer.commenters = True, ""
        try:
            return stop, list(lexer)
        except ValueError:
            continue
    raise EditError(f"{quoted(lines[start].strip())} has a quote that is not closed; {ADVICE}")


def _commands(words: Sequence[str]) -> Iterator[list[str]]:
    command = list[str]()
    for word in [*words, ";"]:
        if word not in _BREAKS:
            command.append(word)
        elif command:
            yield command[1:] if command[0] == "sudo" else command
            command = []


def _in_place(words: Sequence[str]) -> bool:
    return any(re.fullmatch(r"-[nErsz]*i.*|--in-place.*", word) for word in words[1:])


def _blocks(words: Sequence[str], source: str, own: str) -> list[Block]:
    scripts, files, extended = _options(words)
    for file in files:
        require_own_file(file, own)
    if len(files) != 1:
        raise EditError(f"{quoted(shlex.join(words))} must name one file, {own}; {ADVICE}")
    blocks = list[Block]()
    texts = split_lines(source)[0]
    for script in scripts:
        for each in _substitutions(script, extended=extended):
            number, line = _changed(each, texts)
            blocks.append(
                Block(
                    kind="sed command",
                    old=(texts[number],),
                    new=tuple(line.split("\n")),
                    file=own,
                    line=number + 1,
                )
            )
    return blocks


def _options(words: Sequence[str]) -> tuple[list[str], list[str], bool]:
    """Return the scripts and the files of a command, and whether its patterns are in the extended syntax."""
    scripts, files, extended, rest = list[str](), list[str](), False, list(words[1:])
    while rest:
        word = rest.pop(0)
        if word in ("-e", "--expression") and rest:
            scripts.append(rest.pop(0))
        elif word.startswith("--expression="):
            scripts.append(word.partition("=")[2])
        elif match := re.fullmatch(r"-([Er]*)i(?:[.]\w+)?|-([Er]+)|--in-place(?:=.*)?|--regexp-extended", word):
            extended = extended or bool(match[1] or match[2]) or word == "--regexp-extended"
            if word == "-i" and rest and rest[0] == "":
                rest.pop(0)  # the sed of macOS wants a suffix
        elif word.startswith("-"):
            raise EditError(f"sed with {quoted(word)} is not read; {ADVICE}")
        else:
            files.append(word)
    if not scripts and files:
        scripts.append(files.pop(0))
    return scripts, files, extended


def _substitutions(script: str, *, extended: bool) -> Iterator[_Substitution]:
    rest = script.strip(" \t\n;")
    while rest:
        written, address = rest, None
        if match := re.match(r"/((?:[^/\\]|\\.)+)/\s*(?=s)", rest):
            address = pattern_of(match[1].replace(r"\/", "/"), extended=extended)
            rest = rest[match.end() :]
        sign = rest[1:2]
        if rest[:1] != "s" or not sign or sign.isalnum() or sign in "\\ \n":
            raise EditError(f"{quoted(written)} is not read, only 's/present text/new text/' is; {ADVICE}")
        part = rf"((?:[^{re.escape(sign)}\\]|\\.)*)"
        match = re.match(
            rf"s{re.escape(sign)}{part}{re.escape(sign)}{part}{re.escape(sign)}(g?)[ \t]*(?:[;\n]+\s*|$)",
            rest,
            re.DOTALL,
        )
        if match is None or not match[1]:
            raise EditError(f"{quoted(written)} is not read, only 's/present text/new text/' is; {ADVICE}")
        old, new = (each.replace(f"\\{sign}", sign) for each in match.group(1, 2))
        pattern = pattern_of(old, extended=extended)
        yield _Substitution(match[0].strip(" ;\n"), pattern, template_of(new), address)
        rest = rest[match.end() :]


def _changed(each: _Substitution, lines: Sequence[str]) -> tuple[int, str]:
    """Return the number of the line that a substitution changes, from 0, and the new line."""
    found = list[tuple[int, int, re.Match[str]]]()
    for number, line in enumerate(lines):
        if len(line) <= CHARACTERS and (each.address is None or each.address.search(line)):
            matches = list(each.pattern.finditer(line))
            found += [(number, len(matches), matches[0])] if matches else []
    if not found:
        raise EditError(f"{quoted(each.written)} finds nothing in the file; {ADVICE}")
    if len(found) > 1 or found[0][1] > 1:
        shown = ", ".join(str(number + 1) for number, _, _ in found[:8])
        raise EditError(f"{quoted(each.written)} finds more than one place, in lines {shown}; {ADVICE}")
    number, _, match = found[0]
    try:
        new = match.expand(each.new)
    except (re.error, IndexError):
        raise EditError(f"{quoted(each.written)} has a group that its pattern lacks; {ADVICE}") from None
    return number, lines[number][: match.start()] + new + lines[number][match.end() :]


def _refuse_second_change(blocks: Sequence[Block]) -> None:
    seen = dict[int | None, Block]()
    for block in blocks:
        if seen.setdefault(block.line, block) != block:
            raise EditError(f"two sed commands change line {block.line}, {quoted(block.old[0].strip())}; {ADVICE}")
