"""Requests that were answered with success and refused afterwards, with what to do about each.

A request is listed where its sender was answered before it was decided and nothing else could be
promised, or where the refusal came too late for the caller. In the second case the caller may have
got the refusal after all (`perhaps`): the list may hold one too many. After a restore, what was
decided before is decided again, and it is not known whether the first refusal reached the caller
(`unknown`). A refusal that its sender was promised and given is not listed.

Where a replica of ingress has answered with its own verdict and the provisioner decided otherwise,
which is a fault of ours, it is listed whichever of the two was the success.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from rollcall.control.errors import NotPossible
from rollcall.control.tenancy_log import find_organisation
from rollcall.events.envelope import format_time
from rollcall.events.outcome import from_data, is_refused_after_success
from rollcall.events.request import CREATES, TYPE_PREFIX
from rollcall.postgres import audit
from rollcall.postgres.audit import Refused
from rollcall.postgres.pool import Database
from rollcall.runtime.config import Settings
from rollcall.runtime.ids import parse_id

MOST: Final = 10_000
Answered = Literal["yes", "perhaps", "unknown", "refused"]
Why = Literal["optimistic", "unheard", "decided again", "differed"]
WHY: Final[dict[Why, str]] = {
    "optimistic": "Postgres or the log could not be read, so it was answered before it was decided",
    "unheard": "the decision may have come too late for the answer",
    "decided again": "Postgres was restored, and what was decided before was decided again",
    "differed": "ingress judged it otherwise than the provisioner: a fault of Rollcall",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused request. `answered`: whether its sender was answered with success, or `refused`
    where it is applied all the same; `why`: why that is not what was decided.

    `id` is the request's; `event_id` is of the event that decided it: the same, or a redrive.
    """

    id: str
    event_id: str
    organisation_id: str
    endpoint: str
    resource_id: str
    kind: str
    status: int
    scim_type: str | None
    attribute: str | None
    answered: Answered
    actor: str
    accepted: datetime
    recorded: datetime
    why: Why = "optimistic"

    @property
    def resource(self) -> str:
        """`Users/ID` or `Groups/ID`."""
        return f"{self.endpoint}/{self.resource_id}"

    @property
    def advice(self) -> str:
        """What an admin can do about it."""
        return advice(self)

    def as_json(self) -> dict[str, object]:
        """As JSON; scripts rely on the names, so `answered` keeps its old name `told` there."""
        return {
            "id": self.id,
            "event_id": self.event_id,
            "organisation_id": self.organisation_id,
            "resource": self.resource,
            "kind": self.kind,
            "status": self.status,
            "scim_type": self.scim_type,
            "attribute": self.attribute,
            "told": self.answered,
            "why": self.why,
            "actor": self.actor,
            "accepted": format_time(self.accepted),
            "recorded": format_time(self.recorded),
            "advice": self.advice,
        }


async def select(
    settings: Settings,
    database: Database,
    *,
    org: str | None = None,
    since: datetime | None = None,
    identifier: str | None = None,
) -> list[Refusal]:
    """The refusals, newest first; one by the id of the request or of the event that decided it.

    Raises NotPossible for an unknown organisation and an id that is not listed, Unavailable.
    """
    organisation_id = None
    if org is not None:
        organisation_id = (await find_organisation(settings, org)).id
    wanted = None if identifier is None else parse_id(identifier)
    if identifier is not None and wanted is None:
        raise NotPossible(f"{identifier!r} is not an id", hint="list refused requests")
    async with database.connection() as connection:
        found = await audit.find_refused(
            connection, organisation_id=organisation_id, since=since, limit=MOST
        )
    refusals = [refusal for each in found for refusal in refusals_of(each)]
    if wanted is None:
        return refusals
    named = [each for each in refusals if wanted in (each.id, each.event_id)]
    if not named:
        raise NotPossible(f"no refused request {wanted}", hint="list refused requests")
    return named


def refusals_of(found: Refused) -> list[Refusal]:
    """The refused requests in one row of the audit; the row of a redrive may hold several."""
    row = found.row
    if found.given is not None and found.given >= 400 > row.status:
        return [_applied_after_all(found)]
    refusals = []
    for stored in row.outcomes:
        outcome = from_data(stored["fact"], stored["data"])
        # Rows of earlier releases are marked as a whole, not in the outcome.
        was_answered = is_refused_after_success(outcome) or (row.optimistic and "of" not in stored)
        if outcome.fact != "request.rejected" or not (found.is_unheard or was_answered):
            continue
        detail = outcome.detail
        refusals.append(
            Refusal(
                id=stored.get("of", {}).get("id", row.id),
                event_id=row.id,
                organisation_id=outcome.organisation_id,
                endpoint=str(detail.get("endpoint", "Users")),
                resource_id=outcome.resource_id,
                kind=str(detail.get("kind", row.type.removeprefix(TYPE_PREFIX))),
                status=int(detail.get("status", row.status)),
                scim_type=detail.get("scim_type"),
                attribute=detail.get("attribute"),
                answered=_answered(found, stored),
                actor=row.actor,
                accepted=row.append_time,
                recorded=found.recorded,
                why=_why(found, stored),
            )
        )
    return refusals


def _applied_after_all(found: Refused) -> Refusal:
    row = found.row
    kind = row.type.removeprefix(TYPE_PREFIX)
    return Refusal(
        id=row.id,
        event_id=row.id,
        organisation_id=row.organisation_id or "",
        endpoint="Groups" if kind.startswith("group") else "Users",
        resource_id=row.resource_id or "",
        kind=kind,
        status=row.status,
        scim_type=None,
        attribute=None,
        answered="refused",
        actor=row.actor,
        accepted=row.append_time,
        recorded=found.recorded,
        why="differed",
    )


def _why(found: Refused, stored: Mapping[str, Any]) -> Why:
    if found.given is not None:
        return "differed"
    if stored.get("again"):
        return "decided again"
    return "unheard" if found.is_unheard else "optimistic"


def _answered(found: Refused, stored: Mapping[str, Any]) -> Answered:
    if stored.get("again"):
        return "unknown"
    return "perhaps" if found.is_unheard and found.given is None else "yes"


def advice(refusal: Refusal) -> str:
    """One or two sentences for the admin of the organisation."""
    what = "user" if refusal.endpoint == "Users" else "group"
    if refusal.answered == "refused":
        return (
            f"The identity provider was answered that this is refused, and the {what} is changed. "
            f"Read the {what} and send again what it should be."
        )
    if refusal.status == 409 and refusal.attribute is not None:
        made = (
            f"The identity provider holds an id of a {what} that does not exist."
            if refusal.kind in CREATES
            else f"The {what} is unchanged."
        )
        return (
            f"Another {what} of the organisation has this {refusal.attribute}. {made} Look for two "
            f"with the same {refusal.attribute} in the identity provider, give one of them another "
            "(or remove it), and provision it again."
        )
    if refusal.status == 404:
        return (
            f"The {what} was not there when this was applied: it was removed meanwhile, or its own "
            f"create was refused (then that is in this list). Provision the {what} again if it "
            "should exist."
        )
    if refusal.status == 412:
        return (
            f"Another request changed the {what} first, and this request asked not to overwrite "
            "that. Read it and send the change again."
        )
    if refusal.status == 400:
        where = f" in {refusal.attribute}" if refusal.attribute else ""
        return (
            f"The request was found wrong{where} when it was applied to what the {what} had become;"
            f" it is unchanged. Correct it in the identity provider and provision the {what} again."
        )
    return f"The {what} is unchanged. Provision the {what} again from the identity provider."
