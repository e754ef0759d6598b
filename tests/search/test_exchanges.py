from __future__ import annotations

from pathlib import Path

import pytest

from operators.chat import Exchange, Message, Reply
from operators.trial import Attempt, Mutation, Proposal, Status
from search.errors import UserError
from search.runs.exchanges import ExchangeStore
from search.runs.ledger import Ledger
from search.runs.reading import Elapsed, read_population
from search.runs.rundir import RunDirectory
from search.tracking.records import trial_record
from target.program import Program


def make_exchange(text: str = "an answer, with \ud800 and ü\r\n", question: str = "What?") -> Exchange:
    reply = Reply(
        text=text,
        model="openai/scripted",
        finish_reason="stop",
        prompt_tokens=7,
        cached_tokens=3,
        completion_tokens=5,
        cost_usd=0.125,
        seconds=1.5,
    )
    return Exchange(messages=(Message(role="user", text=question),), reply=reply)


@pytest.fixture
def store(tmp_path: Path) -> ExchangeStore:
    return ExchangeStore(tmp_path / "exchanges")


def test_what_was_kept_is_found_by_seed_and_attempt(store: ExchangeStore) -> None:
    exchanges = [make_exchange(f"answer {number}") for number in range(3)]
    store.keep_all(2**32 - 1, exchanges)
    store.keep(0, 0, make_exchange())

    assert store.read(2**32 - 1, 3) == tuple(exchanges)
    assert store.find(0, 0) == make_exchange()
    assert store.find(0, 1) is None


def test_the_first_record_of_a_request_stays(store: ExchangeStore) -> None:
    store.keep(5, 0, make_exchange("first"))

    assert store.keep(5, 0, make_exchange("second")).reply.text == "first"


def test_keys_are_not_written_down(store: ExchangeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "abcdefgh12345")
    kept = store.keep(0, 0, make_exchange("it is abcdefgh12345", question="sk-proj-0123456789abcdef?"))

    written = next(store.folder.iterdir()).read_text()
    assert "abcdefgh12345" not in written
    assert "0123456789abcdef" not in written
    assert store.find(0, 0) == kept


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"messages": [], "reply": {}}', b"\xff"])
def test_a_damaged_record_is_refused_by_name(store: ExchangeStore, damage: bytes) -> None:
    store.keep(3, 1, make_exchange())
    (store.folder / "3-1.json").write_bytes(damage)

    with pytest.raises(UserError, match=r"3-1\.json: not a record of a request"):
        store.find(3, 1)


def spend(run: RunDirectory, spent: Attempt) -> Ledger:
    ledger = Ledger(run)
    ledger.propose(Proposal(parents=(), seed=0))
    ledger.build(0, Mutation(program=Program("A = 1\n"), operator="seed", description="d"))
    ledger.propose(Proposal(parents=(0,), seed=9))
    if isinstance(spent, Mutation):
        ledger.build(1, spent)
    else:
        ledger.decide(
            1,
            Status.NOT_BUILT,
            detail="no code",
            elapsed=Elapsed(),
            failure=spent,
        )
    return ledger


@pytest.mark.parametrize("built", [True, False])
def test_a_trial_comes_back_from_the_ledger_with_what_was_said_about_it(tmp_path: Path, built: bool) -> None:
    run, exchanges = RunDirectory(tmp_path), (make_exchange("one"), make_exchange("two"))
    program = Program("A = 2\n")
    ledger = spend(
        run,
        Mutation(program=program, operator="x", description="d", cost_usd=0.25, exchanges=exchanges)
        if built
        else Attempt(operator="x", cost_usd=0.25, exchanges=exchanges),
    )

    assert ledger.population.trials[1].exchanges == exchanges
    assert read_population(run) == ledger.population
    run.write_trial(ledger.population.trials[1], ledger.population)
    assert (run.trial(1) / "prompt.md").read_text().count("What?") == 2
    assert "two" in (run.trial(1) / "reply.md").read_text()
    metrics = trial_record(ledger.population.trials[1], ledger.population).metrics
    assert {name: metrics[name] for name in metrics if name.startswith("llm_")} == {
        "llm_requests": 2,
        "llm_prompt_tokens": 14,
        "llm_cached_tokens": 6,
        "llm_completion_tokens": 10,
        "llm_seconds": 3,
    }
    next(run.exchanges.glob("9-1.json")).unlink()
    with pytest.raises(UserError, match=r"9-1\.json is missing"):
        read_population(run)
