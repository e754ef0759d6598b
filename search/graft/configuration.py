"""Prints docs/configuration.md, the reference of all settings: `python -m search.graft.configuration`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from search.graft.reference import Setting, choices, settings
from target.output import ends_quietly

_HEAD: Final = """# Configuration

Generated from `conf/`; a test compares them:

```sh
python -m search.graft.configuration > docs/configuration.md
```

A search is configured on the command line: `GROUP=CHOICE` takes a file of a group, `KEY=VALUE` changes a setting.
`graft help KEY` prints what is written here. `--config-dir DIR` adds choices of your own: [extending.md](extending.md).
"""
_SECTIONS: Final = ("final", "agent", "gates", "hooks", "stuck")


def page() -> str:
    """Return the whole page."""
    own = [each for each in settings() if not each.choice]
    lines = [_HEAD, "## The search", ""]
    lines += _table([each for each in own if "." not in each.key and each.key not in _SECTIONS])
    for section in _SECTIONS:
        below = [each for each in own if each.key.startswith(f"{section}.")]
        head = next((each.text for each in own if each.key == section), "")
        lines += ["", f"## `{section}`", "", *([f"{_sentence(head)}", ""] if head else []), *_table(below)]
    for group, files in choices().items():
        lines += ["", f"## `{group}=`", "", "| choice | what it is |", "|---|---|"]
        lines += [f"| `{choice}` | {_cell(text)} |" for choice, text in files.items()]
        rows = list(_table([each for each in settings() if each.choice.startswith(f"{group}=")]))
        lines += ["", *rows] if rows else []
    return "\n".join(lines) + "\n"


def _table(own: Sequence[Setting]) -> Iterator[str]:
    """Yield a table with a row for each key: its values where they are set, and what it means."""
    rows: dict[str, list[Setting]] = {}
    for each in own:
        rows.setdefault(each.key, []).append(each)
    if rows:
        yield from ("| setting | value | meaning |", "|---|---|---|")
    for key, same in rows.items():
        yield f"| `{key}` | {_values(same)} | {_cell(_meaning(same))} |"


def _values(same: Sequence[Setting]) -> str:
    """Return the values of a key, each with the choices that have it if they differ."""
    by_value: dict[str, list[str]] = {}
    for each in same:
        by_value.setdefault(each.value, []).append(each.choice.partition("=")[2])
    shown = {value: f"`{_cell(value)}`" if value else "several settings" for value in by_value}
    if len(by_value) == 1:
        return next(iter(shown.values()))
    return "; ".join(f"{shown[value]} ({', '.join(names)})" for value, names in by_value.items())


def _meaning(same: Sequence[Setting]) -> str:
    """Return what a key means: for a target what its class says, for others the comment beside a value."""
    doc = next((each.doc for each in same if each.doc), "")
    text = next((each.text for each in same if each.text), "")
    return _sentence((doc or text) if same[0].key.startswith("target.") else (text or doc))


def _sentence(text: str) -> str:
    if text.partition(" ")[0].isalpha():  # not an address, and not a name in code
        text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "...")) else f"{text}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


@ends_quietly
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the page, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m search.graft.configuration", description=__doc__)
    parser.parse_args(arguments)
    sys.stdout.write(page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
