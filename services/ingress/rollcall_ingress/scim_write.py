"""POST, PUT, PATCH and DELETE of Users and Groups: the steps in order.

`ScimWrite.__call__` is the whole of a write; each step has a file of its own.
"""

from dataclasses import dataclass
from typing import Final

from rollcall.events.bodies import Create, Replace
from rollcall.events.request import Request
from rollcall.observability.logging import get_logger
from rollcall.postgres.directory_search import Resource
from rollcall.runtime.clock import now
from rollcall.runtime.errors import Unavailable
from rollcall.scim.prefer import parse_prefer
from rollcall.scim.schema import ResourceSchema
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.aside import aside
from rollcall_ingress.behind.foresee import foresee, most_work_on
from rollcall_ingress.behind.precheck import Precheck
from rollcall_ingress.behind.reads import ExactReads
from rollcall_ingress.door import answer
from rollcall_ingress.door.admission import Admission
from rollcall_ingress.door.answer import Answer
from rollcall_ingress.door.authenticate import Authenticator
from rollcall_ingress.door.query import parse_query
from rollcall_ingress.door.routes import Arrival, resource_id_of
from rollcall_ingress.read.directory_reads import DirectoryReads
from rollcall_ingress.read.show import View, read_view, render, wants_related
from rollcall_ingress.write import write_answer
from rollcall_ingress.write.submitted import Submitted
from rollcall_ingress.write.understand import (
    Command,
    Verb,
    read_precondition,
    understand,
    valid_traceparent,
)
from rollcall_ingress.write.write_path import BEHIND, BEHIND_RETRY_AFTER_S, WritePath

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
    admission: Admission
    write_path: WritePath
    reads: DirectoryReads
    known: ExactReads
    precheck: Precheck


@dataclass(frozen=True, slots=True)
class ScimWrite:
    """Serves the writing methods of one resource type."""

    parts: Writing
    schema: ResourceSchema

    async def __call__(self, arrival: Arrival) -> Answer:
        """Admit → understand → promise, or compare and predict → submit → answer."""
        http, target, principal = arrival.http, arrival.target, arrival.principal
        organisation = principal.organisation
        verb, preferences = VERBS[http.method], parse_prefer(http.headers.getall("Prefer", ()))
        command = Command(
            id=arrival.request_id,
            verb=verb,
            schema=self.schema,
            resource_id=(None if target.rest is None else resource_id_of(target.rest, self.schema)),
            organisation=organisation,
            actor=principal.actor,
            time=arrival.at,
            traceparent=valid_traceparent(http.headers.getall("traceparent", ())),
            precondition=read_precondition(
                verb,
                http.headers.getall("If-Match", ()),
                http.headers.getall("If-None-Match", ()),
            ),
            preferences=preferences,
        )
        with self.parts.admission.admit(organisation.id) as seat:
            body = b""
            if command.verb != "delete":
                body = await self.parts.admission.read_body(http, seat)

            view = read_view(
                parse_query(target.query),
                self.schema,
                preferences.profile(organisation.profile),
                f"{self.parts.root_url}/v2/{organisation.id}",
                preferences.returns,
            )
            request = await understand(command, body)
            # A key that was revoked meanwhile learns nothing of what is there.
            self.parts.authenticator.check_again(principal, at=now())
            is_promised = await self.parts.write_path.can_promise(organisation)
            predicted = None
            if not is_promised:
                if request.precondition is None:
                    await self.parts.precheck.check(request, organisation)
                predicted = await self._predict(request, view, organisation)
            self.parts.authenticator.check_again(principal, at=now())

            submitted = await self.parts.write_path.submit(request, is_promised=is_promised)
            given = await self._answer(submitted, view, predicted, organisation)
            return write_answer.with_preferences(given, request, preferences)

    async def _predict(
        self, request: Request, view: View, organisation: Organisation
    ) -> Resource | None:
        """What an answer with a body will show if the PATCH is pending; before it is published.

        With a precondition it is never answered as pending. Raises Unavailable where the resource
        cannot be read, or is behind and not known well enough.
        """
        if request.precondition is not None or not write_answer.must_have_body(request, view):
            return None
        predicted = None
        related = wants_related(view, request.endpoint)
        found = await self.parts.known.find(
            request.endpoint, organisation, request.resource_id, with_related=related
        )
        if found is not None:
            units = most_work_on(request, [found])
            predicted = await aside(units, foresee, request, found, with_related=related)
        if predicted is None and self.parts.known.is_behind(organisation.id):
            raise Unavailable(BEHIND, BEHIND_RETRY_AFTER_S)
        return predicted

    async def _answer(
        self,
        submitted: Submitted,
        view: View,
        predicted: Resource | None,
        organisation: Organisation,
    ) -> Answer:
        request, reply = submitted.request, submitted.reply
        is_undecided = reply is None or reply.is_parked
        if is_undecided and request.precondition is not None:
            raise answer.unknown_outcome()
        named = 0 if (delta := request.members) is None else len(delta.add)
        if reply is None or reply.is_parked:
            named = max(named, 0 if predicted is None else len(predicted.related))
            mark = answer.PENDING if reply is None else answer.PARKED
            accepted = None if reply else await self._accepted(request, view, organisation)
            if accepted is not None:
                return await render(named, write_answer.accepted, request, accepted, view)
            return await render(named, write_answer.pending, request, view, mark, predicted)
        if reply.status >= 400:
            raise write_answer.refusal(reply)
        group = None
        if not request.is_member and write_answer.has_body(request, view):
            group = await self._read_group(submitted, view, organisation)
        size = named if group is None else len(group.related)
        given = await render(size, write_answer.applied, request, reply, view, group, predicted)
        return given if submitted.is_applied else write_answer.not_applied(given)

    async def _accepted(
        self, request: Request, view: View, organisation: Organisation
    ) -> Resource | None:
        """What a pending answer shows that the request alone does not say; None for the request.

        When it was created, what a PUT keeps, which of the named members the organisation has.
        """
        body = request.body
        names_members = isinstance(body, Create) and bool(body.members and body.members.add)
        if not (isinstance(body, Replace) or names_members):
            return None
        if not write_answer.has_body(request, view):
            return None
        related = wants_related(view, request.endpoint)
        return await self.parts.precheck.accepted(request, organisation, with_related=related)

    async def _read_group(
        self, submitted: Submitted, view: View, organisation: Organisation
    ) -> Resource | None:
        """The group as the request has left it, in Postgres or in the log."""
        group_id, related = submitted.request.resource_id, wants_related(view, "Groups")
        try:
            if not submitted.is_applied:
                return await self.parts.known.find(
                    "Groups", organisation, group_id, with_related=related
                )
            return await self.parts.reads.find(
                "Groups", organisation.id, group_id, with_related=related
            )
        except Unavailable:
            log.warning("postgres.unavailable", organisation_id=organisation.id)
            return None
