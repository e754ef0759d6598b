"""One of several sessions of a search, as a process: `python -m tests.shared.member ORDER`.

Everything is real except the evaluations, which are instant; after some of them the next never ends. Each training that
begins is a line of `DIARY`, which all sessions share.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import search.shared.session
from search.session import run_session
from search.shared.joining import make_share
from target.evaluation import Evaluation
from target.program import Program
from tests.faults.driver import TRAINED, InstantExecutor, InstantTarget, Order, leave_out_what_is_slow, make_session


class HangingExecutor(InstantExecutor):
    """An executor that trains so many programs, then hangs."""

    def __init__(self, slots: int, diary: Path, hang_after: int | None) -> None:
        super().__init__(slots, diary)
        self._left = hang_after

    def evaluate(self, program: Program, seed: int, log: Path, **given: Any) -> Future[Evaluation]:
        done = super().evaluate(program, seed, log, **given)
        if self._left is None or self._left > 0:
            self._left = None if self._left is None else self._left - 1
            return done
        return Future()


def main() -> None:
    """Run the session that the argument describes; write the summary."""
    order = json.loads(sys.argv[1])
    leave_out_what_is_slow()
    search.shared.session._HEARTBEAT_SECONDS = 0.05  # type: ignore[misc]  # many in the time after which it is dead
    root = Path(order["root"])
    session = make_session(Order(root=str(root), trainings=order["trainings"], slots=1))
    diary = root.parents[1] / TRAINED
    session = dataclasses.replace(
        session,
        settings=dataclasses.replace(session.settings, seed=0),
        config={**session.config, **order.get("config", {})},
        target=InstantTarget(HangingExecutor(1, diary, order.get("hang_after"))),
        share=make_share(order["url"], order.get("takeover_seconds", 600)),
    )
    sys.stdout.write(f"{json.dumps(run_session(session).to_json())}\n")


if __name__ == "__main__":
    main()
