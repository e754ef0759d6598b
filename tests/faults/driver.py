"""A search in a process that breaks itself at a chosen moment: `python -m tests.faults.driver`.

It reads one order per line from stdin and writes one report per line to stdout, both JSON. A fork carries out each
order, so a session takes milliseconds. Everything is real except the evaluations, which are instant, and the picture.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import search.session
import search.views.progress
from operators.constants import ConstantsOperator
from search.acceptance import Confirm
from search.budget import Budget
from search.errors import UserError
from search.mlflow.tracker import MlflowTracker
from search.runs.files import write_atomically
from search.runs.rundir import RunDirectory
from search.session import Session, run_session
from search.settings import Settings
from search.strategies.evolution import RegularisedEvolution
from search.tracker import NullTracker
from target.base import MakeExecutor
from target.errors import DiskFullError, disk_is_full
from target.evaluation import Evaluation, Outcome
from target.evidence import NO_EVIDENCE, Evidence
from target.executor import LocalExecutor
from target.program import Program
from target.program.contract import TRAINED as NETWORK

ROOT = Path(__file__).parents[2]
SEED_PROGRAM = Program("LR = 0.1\nDEPTH = 4  # knob: 2..24 int\n")
TRAINED = "trained.txt"  # beside the run directory: every training that was started


@dataclass(frozen=True, kw_only=True)
class Order:
    """A session of a search.

    Attributes:
        root: Its run directory.
        trainings: Its budget.
        hours: Its budget.
        slots: Trainings side by side.
        fault: `kill` the process; `tear` the line of the journal that is being written, then kill; `terminate` the
            process, which it notices; `fill` a disk; `refuse` this write and all after it as a full disk does; `jump`
            the wall clock back and forth, at every write up to a kill.
        at: At which of the writes, counted from 1; 0 for never.
        tracking_uri: MLflow's store; None for no tracker.
        disk: A folder on the disk that is filled.
        source: Run directory of an earlier search whose trials this one imports; empty for none.
    """

    root: str
    trainings: int | None = 8
    hours: float | None = None
    slots: int = 2
    fault: str = "kill"
    at: int = 0
    tracking_uri: str | None = None
    disk: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a session ended.

    Attributes:
        exit: Exit code, negative for a signal.
        writes: Durable writes up to then.
        message: What it said about its end.
    """

    exit: int
    writes: int
    message: str


class Driver:
    """The test's side: a context manager that gives orders."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            [*command, sys.executable, "-m", "tests.faults.driver"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def session(self, root: Path, **order: Any) -> Report:
        return Report(**self.ask({"session": asdict(Order(root=str(root), **order))}))

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


class InstantExecutor:
    """Trains in no time, and keeps a diary of it."""

    def __init__(self, slots: int, diary: Path) -> None:
        self.slots = slots
        self._diary = diary

    def start(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def preflight(self, program: Program, log: Path, *, evidence: Evidence = NO_EVIDENCE) -> Future[Evaluation | None]:
        log.write_text("checked\n")
        return _done(None)

    def evaluate(
        self, program: Program, seed: int, log: Path, *, thorough: bool = False, holdout: bool = False, stop=None
    ) -> Future[Evaluation]:
        with self._diary.open("a") as diary:
            diary.write(f"{program.id} {seed}\n")
        log.write_text("trained\n")
        value = score(program, seed)
        outcome = Outcome.CRASHED if value is None else Outcome.OK
        return _done(Evaluation(outcome=outcome, seed=seed, score=value, train_seconds=1.0, score_seconds=0.5))


class InstantTarget:
    """A target whose programs train in no time."""

    limits = ()
    contract = NETWORK  # its rules for programs

    def __init__(self, executor: InstantExecutor) -> None:
        self._executor = executor

    def seed_program(self) -> Program:
        return SEED_PROGRAM

    def make_executor(self, make: MakeExecutor) -> InstantExecutor:
        return self._executor

    def prepare(self, say: Callable[[str], None]) -> dict[str, Any]:
        return {"kind": "cpu"}


def score(program: Program, seed: int) -> float | None:
    """Score best at LR 0.01 and DEPTH 8, with noise of the seed; some programs crash."""
    if random.Random(program.id).random() < 0.15 and program.id != SEED_PROGRAM.id:
        return None
    rate, depth = float(program.constants["LR"]), int(program.constants["DEPTH"])
    return 1.0 + abs(rate - 0.01) + abs(depth - 8) / 10 + random.Random(f"{program.id} {seed}").gauss(0, 0.001)


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


def make_session(order: Order) -> Session:
    root = Path(order.root)
    diary = root.parent / TRAINED
    tracker: Any = NullTracker
    if order.tracking_uri:

        def tracker(**given: Any) -> MlflowTracker:
            return MlflowTracker(tracking_uri=order.tracking_uri or "", close_seconds=300, **given)

    return Session(
        settings=Settings(
            name=root.name,
            strategy_name="evolution",
            seed=0,
            seed_program=SEED_PROGRAM,
            strategy=RegularisedEvolution(population_size=4, tournament_size=2),
            operator=ConstantsOperator(max_changes=2, step=0.5),
            acceptance=Confirm(seed=0),
            budget=Budget(trainings=order.trainings, hours=order.hours),
            propose_ahead=0,
            max_failures=50,
        ),
        run=RunDirectory(root),
        target=InstantTarget(InstantExecutor(order.slots, diary)),
        make_executor=LocalExecutor,
        make_tracker=tracker,
        config={
            "seed": 0,
            "from": order.source or None,
            "outputs": str(root.parent),
            "target": {"_target_": "tests.faults.driver.InstantTarget", "name": "instant"},
        },
        overrides=(),
    )


class Faults:
    """Counts the durable writes of the process, and breaks something at one of them."""

    def __init__(self, order: Order, counter: mmap.mmap) -> None:
        self._order = order
        self._counter = counter
        self._rng = random.Random(f"fault {order.at}")
        self._journal = Path(order.root) / "journal.log"
        self.writes = 0

    def install(self) -> None:
        fsync, replace = os.fsync, os.replace

        def fsync_or_break(fd: int) -> None:
            self._point(journal=Path(f"/proc/self/fd/{fd}").resolve() == self._journal.resolve())
            fsync(fd)

        def replace_or_break(source: Any, target: Any) -> None:
            self._point()
            replace(source, target)
            self._point()

        os.fsync, os.replace = fsync_or_break, replace_or_break  # type: ignore[assignment]

    def _point(self, *, journal: bool = False) -> None:
        self.writes += 1
        self._counter[:8] = self.writes.to_bytes(8, "little")
        due = 0 < self._order.at <= self.writes
        match self._order.fault:
            case "jump":
                now = self._rng.uniform(0, 4e9)
                time.time, time.time_ns = lambda: now, lambda: int(now * 1e9)
            case "refuse" if due:
                if journal:
                    self._tear()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            case "tear" if due and journal:
                self._tear()
                os.kill(os.getpid(), signal.SIGKILL)
            case "fill" if self.writes == self._order.at:
                fill(Path(self._order.disk))
            case "terminate" if self.writes == self._order.at:
                os.kill(os.getpid(), signal.SIGTERM)
        if due and self._order.fault in ("kill", "jump"):
            os.kill(os.getpid(), signal.SIGKILL)

    def _tear(self) -> None:
        """Leave a part of the last line, which is not synced yet."""
        content = self._journal.read_bytes()
        begin = content.rstrip(b"\n").rfind(b"\n") + 1
        os.truncate(self._journal, self._rng.randrange(begin, len(content)))


def fill(folder: Path) -> None:
    """Leave no byte free on the disk of a folder."""
    with contextlib.suppress(OSError), (folder / "filler").open("ab", buffering=0) as filler:
        while filler.write(bytes(1 << 20)) == 1 << 20:
            continue


def leave_out_what_is_slow() -> None:
    """Leave out the description of the machine and the picture."""
    search.session.describe_environment = lambda *_: {}
    search.views.progress.draw_progress = lambda path, *_: write_atomically(path, "a picture")


def _run(order: Order, counter: mmap.mmap, say: Callable[[str], None]) -> int:
    leave_out_what_is_slow()
    Faults(order, counter).install()
    try:
        summary = run_session(make_session(order))
    except (DiskFullError, OSError) as error:
        if isinstance(error, OSError) and not disk_is_full(error):
            raise
        say(str(error))
        return 75
    except KeyboardInterrupt as error:
        say(str(error))
        return 130
    except UserError as error:
        say(str(error))
        return 2
    say(summary.stop_reason)
    return 0 if summary.status == "finished" else 130


def _fork(order: Order) -> Report:
    if order.tracking_uri:
        from search.mlflow.store import import_mlflow

        import_mlflow()
    counter = mmap.mmap(-1, 4096)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)

            def say(text: str) -> None:
                counter[8:4096] = text.encode()[:4000].ljust(4088, b"\0")

            code = _run(order, counter, say)
        except BaseException:  # noqa: BLE001 -- the fork ends here, whatever happened
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return Report(
        exit=os.waitstatus_to_exitcode(status),
        writes=int.from_bytes(counter[:8], "little"),
        message=counter[8:].rstrip(b"\0").decode(),
    )


def _orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    """Carry out orders until there are no more."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for order in _orders():
        match order:
            case {"session": session}:
                print(json.dumps(asdict(_fork(Order(**session)))), file=replies)
            case {"fill": folder}:
                fill(Path(folder))
                print("{}", file=replies)
            case {"run": command}:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                print(json.dumps({"exit": done.returncode, "out": done.stdout, "err": done.stderr}), file=replies)


if __name__ == "__main__":
    main()
