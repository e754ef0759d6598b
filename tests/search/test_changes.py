"""What is told of a resumed search with another configuration: what the user changed, not what follows from it."""

from __future__ import annotations

import pytest

from search.changes import changes, origins_of
from search.composed import flatten
from search.construct import compose_search, plain_config
from search.resuming import differing

MODEL = ("operator=patch", "llm.model=a/b")
AGENT = ("operator=agent", "agent.command=true")


def told(before: tuple[str, ...], now: tuple[str, ...], *, known: bool = True) -> list[str]:
    one, other = (compose_search(("name=s", *settings)) for settings in (before, now))
    old, new = (plain_config(each.config) for each in (one, other))
    origins = origins_of(other)
    keys = differing(old, new, origins=origins, overrides=other.overrides)
    return changes(keys, flatten(old), flatten(new), origins=origins, overrides=one.overrides if known else None)


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        ((), ("seed=2",), ["seed was 0, is 2"]),
        (("acceptance.seed=5",), (), ["acceptance.seed was 5, is 0"]),
        (MODEL, (*MODEL, "prompt.failures=1"), ["prompt.failures was 6, is 1"]),
        (MODEL, (*MODEL, "prompt=terse"), ["prompt was default, is terse"]),
        (("strategy=beam",), (), ["strategy was beam, is hybrid"]),
        ((), ("strategy=beam", "seed=1"), ["strategy was hybrid, is beam", "seed was 0, is 1"]),
        (("operator=mix", "gates.source_lines=9"), ("operator=mix",), ["gates.source_lines was 9.0, is None"]),
        (AGENT, (*AGENT, "agent.outage_minutes=5", "agent.environment=[PATH]"), []),
        (AGENT, (*AGENT, "agent.seconds=5"), ["agent.seconds was 600.0, is 5.0"]),
    ],
)
def test_what_follows_from_a_changed_setting_is_not_told(
    before: tuple[str, ...], now: tuple[str, ...], changed: list[str]
) -> None:
    assert told(before, now) == changed


def test_without_the_earlier_settings_a_choice_is_told_by_its_values() -> None:
    found = told(("strategy=beam",), (), known=False)

    assert "strategy._target_ was 'search.strategies.beam.Beam', is 'search.strategies.hybrid.Hybrid'" in found
