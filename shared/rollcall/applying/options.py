"""How a batch is applied, and in which thread it is calculated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rollcall.directory.fold import NONE, Refusals
from rollcall.directory.state import State
from rollcall.postgres import busy

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

P = ParamSpec("P")
T = TypeVar("T")


def _do_nothing() -> None:
    """The default of `alive`: does nothing."""


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a batch is applied.

    - `limit`: the number of dead letters that halts the partition; None for no limit.
    - `known`: event id → error of events that are dead already; nothing is loaded for them.
    - `parks`: if an event in it dies, its organisation is parked behind it.
    - `in_thread`: the calculation is long enough to block the event loop.
    - `broker_ms`: the broker's clock shows this time or later, epoch milliseconds.
    - `alive`: called after each step of a long batch.
    - `states`: what the batch touches, where it is loaded already; folded once.
    - `in_few_calls`: changes and audit are written in one call where they fit. The call writes the
      live directory, so a scratch does without it.
    """

    limit: int | None
    known: Refusals = field(default_factory=lambda: NONE)
    parks: frozenset[str] = frozenset()
    in_thread: bool = False
    broker_ms: int | None = None
    alive: Callable[[], None] = _do_nothing
    states: Mapping[str, State] | None = None
    in_few_calls: bool = False


async def calculate(
    connection: "Connection",
    options: ApplyOptions,
    make: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    if options.in_thread:
        return await busy.calculated(connection, options.alive, make, *args, **kwargs)
    return make(*args, **kwargs)
