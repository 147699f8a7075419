"""When each key was last used: recorded in Postgres at most once a minute per key, in batches."""

import asyncio
from datetime import datetime, timedelta

from rollcall.observability.logging import get_logger
from rollcall.postgres.pool import Database
from rollcall.postgres.tenancy import touch_keys
from rollcall.runtime.errors import Unavailable

AT_MOST_EVERY = timedelta(minutes=1)
FLUSH_EVERY_S = 2.0
MAX_REMEMBERED = 100_000

log = get_logger()


class KeyUse:
    """Remembers uses and writes them away; a use that cannot be written is tried again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recorded: dict[str, datetime] = {}
        self._due: dict[str, datetime] = {}

    def note(self, public_id: str, at: datetime) -> None:
        """Note a use of the key. Cheap: a key becomes due at most once a minute."""
        recorded = self._recorded.get(public_id)
        if recorded is not None and at - recorded < AT_MOST_EVERY:
            return
        if len(self._recorded) >= MAX_REMEMBERED:
            self._recorded.clear()
        self._recorded[public_id] = at
        self._due[public_id] = at

    async def run(self) -> None:
        """Write what is due every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what is due; Postgres being away is logged, and the uses stay due."""
        if not self._due:
            return
        due, self._due = self._due, {}
        try:
            async with self._database.connection() as connection:
                await touch_keys(connection, due)
        except Unavailable as error:
            log.debug("postgres.unavailable", what=error.what)
            self._due = {**due, **self._due}
