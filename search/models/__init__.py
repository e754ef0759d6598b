"""The language models of a search: live and recorded, or replayed from another search."""

from search.models.models import Models

__all__ = ["Models"]
