"""What was meant by arguments that are no settings: the nearest choice of a group, the nearest key."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from search.errors import UserError
from search.runs.rundir import RunDirectory
from search.schema import CONF, schema

_FREE: Final = ("target.constants", "target.environment", "target.cards", "extra_operators")
"""Mappings to which a command line may add keys."""
_NAMES: Final = re.compile(r"[{,]\s*['\"]?([\w.-]+)['\"]?\s*:")  # in a mapping as Hydra's grammar writes it
_FLAG: Final = re.compile(r"--(?P<key>[a-z_.]+)(?P<value>=.*)?")
_HYDRA_FLAGS: Final = (
    *("cfg", "config-", "experimental", "help", "hydra-", "info", "multirun", "package", "resolve", "run"),
    *("shell-completion", "version"),
)
_MEANT: Final = {
    "resume": "a search is resumed by its name: name={value}",
    "mlflow": "tracker=mlflow, or tracker=none",
    "wandb": "tracker=wandb, or tracker=none",
    "gpu": "target=gpu",
    "gpus": "a search uses all GPUs that CUDA_VISIBLE_DEVICES shows; executor.workers={value} uses fewer",
    "output_dir": "outputs={value}",
    "program": "target.program={value}",
    "train_seconds": "target.train_seconds={value}",
    "timeout": "target.train_seconds for a training, llm.total_seconds for an answer, agent.seconds for an agent",
    "minutes": "target.train_seconds for a training, budget.hours for the search",
    "hooks.stuck_trials": "it is now stuck.trials={value}",
    **dict.fromkeys(("hours", "time", "budget.time", "budget.minutes"), "budget.hours, such as budget.hours=8"),
    **dict.fromkeys(
        ("trials", "n_trials", "max_trials", "iterations", "max_iterations", "generations", "num_generations"),
        "budget.trainings={value}",
    ),
}
"""What other programs and earlier versions call a setting, and how it is written here."""
_CHOICES_MEANT: Final = {
    ("tracker", "false"): "tracker=none",
    ("tracker", "off"): "tracker=none",
    ("target", "cpu"): "target=tiny, which trains on a CPU",
    ("target", "cuda"): "target=gpu",
    ("operator", "llm"): "operator=patch or operator=rewrite, which ask a model",
}
_NO_CHOICE: Final = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?|true|false|\{.*\}", re.IGNORECASE)
_KINDS: Final = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
_CONVERTED: Final = re.compile(r"Value (?P<value>.*) of type .* could not be converted to (?P<kind>\w+)")


def refuse_mistakes(arguments: Sequence[str]) -> None:
    """Refuse what Hydra would answer with a traceback or with its usage.

    Raises:
        UserError: A group has a value that is not a text, or a setting is written as a flag.
    """
    known = groups(arguments)
    for argument, following in itertools.zip_longest(arguments, arguments[1:], fillvalue="VALUE"):
        flag = _FLAG.fullmatch(argument)
        if flag and not flag["key"].startswith(_HYDRA_FLAGS):
            value = flag["value"] or f"={following}"
            raise UserError(f"settings have no dashes: write {flag['key']}{value}")
        key, _, value = argument.partition("=")
        if key in known and _NO_CHOICE.fullmatch(value):
            raise UserError(_no_choice(key, value, arguments))


def groups(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the groups with their choices, those of `--config-dir` included."""
    found: dict[str, set[str]] = {}
    for folder in _folders(arguments):
        for path in folder.glob("*/*.yaml"):
            found.setdefault(path.parent.name, set()).add(path.stem)
    return {group: sorted(choices) for group, choices in sorted(found.items())}


def _folders(arguments: Sequence[str]) -> Iterator[Path]:
    yield CONF
    yield from config_folders(arguments)


def config_folders(arguments: Sequence[str]) -> Iterator[Path]:
    """Yield the folders with choices of the user that arguments of `python -m search` name."""
    for word, before in zip(arguments, ("", *arguments), strict=False):
        if before in ("--config-dir", "-cd"):
            yield Path(word).expanduser()
        elif word.startswith("--config-dir="):
            yield Path(word.partition("=")[2]).expanduser()


def what_was_meant(word: str, arguments: Sequence[str]) -> str:
    """Return a question about a word without `=`: the setting it may be a part of; empty if nothing is near."""
    if word in _MEANT:
        return _MEANT[word].format(value="...")
    if RunDirectory(Path(word)).journal.exists():
        return f"a search is resumed by its name: name={word.strip('/').removeprefix('outputs/')}"
    known = groups(arguments)
    for group, choices in known.items():
        if word in choices and word not in ("default", "none"):
            return f"did you mean {group}={word}?"
    if word in known:
        return f"{word} is one of {', '.join(known[word])}"
    near = nearest(word, list(plain_keys(())))
    return f"did you mean {near}=...?" if near else ""


def mistake(arguments: Sequence[str]) -> str:
    """Return what is wrong with the first argument that names no choice or no setting; empty if all do."""
    settings = [each.partition("=") for each in arguments if "=" in each and not each.startswith(("-", "+", "~"))]
    known = groups(arguments)
    for key, _, value in settings:
        for choice in _choices(value) if key in known else ():
            if choice not in known[key] and choice != "null":
                return _no_choice(key, choice, arguments)
    chosen = {key: _choices(value)[0] for key, _, value in settings if key in known}
    choices = [f"{group}={choice}" for group, choice in chosen.items() if choice != "null"]
    keys = plain_keys(choices, folders=list(config_folders(arguments)))
    for key, _, value in settings if keys else ():
        if key not in known and key not in keys and "@" not in key:
            return _no_key(key, value, keys)
    for key, _, value in settings if keys else ():
        if key in _FREE and value.startswith("["):
            return f"{key} must be a mapping, such as '+{key}={{NAME: VALUE}}', got {value}"
        new = [name for name in _NAMES.findall(value) if f"{key}.{name}" not in keys]
        if key in _FREE and new:
            return f"{key} has no {' and no '.join(new)}: to add what is new, write '+{key}={value}'"
    return ""


def _choices(value: str) -> list[str]:
    return [each.strip(" '\"") for each in value.split(",")] if re.fullmatch(r"[\w, '\"-]+", value) else ["null"]


def _no_choice(group: str, value: str, arguments: Sequence[str]) -> str:
    choices = groups(arguments)[group]
    if choices == ["default"]:
        leaves = [key for key, node in plain_keys(()).items() if not isinstance(node, DictConfig)]
        own = [f"{key}={value}" for key in leaves if key.startswith(f"{group}.") and key.count(".") == 1]
        return f"{group} is not one setting but several: write {', '.join(own[:3])}{', ...' * (len(own) > 3)}"
    near = nearest(value, choices)
    wish = _CHOICES_MEANT.get((group, value.lower())) or (near and f"{group}={near}")
    meant = f"; did you mean {wish}?" if wish else ""
    return f"{group} must be one of {', '.join(choices)}, got {value!r}{meant}"


def _no_key(key: str, value: str, keys: Mapping[str, Any]) -> str:
    if key.rpartition(".")[0] in _FREE:
        return f"{key} is not there: to add it, write +{key}={value}"
    near = nearest(key, [each for each in keys if "." in each or "." not in key])  # no group in place of a setting
    meant = f"did you mean {near}={value}?" if near else "`python -m search --help` lists all"
    if owners := _owners(key):
        owner = f"{', '.join(owners[:-1])}{' or ' * (len(owners) > 1)}{owners[-1]}"
        meant = f"{owner} has {'it' if '.' in key else f'strategy.{key}'}"
    if key in _MEANT:
        meant = _MEANT[key].format(value=value)
    return f"{key} is not a setting of this search: {meant}"


def _owners(key: str) -> list[str]:
    """Return the choices, as `GROUP=CHOICE`, whose own file has a setting; one without a group may be a strategy's."""
    group, _, rest = key.rpartition(".")
    files = sorted(CONF.glob(f"{group or 'strategy'}/*.yaml")) if group.count(".") == 0 else []
    found = ((path, yaml.safe_load(path.read_text(encoding="utf-8"))) for path in files)
    return [f"{path.parent.name}={path.stem}" for path, node in found if isinstance(node, dict) and rest in node]


def missing(config: DictConfig) -> str:
    """Return which settings must be given; empty if all have a value."""
    keys = sorted(OmegaConf.missing_keys(config))
    given = ", ".join(f"{key}=..." for key in keys)
    return f"{' and '.join(keys)} must be given: {given}" if keys else ""


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the known word that is most like another one, as a whole or in its last part; empty if none is."""
    whole = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    if whole:
        return whole[0]
    last = {each.rpartition(".")[2]: each for each in reversed(known)}
    part = difflib.get_close_matches(word.rpartition(".")[2], list(last), n=1, cutoff=0.75)
    return last[part[0]] if part else ""


def plain_keys(chosen: Sequence[str], *, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """Return all settings of a search, with dots in them, and their values; none if a choice is not there.

    Args:
        chosen: The choices of groups, as `GROUP=CHOICE`.
        folders: The user's own folders with more choices.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException

    ConfigStore.instance().store(name="schema", node=schema())
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            own = ",".join(f"file://{folder.resolve()}" for folder in folders)
            config = compose("config", [*chosen, f"hydra.searchpath=[{own}]"])
    except (HydraException, OmegaConfBaseException):
        return {}
    return dict(_leaves(config, ""))


def _leaves(config: DictConfig, prefix: str) -> Iterator[tuple[str, Any]]:
    for key in config:
        path = prefix + str(key)
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing() or node._is_interpolation()):
            yield from _leaves(node, f"{path}.")
        if not str(key).startswith("_"):
            yield path, None if OmegaConf.is_missing(config, str(key)) else node


def no_number(error: BaseException | None) -> str:
    """Return which setting must be a number, if this is what an error says; otherwise an empty text."""
    while error is not None and not isinstance(error, ValidationError):
        error = error.__cause__
    said = _CONVERTED.match(str(error)) if error else None
    if not error or not said or said["kind"] not in _KINDS:
        return ""
    key = str(error.full_key)
    return f"{key} must be {_KINDS[said['kind']]}, got {said['value']}"
