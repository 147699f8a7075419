"""The address that is kept of a member: a request that revokes does not say where its notice goes.

An identity provider may change the address in the request that revokes. Entra's soft delete writes
32 hexadecimal digits before the user name and `active: "False"` in one PATCH: nobody reads mail at
such an address. So the address held before that request is kept. Notices go there while the member
is revoked, whatever is written meanwhile, and an invitation that was open stays open for it: a
restoration that finds the same address takes up the same invitation, one that finds another makes
it void (docs/decisions/0045).

An address that is made up in this way is no change of address of somebody who has access either:
the one before is kept until another is written.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from rollcall.directory.address import notice_address
from rollcall.directory.lifecycle import Standing, Status
from rollcall.directory.state import Member

Json = dict[str, Any]
_MADE_UP: Final = re.compile(r"[0-9a-f]{32}(?=.)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Addressed:
    """What is kept of a changed member's address, and whether an invitation went elsewhere."""

    kept: str | None
    is_changed: bool


def addressed(member: Member, standing: Standing, resource: Json, *, keeps: bool) -> Addressed:
    """Of a member with its new standing and resource; `keeps`: by rules that keep an address."""
    is_revoked = standing.status is Status.REVOKED
    present = notice_address(resource)
    if not keeps:
        kept = member.kept_address if is_revoked else None
        return Addressed(kept, notice_address(member.resource) != present)
    before = member.address
    if not is_revoked:
        if is_made_up(present, before, member.resource.get("userName")):
            return Addressed(before, is_changed=False)
        return Addressed(None, before != present)
    if member.status is not Status.REVOKED:
        return Addressed(before or "", is_changed=False)
    # Revoked by rules that kept none, or created inactive: nothing says where it was written to.
    return Addressed(member.kept_address, member.kept_address is None and before != present)


def is_made_up(address: str | None, before: str | None, user_name: object) -> bool:
    """Whether it is 32 hexadecimal digits before the address, or the user name, held before."""
    if address is None or before is None or _MADE_UP.match(address) is None:
        return False
    names = [before, user_name] if isinstance(user_name, str) else [before]
    return address[32:].casefold() in {name.strip().casefold() for name in names}
