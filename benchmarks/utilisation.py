"""How much of the time a slot trains while a model thinks: serial (`propose_ahead=0`) beside overlapped (the default).

    python benchmarks/utilisation.py [--trainings 20] [--latency 2] [--seconds 5] [--simulated-only] [--json FILE]

Measured: `python -m search` with `operator=patch`, a scripted model server over HTTP that answers after `--latency`
seconds, and a command that takes `--seconds`; nothing is trained. One slot, greedy. It takes about four minutes.

Simulated: the real loop and ledger on a clock of its own. Trainings of 300 s, a pre-flight of 20 s, and an operator
that takes 30, 60 and 120 s; its edits and their scores are those of `target=landscape`.

`busy` is `busy_fraction` of summary.json. `after the first` leaves out what comes before the first candidate's verdict:
the seed program and the first proposal, for which nothing can be prepared. `stale` is the mean number of verdicts
between a proposal and its training, `moved` counts edits that were made to a new champion.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # where `benchmarks` and `tests` are

from benchmarks.strategies import configured, default_of, load_oracle, make_operator
from operators.base import Operator
from operators.population import Population
from operators.trial import Mutation, Proposal, Trial
from search.budget import Budget
from search.loop import Loop
from search.observer import Running
from search.runs.journal import open_journal
from search.runs.ledger import Ledger
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.settings import Settings
from target.evaluation import Evaluation
from target.evidence import NO_EVIDENCE, Evidence
from target.program import Program
from target.simulated.target import Oracle
from target.stopping import StopRule
from target.words import user_path
from tests.llm_habits import habit
from tests.llm_server import LlmServer, Request

ROOT: Final = Path(__file__).parents[1]
GOAL: Final = 0.97
LATENCIES_SECONDS: Final = (30.0, 60.0, 120.0)
TRAINING_SECONDS: Final = 300.0
PREFLIGHT_SECONDS: Final = 20.0

PROGRAM: Final = """import time

MATRIX_LR = 0.02
DECAY = 0.1
BETA = 0.8
HEAD_LR = 0.004
SCALE = 1.3
SOFTCAP = 15.0
BASE = 100.0
FRACTION = 0.6


def build_model(vocab_size):
    return vocab_size


time.sleep({seconds})
wrong = (MATRIX_LR / 0.05, DECAY / 0.2, BETA / 0.9, HEAD_LR / 0.01, SCALE, SOFTCAP / 20, BASE / 200, FRACTION / 0.4)
print("val_bpb:", 1.0 + sum(abs(each - 1) for each in wrong) / 10)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The utilisation of one search."""

    name: str
    latency_seconds: float
    training_seconds: float
    trainings: int
    busy_fraction: float
    busy_after_first: float
    mean_staleness: float | None
    reapplied: int
    best: float | None


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=20)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds until the model answers")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a training")
    parser.add_argument("--simulated-trainings", type=int, default=60)
    parser.add_argument("--simulated-only", action="store_true")
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()
    rows = list[Row]()
    for ahead in ("0", "null"):
        if not options.simulated_only:
            rows.append(measured(ahead, options.trainings, options.latency, options.seconds))
            print(f"{rows[-1].name} done", file=sys.stderr, flush=True)
    for latency in LATENCIES_SECONDS:
        rows += [simulated(ahead, options.simulated_trainings, latency) for ahead in (0, 1)]
    print_table(rows)
    if options.json:
        plain = {"goal": GOAL, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def measured(ahead: str, trainings: int, latency: float, seconds: float) -> Row:
    """Run a search with the command, on real time."""

    def answer(request: Request) -> str:
        time.sleep(latency)
        return habit(request)

    with tempfile.TemporaryDirectory(prefix="graft-utilisation-") as folder, LlmServer(answer) as server:
        directory = Path(folder, "program")
        directory.mkdir()
        (directory / "train.py").write_text(PROGRAM.format(seconds=seconds), encoding="utf-8")
        python = shutil.which("python3") or sys.executable
        command = [
            *(sys.executable, "-m", "search", "name=a", f"outputs={folder}", "tracker=none", "strategy=greedy"),
            *("target=command", f"target.root={directory}", "target.file=train.py", "target.metric=val_bpb"),
            *(f"target.command={python} train.py", "target.metric_file=null", "target.sandbox=off"),
            *("operator=patch", "llm.model=openai/scripted", f"llm.api_base={server.url}", "llm.check=false"),
            *("executor.workers=1", f"budget.trainings={trainings}", f"propose_ahead={ahead}"),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the search failed: {done.stderr or done.stdout}")
        name = f"measured, {'serial' if ahead == '0' else 'overlapped'}"
        return row_of(name, RunDirectory(Path(folder, "a")), latency, seconds)


class Clock:
    """Simulated time: it advances to the next event when everything that runs waits for one."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleepers = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call something later."""
        with self._lock:
            self._push(seconds, action)

    def _push(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), action))

    def sleep(self, seconds: float) -> None:
        """Wait, in a thread beside the one that advances the time."""
        awake = threading.Event()

        def wake() -> None:
            self.sleepers -= 1  # here, and not in the thread, which may take its time
            awake.set()

        with self._lock:
            self._push(seconds, wake)
            self.sleepers += 1
        awake.wait()

    def advance(self) -> None:
        """Go to the next event."""
        with self._lock:
            self.now, _, action = heapq.heappop(self._events)
            action()


class Thinking:
    """An operator that takes simulated time.

    Args:
        operator: Makes its programs.
        clock: The simulated time.
        seconds: What a program takes.
    """

    def __init__(self, operator: Operator, clock: Clock, seconds: float) -> None:
        self.name = operator.name
        self._operator = operator
        self._clock = clock
        self._seconds = seconds

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return a program after a while."""
        self._clock.sleep(self._seconds)
        return self._operator.mutate(proposal, population)


class Timed:
    """An executor with one slot that takes simulated time.

    Args:
        oracle: Knows the results.
        clock: The simulated time.
    """

    slots = 1

    def __init__(self, oracle: Oracle, clock: Clock) -> None:
        self._oracle = oracle
        self._clock = clock

    def start(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Future[Evaluation | None]:
        """Pass every program, after a while."""
        del program, log, evidence
        return self._later(PREFLIGHT_SECONDS, None)

    def evaluate(
        self,
        program: Program,
        seed: int,
        log: Path,
        *,
        thorough: bool = False,
        holdout: bool = False,
        stop: StopRule | None = None,
    ) -> Future[Evaluation]:
        """Return the result of a training, after a while."""
        del log, thorough, holdout, stop
        return self._later(TRAINING_SECONDS, self._oracle.evaluate(program, seed))

    def _later(self, seconds: float, result: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._clock.after(seconds, lambda: future.set_result(result))
        return future


class Driver:
    """An observer that advances the simulated time when the search has nothing to do, and all operators sleep."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._before: list[tuple[int, str]] = []

    def recorded(self, population: Population, summary: Summary) -> None:
        """Do nothing."""

    def measured(self, trial: Trial, evaluation: Evaluation) -> None:
        """Do nothing."""

    def tick(self, running: Sequence[Running]) -> None:
        """Advance to the next event, unless something was finished just now, or a thread has something to do before."""
        now = [(each.number, each.stage) for each in running]
        sleeping = self._clock.sleepers == sum(stage == "propose" for _, stage in now)
        if sleeping and now and now == self._before:
            self._clock.advance()
        self._before = now


def simulated(ahead: int, trainings: int, latency: float) -> Row:
    """Run a search in simulated time."""
    oracle, program = load_oracle("landscape", None, "gp")
    clock = Clock()
    settings = Settings(
        name="simulated",
        strategy_name="greedy",
        seed=0,
        seed_program=program,
        strategy=configured("strategy", "greedy", 0),
        operator=Thinking(make_operator("constants"), clock, latency),
        acceptance=configured("acceptance", default_of("acceptance"), 0),
        budget=Budget(trainings=trainings),
        propose_ahead=ahead,
        max_failures=50,
    )
    with tempfile.TemporaryDirectory(prefix="graft-utilisation-") as folder:
        run = RunDirectory(Path(folder))
        run.create()
        ledger = Ledger(run)
        executor, observer = Timed(oracle, clock), Driver(clock)
        Loop(
            settings, run=run, ledger=ledger, executor=executor, observer=observer, clock=clock, tick_seconds=0.001
        ).run()
        name = f"simulated, {'overlapped' if ahead else 'serial'}"
        return row_of(name, run, latency, TRAINING_SECONDS)


def row_of(name: str, run: RunDirectory, latency: float, seconds: float) -> Row:
    """Return the row of a finished search."""
    summary = json.loads(run.summary.read_text(encoding="utf-8"))
    population = read_population(run)
    clocks = clocks_of(run)
    trained = [clocks[trial.number] for trial in population.decided if trial.number and trial.trainings]
    (wall, busy), (last_wall, last_busy) = trained[0], trained[-1]
    return Row(
        name=name,
        latency_seconds=latency,
        training_seconds=seconds,
        trainings=summary["trainings"],
        busy_fraction=summary["busy_fraction"],
        busy_after_first=(last_busy - busy) / (last_wall - wall),
        mean_staleness=summary["mean_staleness"],
        reapplied=summary["reapplied"],
        best=summary["best_val_bpb"],
    )


def clocks_of(run: RunDirectory) -> dict[int, tuple[float, float]]:
    """Return the wall time of the search and its busy time at the verdict on each trial, in seconds."""
    storage = open_journal(run.journal)
    (study,) = storage.get_all_studies()
    verdicts = {each.number: each.user_attrs.get("verdict") for each in storage.get_all_trials(study._study_id)}
    return {number: (each["wall_seconds"], each["busy_seconds"]) for number, each in verdicts.items() if each}


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows."""
    heads = ("search", "latency", "training", "trainings", "busy", "after the first", "stale", "moved", "best")
    print(f"{heads[0]:<23}" + "".join(f"{head:>{len(head) + 3}}" for head in heads[1:]))
    for row in rows:
        cells = (
            f"{row.latency_seconds:g} s",
            f"{row.training_seconds:g} s",
            str(row.trainings),
            f"{row.busy_fraction:.3f}",
            f"{row.busy_after_first:.3f}",
            "" if row.mean_staleness is None else f"{row.mean_staleness:.2f}",
            str(row.reapplied),
            "" if row.best is None else f"{row.best:.4f}",
        )
        print(
            f"{row.name:<23}" + "".join(f"{cell:>{len(head) + 3}}" for head, cell in zip(heads[1:], cells, strict=True))
        )


if __name__ == "__main__":
    main()
