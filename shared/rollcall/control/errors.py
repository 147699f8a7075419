"""Why something cannot be done with a deployment, in one line that says what to do.

A terminal makes an exit status of the class, a console a status of HTTP. Where what to do next is
spelled differently by each of them (an option, a command, a button), the message ends before that
and `hint` names it.
"""

from typing import Literal

Hint = Literal[
    "list organisations",
    "list keys",
    "list dead letters",
    "list dead letters and organisations",
    "list refused requests",
    "erase again",
    "erase by id",
    "accept this log",
    "begin behind the record",
    "give a time",
    "give a time or read more",
    "fold from a snapshot",
    "replay from a snapshot",
    "rebuild from the beginning",
]


class ControlError(Exception):
    """The request was not carried out. The message is one line for the person who asked.

    `values`: what the hint needs to be written out, by name.
    """

    def __init__(self, message: str, *, hint: Hint | None = None, **values: object) -> None:
        super().__init__(message)
        self.hint = hint
        self.values = values


class NotPossible(ControlError):
    """The caller has to change something first: a name, a setting, a right."""


class NotNow(ControlError):
    """Not possible at the moment: something moves, does not answer or takes too long."""


class NoSuch(ControlError):
    """There is none: the answer to the question is no."""
