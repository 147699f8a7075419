"""What a write is compared with before it is published, while the directory is behind.

| write | known | then |
|---|---|---|
| POST User | the `userName` is taken, in Postgres or pending here | 409 |
| POST Group | a group has the `displayName`, where the organisation wants them unique | 409 |
| POST | another has the `externalId`, where the organisation wants them unique | 409 |
| PUT, PATCH, DELETE | there is certainly no such resource | 404 |
| PUT, PATCH | the resource as it is known refuses it | that refusal |
| any | nothing, or not in time | published, and answered as pending |

What is refused here is not published, so no refusal leaves a trace. Postgres is given a
short time, and a breaker of its own: while it is away no write waits for it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from rollcall.events.bodies import Create, Delete, Replace
from rollcall.events.request import Request
from rollcall.postgres.directory_search import Resource
from rollcall.runtime.breaker import Breaker
from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import NotFound
from rollcall.tail.lookup import Target
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.aside import aside
from rollcall_ingress.behind.foresee import most_work_on, refusal
from rollcall_ingress.behind.lists import Key
from rollcall_ingress.behind.reads import BEHIND, ExactReads

T = TypeVar("T")

NAME_WITHIN_S: Final = 0.3
RESOURCE_WITHIN_S: Final = 0.5
"""A miss by id may have to ask where the log ends."""
MOST_SHOWN: Final = 1000
"""Members that a pending answer looks up, to show those whom the organisation has."""


@dataclass(frozen=True, slots=True)
class Precheck:
    """Compares writes with what this replica knows. `clock` gives monotonic seconds."""

    known: ExactReads
    clock: Callable[[], float]
    _breaker: Breaker = field(default_factory=Breaker)

    async def check(self, request: Request, organisation: Organisation) -> None:
        """Raise the ScimError with which the request would certainly be refused, if it is known.

        Not for requests with a precondition. Costs nothing while the organisation is not behind.
        """
        if not self.known.may_be_behind(organisation):
            return
        if isinstance(request.body, Create):
            reading = self._of_its_name(request, request.body, organisation)
            found = await self._in_time(reading, NAME_WITHIN_S)
        else:
            found = await self._in_time(self._itself(request, organisation), RESOURCE_WITHIN_S)
        if found and not isinstance(request.body, Delete):
            refused = await aside(most_work_on(request, found), refusal, request, found)
            if refused is not None:
                raise refused

    async def accepted(
        self, request: Request, organisation: Organisation, *, with_related: bool
    ) -> Resource | None:
        """The resource as the accepted request leaves it, to show it; None where it is not known.

        `with_related`: with a User's groups, a Group's members.
        """
        if (delta := request.members) is not None and len(delta.add) > MOST_SHOWN:
            return None
        reading = self.known.find(
            request.endpoint, organisation, request.resource_id, with_related=with_related
        )
        found = await self._in_time(reading, NAME_WITHIN_S)
        if found is None:
            return None
        if found.row.version == request.id:
            return found
        # A PUT may have no effect. Otherwise it will be refused, or was changed again meanwhile.
        wanted = request.body.resource if isinstance(request.body, Create | Replace) else {}
        has_all = all(found.row.resource.get(name) == value for name, value in wanted.items())
        return found if has_all else None

    async def _in_time(self, reading: Coroutine[Any, Any, T], within_s: float) -> T | None:
        """What the reading gives, or None where it is not known, not in time, or not asked."""
        if not self._breaker.may_wait(self.clock()):
            reading.close()
            return None
        try:
            async with asyncio.timeout(within_s):
                found = await reading
        except (Unavailable, TimeoutError) as error:
            if not (isinstance(error, Unavailable) and error.what == BEHIND):
                self._breaker.failed(self.clock())
            return None
        self._breaker.succeeded()
        return found

    async def _of_its_name(
        self, request: Request, body: Create, organisation: Organisation
    ) -> list[Resource]:
        """The resources that have a name which the create writes and may not share."""
        found: list[Resource] = []
        for attribute, key in _unshared(request, body):
            target = Target(organisation.id, request.endpoint, attribute, frozenset({key}))
            found.extend(await self.known.look_up(target, organisation, certain=False))
        return found

    async def _itself(self, request: Request, organisation: Organisation) -> list[Resource]:
        """The resource that the request changes. Raises NotFound: there certainly is none."""
        found = await self.known.find(
            request.endpoint, organisation, request.resource_id, with_related=False
        )
        if found is None:
            kind = "User" if request.is_member else "Group"
            raise NotFound(f"There is no {kind} with the id {request.resource_id}.")
        return [found]


def _unshared(request: Request, body: Create) -> Iterator[Key]:
    """The attributes that the create writes and no other may have, with their keys."""
    if request.is_member:
        yield "userName", body.name_key
    elif request.settings.unique_group_names:
        yield "displayName", body.name_key
    external_id = body.resource.get("externalId")
    if external_id and request.settings.unique_external_ids:
        yield "externalId", external_id
