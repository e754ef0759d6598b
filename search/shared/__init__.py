"""Several sessions, on several hosts, work on one search: its ledger is in a PostgreSQL database."""
