"""Adapts command-line arguments to Hydra's grammar, and explains what is wrong with those it refuses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException

from search.mistakes import mistake, no_number, refuse_mistakes, what_was_meant
from search.secrets import redact_settings, refuse_secrets

_ELEMENT: Final = re.compile(r"[^,\[\]]+")  # of a list, or of several choices
_HOME: Final = re.compile(r"(?:^|[:/ ])~(?:/|$)")


def quote_homes(arguments: Sequence[str]) -> list[str]:
    """Quote values with `~/`, which Hydra's grammar does not allow and shells do not expand after `=`.

    Args:
        arguments: Those of a command line. A value may be a list, or several choices, as in `target.root=~/a,~/b`.
    """
    return [_with_homes_quoted(each) for each in arguments]


def _with_homes_quoted(argument: str) -> str:
    key, _, value = argument.partition("=")
    if "~" not in value or "{" in value or parsed(argument):
        return argument
    quoted = f"{key}={_ELEMENT.sub(lambda match: _quoted_home(match[0]), value)}"
    return quoted if parsed(quoted) else argument


def _quoted_home(element: str) -> str:
    text = element.strip()
    return element.replace(text, _quoted(text)) if _HOME.search(text) else element


def refuse_arguments(arguments: Sequence[str]) -> None:
    """Refuse what Hydra must not see: a setting that is named like a secret, which its error would repeat, and more.

    Raises:
        UserError: There is one.
    """
    for argument in arguments:
        key, _, value = argument.partition("=")
        refuse_secrets({key.lstrip("+"): value if value != "null" else ""})
    refuse_mistakes(arguments)


def complaint(error: Exception, arguments: Sequence[str]) -> str:
    """Return what is wrong with a configuration: the argument that needs quotes, or Hydra's own message.

    Args:
        error: Hydra's.
        arguments: Those of the command line.
    """
    if isinstance(error, OverrideParseException):
        own = _unreadable(error.override, arguments)
    else:
        own = _several(arguments) or no_number(error) or mistake(arguments)
    causes = (str(each).strip() for each in (error, error.__cause__) if each)
    return redact_settings(own or "\n".join(dict.fromkeys(causes)))


def _unreadable(argument: str, arguments: Sequence[str]) -> str:
    """Return what to write instead of an argument that Hydra's grammar refuses; empty if quotes do not help."""
    key, is_setting, value = argument.partition("=")
    if not is_setting:
        meant = what_was_meant(argument, arguments)
        form = f"arguments must be settings, KEY=VALUE without spaces, or choices, GROUP=CHOICE, got {argument!r}"
        return f"{form}; {meant}" if meant else form
    if not value.isprintable():
        return f"{key} must be text without line breaks and control characters, got {value!r}"
    if parsed(f"{key}={_quoted(value)}") is None:
        return ""
    return f"{argument!r} has characters with a special meaning; {_how_to_quote(key, value)}"


def _several(arguments: Sequence[str]) -> str:
    """Return what to write instead of an argument with several values when only one search was asked for."""
    if any(each in ("-m", "--multirun") for each in arguments):
        return ""
    for argument in arguments:
        if (found := parsed(argument)) and found.is_sweep_override():
            key, _, value = argument.partition("=")
            return (
                f"{argument!r} has several values: for a search with each, add -m; for one value with a comma, "
                f"{_how_to_quote(key, value)}"
            )
    return ""


def hydra_setting(key: str, value: object) -> str:
    """Return `KEY=VALUE` with the quotes that Hydra needs."""
    plain = f"{key}={value}"
    found = parsed(plain)
    is_plain = found is not None and not found.is_sweep_override() and found.value() == str(value)
    return plain if is_plain else f"{key}={_quoted(str(value))}"


def _how_to_quote(key: str, value: str) -> str:
    return f"write it in quotes: {shlex.quote(f'{key}={_quoted(value)}')}"


def _quoted(value: str) -> str:
    quote = Quote.single if '"' in value and "'" not in value else Quote.double
    return QuotedString(text=value, quote=quote).with_quotes()


def parsed(argument: str) -> Override | None:
    """Return a setting as Hydra reads it; None if it does not follow its grammar."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None
