"""Prompts: what a model is told about one proposal, as facts first and then as text from templates."""

from operators.prompts.prompt import Prompt

__all__ = ["Prompt"]
