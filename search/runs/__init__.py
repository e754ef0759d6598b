"""The folder of a search: the journal, which is authoritative, and the files that are derived from it."""
