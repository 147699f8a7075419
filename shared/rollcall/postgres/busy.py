"""A calculation in a thread in the middle of a transaction, which keeps the session alive.

Postgres ends a session that is idle in a transaction for some seconds, to free what a frozen
process holds. A calculation may take longer, so while a thread calculates, the event loop sends a
statement every few seconds. A frozen process sends none.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from rollcall.postgres import queries

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

P = ParamSpec("P")
T = TypeVar("T")
SIGN_OF_LIFE_S: Final = 2.0
"""Far below `IDLE_IN_TRANSACTION_S`, even on a busy machine."""

_SQL = queries.load("busy")
_STILL_HERE = _SQL["still_here"]


async def calculated(
    connection: "Connection",
    alive: Callable[[], None],
    make: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """The result of `make`, run in a thread; `alive` is called with every sign of life.

    Raises what `make` raises, or what the connection raises. The latter is raised only after the
    thread has ended, so that the next attempt does not calculate beside it.
    """
    making = asyncio.ensure_future(asyncio.to_thread(make, *args, **kwargs))
    while not making.done():
        done, _ = await asyncio.wait([making], timeout=SIGN_OF_LIFE_S)
        if done:
            break
        alive()
        try:
            await connection.execute(_STILL_HERE)
        except Exception:
            await asyncio.wait([making])
            raise
    return making.result()
