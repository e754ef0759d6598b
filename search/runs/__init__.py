"""The folder of a search: the journal, which is the truth, and the files that are written from it."""
