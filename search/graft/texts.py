"""What `graft --help` and `graft help KEY` print, and the words that a shell may complete."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from search.graft.reference import Setting, choices, settings

COMMANDS: Final = {
    "search": ("search", "run a search, or the rest of one; -m runs one for each combination of values"),
    "status": ("search.status", "the searches in outputs, what runs, and how to resume what stopped"),
    "report": ("search.report", "the report of a search, finished or not"),
    "compare": ("search.compare", "which arm of a sweep is better, and how certain that is"),
    "best": ("search.best", "the best program of a search, or what changed in it"),
    "export": ("search.export", "the lineage of the best program as commits of a new branch"),
    "final": ("search.final", "does the improvement hold? fresh seeds, sealed holdout"),
    "transfer": ("search.transfer", "does it hold at another size or budget, and which steps of it do"),
    "noise": ("search.noise", "how far apart two trainings of one program end on this machine"),
    "idea": ("search.steering idea", "a sentence for the next prompts of a search that runs"),
    "pause": ("search.steering pause", "begin nothing new in a search; graft resume NAME goes on"),
    "resume": ("search.steering resume", "go on with a search that was paused"),
    "stop": ("search.steering stop", "end a search in order"),
    "skip": ("search.steering skip", "leave out a trial that waits: graft skip NAME 17"),
    "ui": ("search.ui", "every trial in the MLflow UI, in a browser"),
    "doctor": ("search.doctor", "can a search with these settings run on this machine, and if not, how to fix it"),
    "import": ("search.import_git", "makes a search of an autoresearch branch and its results.tsv"),
    "prompt": ("search.prompt", "the prompt of a trial, or a table of what prompts gained"),
}
"""Names of the commands, with their modules and what they do."""
_WITH_SETTINGS: Final = ("search", "doctor", "noise")
_STEERING: Final = ("idea", "pause", "resume", "stop", "skip")
_STEERING_TEXT: Final = 'steer a search that runs: graft idea NAME "try ..."'
_WITH_FOLDERS: Final = (
    "report",
    "compare",
    "best",
    "export",
    "final",
    "transfer",
    "prompt",
    "status",
    "ui",
    *_STEERING,
)
_SHOWN_GROUPS: Final = (
    *("strategy", "operator", "target", "corpus", "acceptance", "pruning", "prompt", "executor", "tracker"),
)
_SHOWN_SETTINGS: Final = (
    *("name", "outputs", "from", "seed", "budget.trainings", "budget.hours", "budget.usd", "final.seeds"),
    *("propose_ahead", "direction", "executor.workers", "target.program", "llm.model"),
)
_DEFAULTS: Final = ("budget=default", "executor=local", "llm=default", "target=tiny")
_WIDTH: Final = 110
_EXAMPLES: Final = """
  graft search                                     a first look: minutes on a CPU, no key
  graft search name=mar8 strategy=beam seed=1      the same command again resumes
  graft search -m name=cmp strategy=greedy,random seed=0,1,2,3
"""


def help_text() -> str:
    """Return the text of `graft --help`, which fits on one screen."""
    lines = ["usage: graft COMMAND [GROUP=CHOICE ...] [KEY=VALUE ...]", _EXAMPLES.rstrip(), "", "commands:"]
    lines += [f"  {name:<9} {what}" for name, (_, what) in COMMANDS.items() if name not in _STEERING]
    lines += [f"  {' | '.join(_STEERING)} NAME  {_STEERING_TEXT}"]
    lines += ["  help KEY  explains a setting, a group, or a command", "", "groups:"]
    lines += [_cut(f"  {group:<11} {', '.join(choices()[group])}") for group in _SHOWN_GROUPS]
    lines += ["", "settings:"]
    first = {each.key: each for each in reversed(settings()) if not each.choice or each.choice in _DEFAULTS}
    lines += [_cut(f"  {key:<17} {_sentence(first[key])}") for key in _SHOWN_SETTINGS]
    lines += ["", "flags: --version, --completion bash|zsh|fish; each command has a --help of its own"]
    return "\n".join(lines) + "\n"


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4].rsplit(' ', 1)[0].rstrip(',;:')} ..."


def _sentence(setting: Setting) -> str:
    return (setting.doc or setting.text) if setting.key.startswith("target.") else setting.text


def explain(key: str) -> str | None:
    """Return what a setting, a group or a command means; None if there is none of that name."""
    if key in choices():
        return _explain_group(key)
    own = [each for each in settings() if each.key == key]
    below = [each for each in settings() if each.key.startswith(f"{key}.")]
    if own or below:
        return "\n".join([*(_explained(own) if own else [key]), *_rows(below)]) + "\n"
    if key in COMMANDS:
        return f"graft {key} is python -m {COMMANDS[key][0]}: {COMMANDS[key][1]}\n"
    return None


def _explain_group(group: str) -> str:
    lines = [f"{group}=CHOICE"]
    for choice, text in choices()[group].items():
        lines += textwrap.wrap(f"{choice:<14} {text}", _WIDTH, initial_indent="  ", subsequent_indent=" " * 17)
    own = [each for each in settings() if each.key.startswith(f"{group}.")]
    return "\n".join([*lines, "", *_rows(own)]) + "\n"


def _rows(own: list[Setting]) -> Iterator[str]:
    """Yield a line for each setting, once."""
    seen = {each.key: each for each in reversed(own)}
    for key in dict.fromkeys(each.key for each in own):
        yield _cut(f"  {key:<26} {_sentence(seen[key])}")


def _explained(own: list[Setting]) -> Iterator[str]:
    """Yield the lines about one setting: what it means, then its value wherever it is set."""
    yield own[0].key
    general = next((each.doc for each in own if each.doc), "")
    if general:
        yield from textwrap.wrap(general, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    for each in own:
        where = f"  {each.choice or 'by default'}: {each.value or 'several settings'}"
        text = f"{where}  # {each.text}" if each.text and each.text != general else where
        yield from textwrap.wrap(text, _WIDTH, subsequent_indent="      ")


def near(key: str) -> str:
    """Return the name most like one that there is not; empty if none is."""
    known = [*choices(), *(each.key for each in settings()), *COMMANDS]
    last = {each.rpartition(".")[2]: each for each in reversed(known)}
    found = difflib.get_close_matches(key, known, n=1) or difflib.get_close_matches(key, list(last), n=1)
    return last.get(found[0], found[0]) if found else ""


def completions(line: str) -> list[str]:
    """Return the words that may stand where a command line ends.

    Args:
        line: The line up to the cursor, which begins with `graft`.
    """
    *before, word = line.split(" ")
    before = [each for each in before[1:] if each]
    if before[-1:] == ["--completion"]:
        return _beginning([*COMPLETION], word)
    if not before:
        return _beginning([*COMMANDS, "help", "--help", "--version", "--completion"], word)
    command = before[0]
    if command == "help":
        return _beginning([*choices(), *dict.fromkeys(each.key for each in settings()), *COMMANDS], word)
    if command in _WITH_FOLDERS:
        return _beginning(_searches(), word)
    return _beginning(_values(word), word) if command in _WITH_SETTINGS else []


def _values(word: str) -> list[str]:
    group, is_given, _ = word.partition("=")
    if group == "from" and is_given:
        return [f"from={each}" for each in _searches()]
    if is_given:
        return [f"{group}={choice}" for choice in choices().get(group, ())]
    chosen = dict.fromkeys(each.key for each in settings())
    return [f"{each}=" for each in (*(group for group in choices() if group in _SHOWN_GROUPS), *chosen)]


def _searches() -> list[str]:
    outputs = Path("outputs")
    folders = [*outputs.glob("*"), *outputs.glob("sweeps/*"), *outputs.glob("sweeps/*/*")]
    names = {"outputs", "sweeps", "mlartifacts", "comparison"}
    return sorted(str(each) for each in folders if each.is_dir() and each.name not in names)


def _beginning(words: list[str], word: str) -> list[str]:
    return [each for each in words if each.startswith(word)]


COMPLETION: Final = {
    "bash": """\
# source <(graft --completion bash)
_graft() {
  local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\\n'
  local word="${line##* }"
  local cut="${word%"${word##*[=:]}"}"  # bash replaces only what follows the last = or :
  COMPREPLY=($(graft --complete "$line"))
  COMPREPLY=("${COMPREPLY[@]#"$cut"}")
  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
complete -o default -F _graft graft  # a word that is not ours may be the name of a file
""",
    "zsh": """\
# source <(graft --completion zsh)
_graft() {
  local -a found
  found=("${(@f)$(graft --complete "$LBUFFER")}")
  compadd -S '' -- $found
}
compdef _graft graft
""",
    "fish": """\
# graft --completion fish | source
complete -c graft -f -a '(graft --complete (commandline -cp))'
""",
}
"""What each shell runs to complete words."""
