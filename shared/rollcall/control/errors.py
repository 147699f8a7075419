"""Why something cannot be done with a deployment, in one line that says what to do.

A terminal makes an exit status of the kind, the console a status of HTTP.
"""


class ControlError(Exception):
    """It was not done. The message is one line for the person who asked."""


class NotPossible(ControlError):
    """The caller has to change something first: a name, a setting, a right."""


class NotNow(ControlError):
    """The same may be possible later: something moves, is away or takes too long."""


class NoSuch(ControlError):
    """There is none: the answer to the question is no."""
