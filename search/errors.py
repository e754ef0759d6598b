"""Why a search ends other than by its budget."""


class UserError(Exception):
    """The input is wrong: nothing was started or lost; the message says what to do."""


class SeedProgramError(Exception):
    """The seed program does not score, so there is nothing to search from."""
