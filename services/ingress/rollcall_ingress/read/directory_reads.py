"""Reads of the directory in Postgres, one organisation at most a quarter of the connections.

What no index serves reads all documents of the organisation, so an organisation has one such read
at a time. A caller waits for its turn, and for a free place, for as long as a statement may take
each; then it is answered 503.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rollcall.events.request import Endpoint
from rollcall.postgres import directory_search
from rollcall.postgres.directory_search import Resource, Search
from rollcall.postgres.pool import POSTGRES, Database
from rollcall.runtime.errors import Unavailable
from rollcall.scim.page import Page

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

RETRY_AFTER_S = 2.0
STATEMENT_TIMEOUT_S = 2.0
"""Seconds that a read may take in Postgres, and may wait for a connection.

A look-up takes milliseconds. What takes longer holds one of few connections that others wait for.
"""


class DirectoryReads:
    """The reads that SCIM needs; each raises Unavailable where Postgres is away or slow."""

    def __init__(self, database: Database, *, pool_size: int, wait_s: float) -> None:
        self._database = database
        self._slots = _Slots(max(1, pool_size // 4), wait_s)
        self._turns = _Slots(1, wait_s)

    async def find(
        self, endpoint: Endpoint, organisation_id: str, resource_id: str, *, with_related: bool
    ) -> Resource | None:
        """The resource of this id, or None."""
        async with self.connection(organisation_id) as connection:
            return await directory_search.find(
                connection, endpoint, organisation_id, resource_id, with_related=with_related
            )

    async def search(
        self,
        endpoint: Endpoint,
        organisation_id: str,
        search: Search,
        page: Page,
        *,
        with_related: bool,
    ) -> tuple[int, list[Resource]]:
        """How many resources match, and one page of them."""
        async with (
            self._turn(organisation_id, search),
            self.connection(organisation_id) as connection,
        ):
            return await directory_search.search(
                connection, endpoint, organisation_id, search, page, with_related=with_related
            )

    @asynccontextmanager
    async def connection(self, organisation_id: str) -> "AsyncIterator[Connection]":
        """A connection for one read of the organisation, within its share of the pool."""
        async with self._slots.taken(organisation_id), self._database.connection() as connection:
            yield connection

    @asynccontextmanager
    async def _turn(self, organisation_id: str, search: Search) -> AsyncIterator[None]:
        """Wait for the turn of a read that no index serves; others need none."""
        if search.is_indexed:
            yield
            return
        async with self._turns.taken(organisation_id):
            yield


class _Slots:
    """`number` slots for each organisation; an organisation without a read costs no memory."""

    def __init__(self, number: int, wait_s: float) -> None:
        self._number = number
        self._wait_s = wait_s
        self._taken: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def taken(self, organisation_id: str) -> AsyncIterator[None]:
        """A slot for as long as the block runs. Raises Unavailable: none became free in time."""
        semaphore, users = self._taken.get(organisation_id) or (
            asyncio.Semaphore(self._number),
            0,
        )
        self._taken[organisation_id] = (semaphore, users + 1)
        try:
            try:
                async with asyncio.timeout(self._wait_s):
                    await semaphore.acquire()
            except TimeoutError as error:
                raise Unavailable(POSTGRES, RETRY_AFTER_S) from error
            try:
                yield
            finally:
                semaphore.release()
        finally:
            users = self._taken[organisation_id][1] - 1
            if users:
                self._taken[organisation_id] = (semaphore, users)
            else:
                del self._taken[organisation_id]
