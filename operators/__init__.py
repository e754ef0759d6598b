"""Mutation operators: from a proposal and its parents to the next program."""
