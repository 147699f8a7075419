"""What a person does to a member without the identity provider: revoke, restore, remove.

Each is a request like any other, in the organisation's own partition and decided in order; `actor`
names the account. The identity provider keeps its own idea of the member: what it sends next may
change it again.
"""

from dataclasses import dataclass
from typing import Final, Literal

from rollcall.control.publish import decided, publish
from rollcall.events.bodies import Body, Delete, Patch
from rollcall.events.request import Request, Settings
from rollcall.events.topics import Topics
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.pool import Database
from rollcall.runtime import config
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall.tenancy.organisation import Organisation

Act = Literal["revoke", "restore", "remove"]
ACTS: Final[tuple[Act, ...]] = ("revoke", "restore", "remove")
WAIT_S: Final = 5.0
"""How long a page waits for the decision."""


@dataclass(frozen=True, slots=True)
class Acted:
    """What was asked for, and the decision; None: it is accepted and not applied yet."""

    request_id: str
    decision: AuditRow | None

    @property
    def state(self) -> Literal["done", "pending", "refused"]:
        """In one word."""
        if self.decision is None:
            return "pending"
        return "done" if self.decision.status < 300 else "refused"


async def act_on_member(
    settings: config.Settings,
    database: Database,
    organisation: Organisation,
    member_id: str,
    act: Act,
    *,
    by: str,
) -> Acted:
    """Publish the request and wait a moment for its decision. Raises Unavailable."""
    request = Request(
        id=new_id(),
        endpoint="Users",
        organisation_id=organisation.id,
        resource_id=member_id,
        time=now(),
        body=_body(act),
        settings=Settings(
            profile=organisation.profile,
            unique_group_names=organisation.unique_group_names,
            confirm_on_accept=organisation.confirm_on_accept,
            unique_external_ids=organisation.unique_external_ids,
        ),
        actor=by,
    )
    topic = Topics(settings.topic_prefix).requests
    await publish(settings, [(request, topic, organisation.partition)])
    found = await decided(database, [request.id], wait_s=WAIT_S)
    return Acted(request.id, found.get(request.id))


def _body(act: Act) -> Body:
    if act == "remove":
        return Delete()
    operation = {"op": "replace", "path": "active", "value": act == "restore"}
    return Patch(operations=(operation,))
