"""The final check: champion against baseline on fresh seeds and on the sealed holdout."""

from search.final.check import run_final

__all__ = ["run_final"]
