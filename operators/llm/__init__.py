"""Language models: the configured ones, how to ask each, and which party caused a failure."""

from operators.llm.model import LanguageModel, open_model, usable

__all__ = ["LanguageModel", "open_model", "usable"]
