"""Failures that are the user's or the machine's, never a candidate's."""


class TargetError(Exception):
    """The evaluation cannot be done here: a missing corpus, no device, a broken installation.

    It stops a search, which can be resumed; it never becomes a candidate's outcome.
    """
