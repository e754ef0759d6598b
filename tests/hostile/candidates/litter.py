# ruff: noqa: E501 -- one candidate a row, as in a table
"""Candidates that leave behind what is hard to look through or to remove, or end in odd ways. It is gone, and the next trial begins."""

from __future__ import annotations

from tests.hostile.candidates.base import CRASHED, Candidate
from tests.target.candidates import in_main

_DIG = "here = os.open('.', os.O_RDONLY)\nos.chdir('tmp')\nfor _ in range({levels}): os.mkdir({name}, {mode}); os.chdir({name})\nos.fchdir(here)"

DEEP = in_main(_DIG.format(levels=1_500, name="'d'", mode=0o777))
DEEP_LONG_NAMES = in_main(_DIG.format(levels=1_200, name="'d' * 255", mode=0o777))
CLOSED = in_main("for mode in (0, 0o200, 0o500): os.mkdir(f'tmp/{mode}', mode)")
DEEP_AND_BIG = in_main(
    _DIG.format(levels=100, name="'d' * 255", mode=0o777).replace(
        "os.fchdir(here)",
        "files = [open(str(n), 'wb') for n in range(10)]\nfor file in files:\n    for _ in range(100): file.write(bytes(1_000_000))\ntime.sleep(9)\nos.fchdir(here)",
    )
)
DIES_OF_A_REAL_TIME_SIGNAL = in_main("os.kill(os.getpid(), 40)")
DIES_WITH_A_CORE = in_main("os.abort()")
EXITS_STRANGELY = in_main("os._exit(255)")

CANDIDATES = (
    Candidate(name="deep directories", tries="leave 1,500 directories, one in another", source=DEEP),
    Candidate(name="deep, long names", tries="leave a path of 300,000 characters", source=DEEP_LONG_NAMES),
    Candidate(name="closed directories", tries="leave directories without permission to enter them", source=CLOSED),
    Candidate(name="deep and big", tries="hide a gigabyte deeper than paths go", source=DEEP_AND_BIG, outcome=CRASHED, said="too much disk"),
    Candidate(name="signal 40", tries="die of a signal that has no name", source=DIES_OF_A_REAL_TIME_SIGNAL, outcome=CRASHED, said="ended by signal 40"),
    Candidate(name="core", tries="die with a core dump", source=DIES_WITH_A_CORE, outcome=CRASHED, said="ended by SIGABRT"),
    Candidate(name="exit 255", tries="leave with an odd exit status", source=EXITS_STRANGELY, outcome=CRASHED, said="exit code 255"),
)  # fmt: skip
