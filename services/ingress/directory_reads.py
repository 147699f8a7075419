"""Reads of the directory in Postgres, one organisation at most a quarter of the connections.

A caller waits for a free place for as long as a statement may take, then it is told to come back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shared.postgres import directory_search
from shared.postgres.directory_search import FoundGroup, FoundMember
from shared.postgres.filter_sql import Condition
from shared.postgres.pool import POSTGRES, Database
from shared.runtime.errors import Unavailable
from shared.scim.page import Page

if TYPE_CHECKING:
    from shared.postgres.pool import Connection

RETRY_AFTER_S = 2.0


class DirectoryReads:
    """The reads that SCIM needs; each raises Unavailable where Postgres is away or slow."""

    def __init__(self, database: Database, *, pool_size: int, wait_s: float) -> None:
        self._database = database
        self._share = max(1, pool_size // 4)
        self._wait_s = wait_s
        self._places: dict[str, tuple[asyncio.Semaphore, int]] = {}

    async def member(
        self, organisation_id: str, member_id: str, *, with_groups: bool
    ) -> FoundMember | None:
        """The member of this id, or None."""
        async with self._connection(organisation_id) as connection:
            return await directory_search.find_member(
                connection, organisation_id, member_id, with_groups=with_groups
            )

    async def group(
        self, organisation_id: str, group_id: str, *, with_members: bool
    ) -> FoundGroup | None:
        """The group of this id, or None."""
        async with self._connection(organisation_id) as connection:
            return await directory_search.find_group(
                connection, organisation_id, group_id, with_members=with_members
            )

    async def members(
        self, organisation_id: str, condition: Condition, page: Page, *, with_groups: bool
    ) -> tuple[int, list[FoundMember]]:
        """How many members match, and one page of them."""
        async with self._connection(organisation_id) as connection:
            return await directory_search.search_members(
                connection, organisation_id, condition, page, with_groups=with_groups
            )

    async def groups(
        self, organisation_id: str, condition: Condition, page: Page, *, with_members: bool
    ) -> tuple[int, list[FoundGroup]]:
        """How many groups match, and one page of them."""
        async with self._connection(organisation_id) as connection:
            return await directory_search.search_groups(
                connection, organisation_id, condition, page, with_members=with_members
            )

    @asynccontextmanager
    async def _connection(self, organisation_id: str) -> "AsyncIterator[Connection]":
        semaphore, users = self._places.get(organisation_id) or (asyncio.Semaphore(self._share), 0)
        self._places[organisation_id] = (semaphore, users + 1)
        try:
            try:
                async with asyncio.timeout(self._wait_s):
                    await semaphore.acquire()
            except TimeoutError as error:
                raise Unavailable(POSTGRES, RETRY_AFTER_S) from error
            try:
                async with self._database.connection() as connection:
                    yield connection
            finally:
                semaphore.release()
        finally:
            users = self._places[organisation_id][1] - 1
            if users:
                self._places[organisation_id] = (semaphore, users)
            else:
                del self._places[organisation_id]
