"""A search that is stuck: `python -m tests.faults.stuck ROOT WHERE`, where it says "here", or "closing", on stderr."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import Any

from operators.population import Population
from operators.trial import Mutation, Proposal
from search.session import Session, run_session
from search.tracker import NullTracker
from tests.faults.driver import InstantExecutor, InstantTarget, Order, leave_out_what_is_slow, make_session


def _wait_for_ever(word: str = "here") -> None:
    sys.stderr.write(f"{word}\n")
    sys.stderr.flush()
    threading.Event().wait()


class StuckOperator:
    """Waits for a model that does not answer."""

    name = "stuck"

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        _wait_for_ever()
        raise AssertionError


class StuckExecutor(InstantExecutor):
    """Waits for workers that do not start."""

    def start(self) -> None:
        _wait_for_ever()


class StuckTracker(NullTracker):
    """Waits for a server that does not answer."""

    def close(self) -> str | None:
        _wait_for_ever("closing")
        return None


def _stuck(session: Session, where: str) -> Session:
    diary = session.run.root.parent / "trained.txt"
    changes: dict[str, dict[str, Any]] = {
        "proposing": {"settings": replace(session.settings, operator=StuckOperator())},
        "starting": {"target": InstantTarget(StuckExecutor(2, diary))},
        "closing": {"make_tracker": StuckTracker},
    }
    for each in where.split(" and "):
        session = replace(session, **changes[each])
    return session


def main() -> None:
    """Run until a signal comes; leave as `python -m search` does."""
    root, where = sys.argv[1:]
    leave_out_what_is_slow()
    try:
        summary = run_session(_stuck(make_session(Order(root=root)), where))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if summary.status == "finished" else 130)


if __name__ == "__main__":
    main()
