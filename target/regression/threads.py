"""One thread for linear algebra: for small matrices more threads only wait, and take the cores of trainings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread in the block.

    SciPy has a BLAS of its own besides NumPy's. A BLAS is limited only if it is loaded when the block begins.
    """
    import scipy.linalg  # noqa: F401 -- loads it
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
