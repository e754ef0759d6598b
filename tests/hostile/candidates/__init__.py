"""Every candidate of the table: what it is, what it tries, and what has to come of it."""

from tests.hostile.candidates import clocks, fakes, honest, leaks, litter, memories

HOSTILE = (*fakes.CANDIDATES, *clocks.CANDIDATES, *leaks.CANDIDATES, *memories.CANDIDATES, *litter.CANDIDATES)
HONEST = honest.CANDIDATES
