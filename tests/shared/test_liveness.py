from __future__ import annotations

from search.shared.liveness import Liveness


def test_a_session_is_dead_when_its_count_has_not_grown_for_the_time() -> None:
    liveness = Liveness(60)

    assert liveness.dead({1: 5, 2: 9}, now=1000) == set()
    assert liveness.dead({1: 6, 2: 9}, now=1059) == set()
    assert liveness.dead({1: 6, 2: 9}, now=1061) == {2}
    assert liveness.dead({1: 6}, now=1100) == set()
    assert liveness.dead({1: 6}, now=1120) == {1}


def test_no_session_is_dead_because_the_database_was_away() -> None:
    liveness = Liveness(60)
    liveness.dead({1: 5}, now=1000)

    liveness.forget()

    assert liveness.dead({1: 5}, now=5000) == set()
    assert liveness.dead({1: 6}, now=5061) == set()
