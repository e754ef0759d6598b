"""The display of a search: console, pictures and pages. Nothing here makes decisions."""
