"""The kept address: where a revoked member's notices go, although the resource says otherwise.

An identity provider may change the address in the same request that revokes. Entra's soft delete
is one PATCH that writes `active: "False"` and puts 32 hexadecimal digits before the user name, an
address that does not exist. So the address before that request is kept. Notices go to it while the
member is revoked, whatever is written in the meantime. An invitation that was open stays open for
that address: a restoration with the same address continues it, and a restoration with another
address makes it void (docs/decisions/0045).

A made-up address like Entra's is not treated as a change of address of an active member either: the
address before it is kept until another one is written.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from rollcall.directory.address import notice_address
from rollcall.directory.lifecycle import LifecycleState, Status
from rollcall.directory.state import Member

Json = dict[str, Any]
_MADE_UP: Final = re.compile(r"[0-9a-f]{32}(?=.)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Addressed:
    """The address to keep for a changed member, and whether an open invitation becomes void."""

    kept: str | None
    is_changed: bool


def addressed(
    member: Member, lifecycle: LifecycleState, resource: Json, *, keeps: bool
) -> Addressed:
    """What to keep for a member with this new state and resource; `keeps`: the rules do so."""
    is_revoked = lifecycle.status is Status.REVOKED
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
    # Revoked under rules that kept no address, or created inactive: no earlier address is known.
    return Addressed(member.kept_address, member.kept_address is None and before != present)


def is_made_up(address: str | None, before: str | None, user_name: object) -> bool:
    """Whether `address` is 32 hexadecimal digits followed by the earlier address or user name."""
    if address is None or before is None or _MADE_UP.match(address) is None:
        return False
    names = [before, user_name] if isinstance(user_name, str) else [before]
    return address[32:].casefold() in {name.strip().casefold() for name in names}
