"""Strategies around a mutation operator, the loop that drives them, and its ledger."""
