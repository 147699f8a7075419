"""How a batch is applied, and where what it needs is calculated."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rollcall.directory.fold import NONE, Refusals
from rollcall.postgres import busy

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

P = ParamSpec("P")
T = TypeVar("T")


def _nobody_watches() -> None:
    """Nobody wants to know that a batch goes on."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a batch is applied.

    `limit`: so many dead letters are too many, None: no number is. Events in `known` are dead
    whatever would be decided of them; nothing is loaded for them. Behind those in `parks` their
    organisation is parked if they die. `in_thread`: what is calculated would hold the event loop.
    `broker_ms`: the broker's time is this or later, epoch milliseconds. `alive` is called whenever
    a step of a long batch is done.
    """

    limit: int | None
    known: Refusals = field(default_factory=lambda: NONE)
    parks: frozenset[str] = frozenset()
    in_thread: bool = False
    broker_ms: int | None = None
    alive: Callable[[], None] = _nobody_watches


async def calculate(
    connection: "Connection",
    manner: Manner,
    make: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    if manner.in_thread:
        return await busy.calculated(connection, manner.alive, make, *args, **kwargs)
    return make(*args, **kwargs)
