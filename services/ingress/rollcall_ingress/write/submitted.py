"""What a submitted request has come to, and how long each part of that may take."""

from dataclasses import dataclass

from rollcall.events.reply import Reply
from rollcall.events.request import Request


@dataclass(frozen=True, slots=True)
class Submitted:
    """A published request; `reply` is None while it is pending.

    `is_applied`: the reply is the provisioner's. Otherwise it is foretold from the log, and what it
    says is not in Postgres yet.

    With a precondition, None means that its outcome is not known: Kafka has accepted it, and its
    sender is not answered with success.
    """

    request: Request
    reply: Reply | None
    is_applied: bool = True


@dataclass(frozen=True, slots=True)
class Budgets:
    """Seconds: for the broker to append, and for the reply."""

    accept_s: float
    reply_s: float
