"""Members, refusals and dead letters in the admin API."""

from dataclasses import dataclass
from typing import Final

from rollcall.control import dead_letters
from rollcall.control.member_acts import Act, act_on_member
from rollcall.control.refused import refusals_of
from rollcall.directory.lifecycle import Status
from rollcall.postgres import audit, dead_letter
from rollcall.postgres.console import console_api_keys as admin_keys
from rollcall.postgres.console import console_people as people
from rollcall.postgres.console.console_people import Person
from rollcall.postgres.pool import Database
from rollcall.postgres.rows import is_storable
from rollcall_console.api import models
from rollcall_console.api.edge import Call, Handler, Operation, Parameter, write_cursor
from rollcall_console.api.organisations import AFTER, LIMIT, ONE
from rollcall_console.api.problems import Problem, not_found
from rollcall_console.config import ConsoleSettings
from rollcall_console.people.views import FITS

STATUSES: Final = tuple(status.value for status in Status)
STATUS: Final = Parameter("status", "Only those.", {"type": "string", "enum": list(STATUSES)})
TEXT: Final = Parameter(
    "q", "Only those whose user name, address or name begins so.", {"type": "string"}
)
MEMBERS: Final = f"{ONE}/members"
LETTERS: Final = f"{ONE}/dead-letters"
SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class MemberCalls:
    """The operations and what they need."""

    settings: ConsoleSettings
    database: Database

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        acts = {"revoke": "End a member's access", "restore": "Give access again"}
        return (
            Operation(
                "GET", MEMBERS, "members:read", self.list_all, "Its members, by user name",
                models.Members, parameters=(LIMIT, AFTER, STATUS, TEXT),
            ),
            Operation(
                "GET", f"{MEMBERS}/{{member}}", "members:read", self.show, "One member",
                models.Member,
            ),
            *(
                Operation(
                    "POST", f"{MEMBERS}/{{member}}/{act}", "members:write",
                    self._acting(act), summary, models.Act,
                )
                for act, summary in acts.items()
            ),
            Operation(
                "DELETE", f"{MEMBERS}/{{member}}", "members:write", self._acting("remove"),
                "Remove a member", models.Act,
            ),
            Operation(
                "GET", f"{ONE}/refused", "refused:read", self.refused,
                "What was refused after an answer of success, and what could not be applied",
                models.RefusedPage,
            ),
            Operation(
                "POST", f"{LETTERS}/{{letter}}/redrive", "refused:write", self._closing("redrive"),
                "Try a change again that could not be applied", models.Closed,
            ),
            Operation(
                "POST", f"{LETTERS}/{{letter}}/discard", "refused:write", self._closing("discard"),
                "Give a change up that could not be applied", models.Closed,
            ),
        )  # fmt: skip

    async def list_all(self, call: Call) -> models.Members:
        """A page of members, or those that are found."""
        limit, after = call.limit, call.after
        text, status = call.asked("q").strip()[:256], call.asked("status") or None
        if status is not None and status not in STATUSES:
            raise Problem(400, "status", f"status must be one of {', '.join(STATUSES)}.")
        if text and (status or after):
            raise Problem(400, "q", "q goes with neither status nor after.")
        async with self.database.connection() as connection:
            found = (
                await people.members_found(connection, call.organisation.id, text, limit)
                if text
                else await people.members_after(
                    connection, call.organisation.id, status=status, after=after, limit=limit + 1
                )
            )
        shown = found[:limit]
        return models.Members(
            items=[_member(each) for each in shown],
            next=write_cursor(shown[-1].user_name_key) if len(found) > limit else None,
        )

    async def show(self, call: Call) -> models.Member:
        """One member."""
        return _member(await self._person(call))

    def _acting(self, act: str) -> Handler:
        chosen: Act = "revoke" if act == "revoke" else "restore" if act == "restore" else "remove"

        async def handle(call: Call) -> models.Act:
            person = await self._person(call)
            if person.status not in FITS[chosen]:
                raise Problem(409, "status", f"A member who is {person.status} cannot be {act}d.")
            done = await act_on_member(
                self.settings, self.database, call.organisation, person.id, chosen, by=call.by
            )
            await self._record(call, f"member.{act}", person.id)
            return models.Act(request_id=done.request_id, state=done.state)

        return handle

    async def refused(self, call: Call) -> models.RefusedPage:
        """The latest refusals, and the letters that wait."""
        async with self.database.connection() as connection:
            letters = await dead_letter.find(
                connection, states=("dead",), organisation_id=call.organisation.id, limit=SHOWN
            )
            rows = await audit.find_refused(
                connection, organisation_id=call.organisation.id, limit=SHOWN
            )
        return models.RefusedPage(
            refused=[
                models.Refused(
                    id=each.id,
                    endpoint=each.endpoint,
                    resource_id=each.resource_id,
                    status=each.status,
                    scim_type=each.scim_type,
                    attribute=each.attribute,
                    accepted=each.accepted,
                    recorded=each.recorded,
                    advice=each.advice,
                )
                for row in rows
                for each in refusals_of(row)
            ],
            dead_letters=[
                models.DeadLetter(
                    id=each.id or each.name,
                    endpoint=each.endpoint,
                    resource_id=each.resource_id,
                    error=each.error_class,
                    recorded=each.recorded,
                    attempts=each.attempts,
                    waiting_behind=each.parked,
                )
                for each in letters
            ],
        )

    def _closing(self, action: dead_letters.Action) -> Handler:
        async def handle(call: Call) -> models.Closed:
            name = call.part("letter")
            if not is_storable(name):
                raise not_found()
            async with self.database.connection() as connection:
                found = await dead_letter.find(
                    connection,
                    states=("dead",),
                    organisation_id=call.organisation.id,
                    names=[name],
                    limit=2,
                )
            if len(found) != 1 or found[0].resource_id is None:
                raise not_found()
            [done] = await dead_letters.close(
                self.settings, self.database, found, action, by=call.by
            )
            await self._record(call, f"letter.{action}", found[0].id)
            return models.Closed(result=done.result)

        return handle

    async def _person(self, call: Call) -> Person:
        async with self.database.connection() as connection:
            found = await people.person(connection, call.organisation.id, call.part("member"))
        if found is None:
            raise not_found()
        return found

    async def _record(self, call: Call, kind: str, subject: str | None) -> None:
        async with self.database.connection() as connection:
            await admin_keys.record_act(connection, call.key, kind, call.organisation.id, subject)


def _member(person: Person) -> models.Member:
    return models.Member(
        id=person.id,
        user_name=person.user_name,
        name=person.name,
        status=person.status,
        external_id=person.external_id,
        created=person.created,
        last_modified=person.last_modified,
        attributes=person.document,
    )
