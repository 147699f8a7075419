"""A calculation in a thread in the middle of a transaction, whose session is kept alive meanwhile.

Postgres ends a session that is idle in a transaction for some seconds, which frees what a frozen
process held. A calculation may take longer and is no reason for that; so while a thread calculates,
the event loop sends a statement now and then. A process that stands still sends none.
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
"""Far below `IDLE_IN_TRANSACTION_S`, also on a machine that is busy."""

_SQL = queries.load("busy")
_STILL_HERE = _SQL["still_here"]


async def calculated(
    connection: "Connection",
    alive: Callable[[], None],
    make: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """What `make` returns, from a thread; `alive` is called with every sign of life.

    Raises what `make` raises, or what the connection does: the latter only after the thread has
    ended, so that a next attempt does not calculate beside it.
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
