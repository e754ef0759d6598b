"""The folder of one search: the places of its files, and how they are written."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from operators.chat import Reply
from operators.population import Population
from operators.trial import Trial
from search.errors import UserError
from search.figures import value_of
from search.metric import read_metric
from search.runs.files import unfinished_below, write_atomically
from search.runs.summary import Summary
from search.runs.transcript import prompts_text, replies_text
from target.errors import disk_is_full
from target.metric import VAL_BPB, Metric
from target.program import Program

_OTHERS: Final = frozenset({"diff.patch", "diff.txt", "prompt.md", "reply.md", "result.json", "spares"})
_LOG: Final = ".log"


@dataclass(frozen=True)
class RunDirectory:
    """`outputs/<name>/` and its content.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def journal(self) -> Path:
        """The ledger."""
        return self.root / "journal.log"

    @property
    def results(self) -> Path:
        """One row per decided trial."""
        return self.root / "results.tsv"

    @property
    def summary(self) -> Path:
        """The current state, rewritten after every trial."""
        return self.root / "summary.json"

    @property
    def final(self) -> Path:
        """Whether the improvement holds, once this is measured."""
        return self.root / "final.json"

    @property
    def environment(self) -> Path:
        """What it ran on."""
        return self.root / "environment.json"

    @property
    def config(self) -> Path:
        """The composed configuration."""
        return self.root / ".hydra" / "config.yaml"

    @property
    def overrides(self) -> Path:
        """The part of the configuration from the command line."""
        return self.root / ".hydra" / "overrides.yaml"

    @property
    def arguments(self) -> Path:
        """The arguments of the command that resumes the search."""
        return self.root / ".hydra" / "arguments.yaml"

    @property
    def lock(self) -> Path:
        """Held while a search uses the folder."""
        return self.root / ".lock"

    def program(self, source_sha256: str) -> Path:
        """Where the source with a hash is kept."""
        return self.root / "programs" / f"{source_sha256}.py"

    @property
    def exchanges(self) -> Path:
        """Where requests to models and their replies are kept."""
        return self.root / "exchanges"

    def trial(self, number: int) -> Path:
        """The folder of one trial."""
        return self.root / "trials" / f"{number:04d}"

    @property
    def metric(self) -> Metric:
        """What its target measures, as environment.json says; bits per byte before that is written."""
        return read_metric(self.environment)

    @property
    def started_in(self) -> Path:
        """Where the search was started: its settings may be relative. The current directory if that is not known."""
        try:
            started = Path(json.loads(self.environment.read_text(encoding="utf-8"))["directory"])
        except (OSError, ValueError, LookupError, TypeError):  # one of an earlier version, or one that has not begun
            return Path.cwd()
        return started if started.is_dir() else Path.cwd()

    @contextlib.contextmanager
    def where_started(self) -> Iterator[RunDirectory]:
        """Work where the search was started, as its settings need; give this folder, by its absolute path."""
        there = RunDirectory(self.root.absolute())
        with contextlib.chdir(self.started_in):
            yield there

    def program_of(self, number: int) -> Path:
        """Where the program of a trial is, under the target's name for it; in older folders it is train.py."""
        return _program_in(self.trial(number), self.metric)

    def create(self) -> None:
        """Make the folder.

        Raises:
            UserError: If it cannot be made or written, or something in it is a link that leads elsewhere.
            OSError: If there is no room for it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.refuse_links()
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            if disk_is_full(error):
                raise
            raise UserError(
                f"cannot write to {self.root}: {error.strerror}; choose another place with outputs=DIR"
            ) from error

    def refuse_links(self) -> None:
        """Refuse symbolic links among the files: through them a search would read or write files of others.

        Raises:
            UserError: There is one.
        """
        for folder in (self.root, self.config.parent, self.root / "trials", self.exchanges, self.root / "programs"):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.is_symlink() and not path.name.startswith(f"{self.journal.name}.lock"):  # a link too
                    raise UserError(f"{path} is a symbolic link; a search needs plain files: put the file itself there")

    def clear_leftovers(self) -> None:
        """Remove the files that a killed process was writing; the caller holds the lock."""
        optunas = self.root.glob(f"{self.journal.name}.lock*")  # links, and links in the middle of a rename
        for path in (*unfinished_below(self.root), *optunas):
            path.unlink()

    def numbers_in_results(self) -> list[str]:
        """Return the numbers of the trials in results.tsv; other lines are ignored."""
        text = self.results.read_text(encoding="utf-8") if self.results.exists() else ""
        firsts = (line.split("\t", 1)[0] for line in text[: text.rfind("\n") + 1].splitlines())
        return [first for first in firsts if first.isdecimal()]

    def write_summary(self, summary: Summary) -> None:
        """Rewrite summary.json."""
        write_atomically(self.summary, json.dumps(summary.to_json(self.metric), indent=2) + "\n")

    def write_trial(self, trial: Trial, population: Population, *, unless_there: bool = False) -> None:
        """Write the readable files of a decided trial: program, diff against its parent, spares, prompts, result.

        Args:
            trial: The trial.
            population: All trials.
            unless_there: Do not rewrite a folder that already has all trainings of the trial.
        """
        folder = self.trial(trial.number)
        if unless_there and _evaluations_in(folder / "result.json") == len(trial.evaluations):  # written last
            return
        folder.mkdir(parents=True, exist_ok=True)
        metric = self.metric
        program = _program_in(folder, metric)
        if trial.program:
            write_atomically(program, trial.program.source)
            parent = population.trials[trial.proposal.parents[0] if trial.proposal.parents else 0].program
            write_atomically(folder / "diff.patch", diff(parent or trial.program, trial.program, metric.file))
        for spare in trial.mutation.spares if trial.mutation else ():
            write_atomically(folder / "spares" / f"{spare.id}.py", spare.source)
        if trial.exchanges:
            write_atomically(folder / "prompt.md", prompts_text(trial.exchanges))
            write_atomically(folder / "reply.md", replies_text(trial.exchanges))
        result = _result(trial, population, metric, program.name)
        write_atomically(folder / "result.json", json.dumps(result, indent=1) + "\n")


def searches_below(folder: Path) -> list[Path]:
    """Return the folders of searches, by name: this one if it is a search, or else those below it.

    Nothing below a search is looked at, where there are no others and many files.
    """
    found = []
    for root, folders, files in os.walk(folder):
        if RunDirectory(Path(root)).journal.name in files:
            found.append(Path(root))
            folders.clear()
    return sorted(found)


def _program_in(folder: Path, metric: Metric) -> Path:
    name = metric.file_name
    if name in _OTHERS or name.endswith(_LOG) or name.startswith("."):
        name = f"program-{name}"
    usual = folder / VAL_BPB.file_name
    return usual if usual.exists() and not (folder / name).exists() else folder / name


def diff(old: Program, new: Program, file: str = VAL_BPB.file) -> str:
    """Return the unified diff between two programs, which are called `file` in its head."""
    lines = difflib.unified_diff(
        old.source.splitlines(keepends=True), new.source.splitlines(keepends=True), f"a/{file}", f"b/{file}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _evaluations_in(result: Path) -> int | None:
    return len(json.loads(result.read_text(encoding="utf-8"))["evaluations"]) if result.exists() else None


def _result(trial: Trial, population: Population, metric: Metric, file: str) -> Mapping[str, Any]:
    value = value_of(trial, population)
    mean, error = population.posterior[trial.number] if trial.scored else (None, None)
    return {
        "number": trial.number,
        "status": trial.status.value,
        "outcome": trial.outcome.value if trial.outcome else None,
        "when_written": {  # later trainings can change them: results.tsv has the current value
            metric.key(("posterior_mean", "standard_error")): None if value is None else metric.value(value),
            "posterior_mean": None if mean is None else metric.value(mean),
            "standard_error": error if error is not None and math.isfinite(error) else None,
        },
        "program_id": trial.program.id if trial.program else None,
        **({} if file == VAL_BPB.file else {"file": file}),
        "parents": list(trial.proposal.parents),
        "operator": trial.operator,
        **{name: value for name, value in _perhaps(trial).items() if value},
        "description": trial.mutation.description if trial.mutation else "",
        "cost_usd": trial.cost_usd,
        "requests": [_request(exchange.reply) for exchange in trial.exchanges],
        "evaluations": [run.to_record() for run in trial.evaluations],
    }


def _perhaps(trial: Trial) -> dict[str, Any]:
    """Return the entries of result.json that are left out when they are empty."""
    return {
        "prompt": trial.prompt,
        "extra_parents": list(trial.extra_parents),
        "rationale": trial.mutation.rationale if trial.mutation else "",
        "detail": trial.detail,
        "tie": trial.tie,
        "spares": [spare.id for spare in trial.mutation.spares] if trial.mutation else [],
        "original": _original(trial),
        "staleness_verdicts": trial.staleness,
    }


def _original(trial: Trial) -> dict[str, Any]:
    """Return what a trial was before its edit was made to another parent; empty if it was not."""
    if trial.original is None:
        return {}
    return {"parents": list(trial.original.parents), "program_id": trial.original.program.id}


def _request(reply: Reply) -> dict[str, Any]:
    """Return the figures of a request; its texts are in prompt.md and reply.md."""
    return {name: value for name, value in asdict(reply).items() if name != "text"}
