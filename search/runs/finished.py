"""Finished searches, read from their folders for comparison."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from operators.population import Population
from search.composed import read_config
from search.errors import UserError
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory, searches_below
from search.runs.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRun:
    """One search.

    Attributes:
        root: Its folder.
        summary: Its final state.
        population: Its trials.
        config: Its configuration, as plain types.
        overrides: The part of it from the command line.
        environment: What it ran on; empty if the file is missing.
    """

    root: Path
    summary: Summary
    population: Population
    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    environment: Mapping[str, Any]


def read_summary(run: RunDirectory) -> Summary:
    """Read summary.json.

    Raises:
        UserError: If it is missing or is not a summary.
    """
    try:
        return Summary.from_json(json.loads(run.summary.read_text(encoding="utf-8")), run.metric)
    except OSError as error:
        raise UserError(
            f"{run.summary}: {error.strerror}; give the folder of a search, such as outputs/NAME"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{run.summary} does not hold the summary of a search ({error}): if another version of Graft wrote it, "
            "resume the search with this one, which writes it again"
        ) from error


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """Return the folders of searches: those given, and those below a given folder that is not a search itself.

    Raises:
        UserError: There are none.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        below = searches_below(folder)
        if not below:
            raise UserError(f"{folder} holds no search; give folders of searches, or of a sweep: outputs/sweeps/NAME")
        found |= dict.fromkeys(path.resolve() for path in below)
    return list(found)


def load_run(root: Path) -> SearchRun:
    """Read a search.

    Raises:
        UserError: If a file is missing or damaged.
    """
    run = RunDirectory(root)
    try:
        overrides = yaml.safe_load(run.overrides.read_text(encoding="utf-8")) if run.overrides.exists() else []
        environment = json.loads(run.environment.read_text(encoding="utf-8")) if run.environment.exists() else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{root} is not a complete search: {error}") from error
    return SearchRun(
        root=root,
        summary=read_summary(run),
        population=read_population(run),
        config=read_config(run),
        overrides=tuple(overrides),
        environment=environment,
    )
