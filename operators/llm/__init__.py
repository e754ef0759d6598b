"""Language models: which there are, how each is asked, and whose fault a failure is."""

from operators.llm.model import LanguageModel, open_model, usable

__all__ = ["LanguageModel", "open_model", "usable"]
