"""Prompts: the information for a model about one proposal, collected as facts and then rendered by templates."""

from operators.prompts.prompt import Prompt

__all__ = ["Prompt"]
