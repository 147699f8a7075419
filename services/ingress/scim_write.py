"""POST, PUT, PATCH and DELETE of Users and Groups: the steps in order.

`ScimWrite.__call__` is the whole of a write; each step has a file of its own.
"""

from dataclasses import dataclass
from typing import Final

from services.ingress import answer
from services.ingress.admission import Admission
from services.ingress.answer import Answer, View, wants
from services.ingress.authenticate import Authenticator
from services.ingress.directory_reads import DirectoryReads
from services.ingress.key_use import KeyUse
from services.ingress.query import parse_query
from services.ingress.routes import Arrival
from services.ingress.understand import Command, Verb, understand, valid_traceparent
from services.ingress.write_path import Submitted, WritePath
from shared.observability.logging import get_logger
from shared.postgres.directory_search import FoundGroup
from shared.runtime.clock import now
from shared.runtime.errors import Unavailable
from shared.runtime.ids import new_id, parse_id
from shared.scim.errors import NotFound
from shared.scim.projection import parse_projection
from shared.scim.schema import ResourceSchema

VERBS: Final[dict[str, Verb]] = {
    "POST": "create",
    "PUT": "replace",
    "PATCH": "patch",
    "DELETE": "delete",
}

log = get_logger()


@dataclass(frozen=True, slots=True)
class Writing:
    """What the steps of a write need; the same for both resource types."""

    root_url: str
    authenticator: Authenticator
    key_use: KeyUse
    admission: Admission
    write_path: WritePath
    reads: DirectoryReads


@dataclass(frozen=True, slots=True)
class ScimWrite:
    """Serves the writing methods of one resource type."""

    parts: Writing
    schema: ResourceSchema

    async def __call__(self, arrival: Arrival) -> Answer:
        """Authenticate → admit → understand → submit → answer."""
        http, target, at = arrival.http, arrival.target, now()

        principal = await self.parts.authenticator.authenticate(
            http.headers.getall("Authorization", ()), target.organisation, is_write=True, at=at
        )
        self.parts.key_use.note(principal.key.public_id, at)
        command = Command(
            id=new_id(),
            verb=VERBS[http.method],
            schema=self.schema,
            resource_id=_resource_id(target.rest, self.schema),
            organisation=principal.organisation,
            actor=principal.actor,
            time=at,
            traceparent=valid_traceparent(http.headers.getall("traceparent", ())),
        )
        with self.parts.admission.admit(principal.organisation.id) as seat:
            body = b""
            if command.verb != "delete":
                body = await self.parts.admission.read_body(http, seat)

            view = self._view(principal.organisation.id, target.query)
            request = await understand(command, body)
            self.parts.authenticator.check_again(principal, at=now())

            submitted = await self.parts.write_path.submit(
                request,
                must_be_decided=command.verb == "patch" and view.projection is not None,
            )
            return await self._answer(submitted, view)

    def _view(self, organisation_id: str, query_text: str) -> View:
        base_url = f"{self.parts.root_url}/v2/{organisation_id}"
        if not query_text:
            return View(base_url)
        query = parse_query(query_text)
        projection = parse_projection(
            query.get("attributes"), query.get("excludedAttributes"), self.schema
        )
        return View(base_url, projection)

    async def _answer(self, submitted: Submitted, view: View) -> Answer:
        request, reply = submitted.request, submitted.reply
        named = len(request.members.add) if request.members is not None else 0
        if reply is None:
            return await answer.render(named, answer.pending, request, view)
        if reply.is_parked:
            return await answer.render(named, answer.pending, request, view, answer.PARKED)
        if reply.status >= 400:
            raise answer.refusal(reply)
        group = None
        verb = request.kind.partition(".")[2]
        if not request.is_member and (
            verb in ("create", "replace") or (verb == "patch" and view.projection is not None)
        ):
            group = await self._read_group(request.organisation_id, request.resource_id, view)
        size = named if group is None else len(group.members)
        return await answer.render(size, answer.applied, request, reply, view, group)

    async def _read_group(
        self, organisation_id: str, group_id: str, view: View
    ) -> FoundGroup | None:
        """The group as it is now: the reply left after the commit, so the change is in it."""
        try:
            return await self.parts.reads.group(
                organisation_id, group_id, with_members=wants(view, "members")
            )
        except Unavailable:
            log.warning("postgres.unavailable", organisation_id=organisation_id)
            return None


def _resource_id(text: str | None, schema: ResourceSchema) -> str | None:
    """The id in the address; what is no UUID is nobody's id."""
    if text is None:
        return None
    resource_id = parse_id(text)
    if resource_id is None:
        raise NotFound(f"There is no {schema.name} with this id.")
    return resource_id
