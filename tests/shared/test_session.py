"""Two sessions of one search, on a real PostgreSQL server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from operators.chat import Exchange, Message, Reply
from operators.trial import Attempt, Mutation, Proposal, Status
from search.errors import StorageError, UserError
from search.runs.ledger import Ledger
from search.runs.reading import Elapsed, read_population
from search.runs.rundir import RunDirectory
from search.shared import patience
from search.shared.database import Database, Unreachable, check_url
from search.shared.joining import make_share, require_same_conditions
from search.shared.session import SharedSession
from target.evaluation import Evaluation, Outcome
from target.program import Program
from tests.shared.postgres import Postgres

PROGRAM = Program("LR = 0.1\n")
NEVER = 1e6


class Host:
    """A session in a folder of its own."""

    def __init__(self, url: str, root: Path, name: str = "x", **settings: Any) -> None:
        self.run = RunDirectory(root)
        self.run.create()
        self.said: list[str] = []
        given = {"takeover_seconds": NEVER, "say": self.said.append, **settings}
        self.share = SharedSession(url, run=self.run, name=name, **given)
        self.ledger = Ledger(self.run, self.share)

    def propose(self, seed: int = 0) -> int:
        with self.ledger.turn():
            number = self.ledger.propose(Proposal(parents=(), seed=seed))
            self.share.claim((number, None))
        return number

    def hear(self) -> tuple[int, ...]:
        with self.ledger.turn() as changed:
            return changed

    def lines(self) -> list[bytes]:
        return self.run.journal.read_bytes().splitlines()

    def die(self) -> None:
        """Give no sign of life any more, and clean nothing up."""
        self.share._heartbeat.stop()  # type: ignore[union-attr]


Join = Callable[..., Host]


@pytest.fixture
def join(url: str, tmp_path: Path) -> Iterator[Join]:
    with contextlib.ExitStack() as stack:

        def make(folder: str, **settings: Any) -> Host:
            host = Host(url, tmp_path / folder, **settings)
            stack.callback(host.share.close)
            return host

        yield make


def test_each_session_has_the_trials_of_the_other_and_the_same_journal(join: Join) -> None:
    one, two = join("a"), join("b")
    number = one.propose()
    with one.ledger.turn():
        one.ledger.build(number, Mutation(program=PROGRAM, operator="seed", description="first"))
        one.ledger.evaluate(number, Evaluation(outcome=Outcome.OK, seed=3, score=1.5, train_seconds=2.0))

    assert two.hear() == (0,)
    assert two.propose(seed=7) == 1
    with two.ledger.turn():
        two.ledger.decide(0, Status.BASELINE, detail="", elapsed=Elapsed(4.0, 2.0))
        two.ledger.evaluate(0, Evaluation(outcome=Outcome.OK, seed=4, score=1.6, train_seconds=2.0))

    assert one.hear() == (0, 1)
    assert one.hear() == ()
    assert one.ledger.population == two.ledger.population == read_population(one.run)
    assert one.ledger.population.trials[0].status is Status.BASELINE
    assert one.lines() == two.lines()


def test_a_session_that_joins_later_has_everything(join: Join) -> None:
    one = join("a")
    for seed in range(3):
        one.propose(seed)

    two = join("b")

    assert two.ledger.population == one.ledger.population
    assert two.lines() == one.lines()
    assert set(two.share.of_others) == {(0, None), (1, None), (2, None)}
    assert two.share.orphans(range(4)) == [3]


def test_requests_to_models_reach_the_other_session(join: Join) -> None:
    one, two = join("a"), join("b")
    reply = Reply(
        text="no", model="m", finish_reason="stop", prompt_tokens=3, completion_tokens=1, cost_usd=0.1, seconds=1.0
    )
    exchange = Exchange(messages=(Message(role="user", text="improve \ud83d it"),), reply=reply)
    number = one.propose(seed=5)
    with one.ledger.turn():
        spent = Attempt(operator="patch", cost_usd=0.1, exchanges=(exchange,))
        one.ledger.decide(number, Status.NOT_BUILT, detail="no", elapsed=Elapsed(), failure=spent)

    two.hear()

    assert two.ledger.population == one.ledger.population
    assert two.ledger.population.trials[0].exchanges[0].reply.text == "no"


def test_only_one_session_has_its_turn(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.shared.database._LOCK_SECONDS", 0.05)
    monkeypatch.setattr(patience, "_RETRY_SECONDS", 0.0)
    one, two = join("a"), join("b")
    waits = threading.Event()
    two.share.tell(lambda text: waits.set())
    order = []

    def other() -> None:
        with two.ledger.turn():
            order.append("two")

    with one.ledger.turn():
        thread = threading.Thread(target=other)
        thread.start()
        assert waits.wait(300)
        order.append("one")
    thread.join()

    assert order == ["one", "two"]


def test_what_a_session_took_on_is_left_to_others_when_it_ends(join: Join) -> None:
    one, two = join("a"), join("b")
    one.propose()
    two.hear()
    assert two.share.orphans([0]) == []

    one.share.close()
    two.hear()

    assert two.share.orphans([0]) == [0]


def test_a_session_that_was_killed_is_forgotten_when_its_folder_is_used_again(join: Join) -> None:
    killed = join("a")
    killed.propose()
    killed.die()

    again = join("a")

    assert again.share.orphans([0]) == [0]


def test_others_take_over_from_a_session_without_a_heartbeat(join: Join) -> None:
    dead, other = join("a"), join("b", takeover_seconds=0.01)
    dead.propose()
    dead.die()
    other.hear()

    while other.share.orphans([0]) != [0]:
        other.hear()
    assert any("taking over" in line for line in other.said)
    other.share.claim((0, None))

    dead.hear()  # it was not dead, only cut off
    assert not dead.share.holds((0, None))
    assert "took this one for dead" in dead.said[-1]
    assert dead.propose() == 1


def test_a_live_session_renews_its_heartbeat(join: Join) -> None:
    live, other = join("a", takeover_seconds=0.06), join("b")
    before = beats(other)
    while beats(other) == before:
        assert live.said == []


def beats(host: Host) -> list[tuple[Any, ...]]:
    return host.share._database.rows("SELECT id, beats FROM graft_sessions ORDER BY id")


def test_a_database_that_goes_away_and_comes_back_loses_nothing(
    join: Join, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_RETRY_SECONDS", 0.01)
    one, two = join("a"), join("b")
    one.propose()
    told = threading.Event()
    one.share.tell(lambda text: (one.said.append(text), told.set()))  # type: ignore[func-returns-value]
    server.stop()
    thread = threading.Thread(target=one.propose, args=(1,))
    thread.start()
    assert told.wait(300)
    server.start()
    thread.join()
    two.propose(2)
    one.hear()

    assert [trial.proposal.seed for trial in one.ledger.population.trials] == [0, 1, 2]
    assert one.lines() == two.lines()
    assert "waits for the database" in one.said[0]
    assert one.said[-1] == "the database answers again"


def test_a_user_who_interrupts_does_not_wait_for_the_database(join: Join, server: Postgres) -> None:
    one = join("a")
    one.share.tell(lambda text: one.share.interrupt())
    server.stop()
    try:
        with pytest.raises(StorageError, match="has not answered"):
            one.propose()
    finally:
        server.start()


def test_a_lost_connection_in_the_middle_of_a_turn_loses_nothing(join: Join, server: Postgres, url: str) -> None:
    one = join("a")
    with one.ledger.turn():
        server.cut(url)
        one.ledger.propose(Proposal(parents=(), seed=1))
        server.cut(url)
        one.share.claim((0, None))

    two = join("b")
    assert two.ledger.population == one.ledger.population
    assert list(two.share.of_others) == [(0, None)]


def test_a_turn_that_another_session_had_meanwhile_cannot_be_finished(join: Join, server: Postgres, url: str) -> None:
    one, two = join("a"), join("b")
    with pytest.raises(StorageError, match="another session had the next one"), one.ledger.turn():
        server.cut(url)
        two.propose()
        one.ledger.propose(Proposal(parents=(), seed=1))

    again = join("a")
    assert again.ledger.population == two.ledger.population
    assert len(again.ledger.population.trials) == 1


def test_a_line_whose_receipt_is_lost_is_not_written_twice(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_RETRY_SECONDS", 0.0)
    one = join("a")
    write, failed = Database.write, list[str]()

    def write_and_fail(self: Database, statement: str, *rows: Any) -> None:
        write(self, statement, *rows)
        if "graft_lines" in statement and not failed:
            failed.append(statement)
            raise Unreachable("the connection was lost")

    monkeypatch.setattr(Database, "write", write_and_fail)
    one.propose()

    assert failed
    assert join("b").lines() == one.lines()
    assert len(one.ledger.population.trials) == 1


def test_a_copy_that_lacks_lines_is_brought_up_to_date(join: Join) -> None:
    one = join("a")
    one.propose()
    one.propose(1)
    whole = one.run.journal.read_bytes()
    one.die()
    one.run.journal.write_bytes(whole[:-30])  # killed in the middle of writing the copy

    assert join("a").run.journal.read_bytes() == whole


def test_a_folder_with_another_search_is_refused(join: Join, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "own")
    run.create()
    Ledger(run).propose(Proposal(parents=(), seed=0))
    join("a").propose()

    with pytest.raises(UserError, match="holds another search than the database has under 'x'"):
        join("own")


def test_searches_of_different_names_are_independent(join: Join) -> None:
    one, other = join("a"), join("b", name="y")
    one.propose()

    assert other.hear() == ()
    assert other.propose(3) == 0


def test_the_first_session_decides_what_must_be_equal(join: Join) -> None:
    one, two = join("a"), join("b")
    target = {"name": "tiny", "train_seconds": 10}
    machine = {"versions": {"torch": "2.13.0"}, "device": {"kind": "cpu", "model": "a"}}
    require_same_conditions(one.share, target, machine)
    require_same_conditions(two.share, target, machine)

    with pytest.raises(UserError, match=r"device.model was 'a', is 'b'.*could not be compared"):
        require_same_conditions(two.share, target, {**machine, "device": {"kind": "cpu", "model": "b"}})
    assert two.share.require_same("configuration", {"seed": 1}) == {"seed": 1}
    assert one.share.require_same("configuration", {"seed": 2}) == {"seed": 1}


@pytest.mark.parametrize("given", ["sqlite:///x.db", "postgresql://u:geheim@h/d?nosuch=1", "outputs"])
def test_text_that_is_no_url_is_refused_without_showing_its_password(given: str) -> None:
    with pytest.raises(UserError, match="postgresql://HOST/DATABASE") as error:
        check_url(given)
    assert "geheim" not in str(error.value)


def test_a_database_that_cannot_be_reached_is_refused_at_the_start(server: Postgres, tmp_path: Path) -> None:
    url = server.url("nosuch").replace("graft@", "graft:geheim@")
    with pytest.raises(UserError, match=r'cannot be reached: .*"nosuch" does not exist') as error:
        Host(url, tmp_path)
    assert "geheim" not in str(error.value)


def test_a_database_without_the_right_to_write_is_refused(server: Postgres, url: str, tmp_path: Path) -> None:
    with contextlib.suppress(Exception):
        server.execute("CREATE ROLE reader LOGIN")
    Host(url, tmp_path / "a").share.close()
    with pytest.raises(UserError, match=r"refuses: permission denied.*may create tables and write"):
        Host(url.replace("graft@", "reader@"), tmp_path / "b")


def test_a_database_that_is_read_only_is_refused(server: Postgres, url: str, tmp_path: Path) -> None:
    server.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
    with pytest.raises(UserError, match="read-only transaction"):
        Host(url, tmp_path)


def test_tables_of_another_version_are_refused(server: Postgres, url: str, tmp_path: Path) -> None:
    Host(url, tmp_path / "a").share.close()
    server.execute("UPDATE graft_schema SET version = 99", url.rpartition("/")[2])
    with pytest.raises(UserError, match=r"another version of Graft \(99, this one needs 1\)"):
        Host(url, tmp_path / "b")


def test_settings_that_do_not_fit_are_refused() -> None:
    assert make_share(None, 60) is None
    with pytest.raises(UserError, match="takeover_seconds must be positive, got 0"):
        make_share("postgresql://u@h/d", 0)
