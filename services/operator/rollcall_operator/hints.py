"""What control's errors leave to the terminal: the command or option that helps, word by word."""

from collections.abc import Mapping
from typing import Final

from rollcall.control.errors import ControlError, Hint

HINTS: Final[Mapping[Hint, str]] = {
    "list organisations": "; `rollcall org list` shows all",
    "list keys": "; `rollcall key list` shows its keys",
    "list dead letters": "; `rollcall dead list --all` shows all",
    "list dead letters and organisations": "; `rollcall dead list --all` and `rollcall org list` "
    "show them",
    "list refused requests": "; `rollcall refused list` shows them",
    "erase again": "; run `rollcall erase {organisation_id} {member_id}` to end it",
    "erase by id": ": `rollcall erase ORG ID`",
    "accept this log": " with --new-log",
    "begin behind the record": ": --new-log --at {begin_at}",
    "give a time": " with --since",
    "give a time or read more": ": name a later time with --since, or read more with --scan",
    "fold from a snapshot": " with --from",
    "replay from a snapshot": " with --from-snapshot",
    "rebuild from the beginning": " (--restart)",
}
"""Hint → what is written behind the message."""


def line_of(error: ControlError) -> str:
    """The message with its hint."""
    if error.hint is None:
        return str(error)
    return str(error) + HINTS[error.hint].format(**error.values)
