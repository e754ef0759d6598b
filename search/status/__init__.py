"""The command that lists searches."""
