"""Look-ups in a folded organisation: what is held, over what Postgres returns beside it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rollcall.directory.state import Group, Member, State
from rollcall.directory.touch import Touch
from rollcall.events.bodies import Endpoint
from rollcall.postgres.directory_search import Related, Resource
from rollcall.postgres.search_keys import member_display_name_key
from rollcall.postgres.tail_read import Read, Wanted
from rollcall.tail.held import Held

Attribute = Literal["id", "userName", "externalId", "displayName"]
KEYED: Final[frozenset[tuple[Endpoint, Attribute]]] = frozenset(
    {
        ("Users", "id"),
        ("Users", "userName"),
        ("Users", "externalId"),
        ("Users", "displayName"),
        ("Groups", "id"),
        ("Groups", "externalId"),
        ("Groups", "displayName"),
    }
)
"""What can be looked up by equality."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is looked up: the resources whose `attribute` equals one of the keys.

    Keys are normalised as they are stored. `with_related`: with a User's groups, a Group's members.
    """

    organisation_id: str
    endpoint: Endpoint
    attribute: Attribute
    keys: frozenset[str]
    with_related: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The resources, in order of their ids; and members of whom no name was loaded to show."""

    resources: list[Resource]
    without_display: frozenset[str] = frozenset()


def wanted(held: Held | None, target: Target, to_show: frozenset[str]) -> Wanted:
    """What to load for a look-up: what is not held. `to_show`: members whose names are shown."""
    touch = Touch(known=set(to_show))
    keys = set(target.keys)
    is_member = target.endpoint == "Users"
    match target.attribute:
        case "id":
            (touch.members if is_member else touch.groups).update(keys)
        case "userName":
            touch.user_names |= keys
        case "externalId":
            (touch.member_external_ids if is_member else touch.group_external_ids).update(keys)
        case "displayName":
            touch.group_names |= set() if is_member else keys
    if held is not None and target.with_related:
        for row in _held(held, target):
            (touch.members_with_groups if is_member else touch.whole_groups).add(row.id)
    return Wanted(
        touch,
        member_display_names=frozenset(
            keys if is_member and target.attribute == "displayName" else ()
        ),
        groups_of_all=is_member and target.with_related,
        members_of_all=not is_member and target.with_related,
    )


def find(held: Held | None, read: Read, target: Target) -> Found:
    """The resources that the target means, where `held` and `read` cover the whole directory."""
    if held is None:
        raise LookupError("nothing is held")
    is_member = target.endpoint == "Users"
    stored: Mapping[str, Member | Group] = read.state.members if is_member else read.state.groups
    known = held.keys.members if is_member else held.keys.groups
    rows = {row.id: row for row in _held(held, target)}
    rows.update(
        (row.id, row)
        for row in stored.values()
        if row.id not in known and _key(row, target.attribute) in target.keys
    )
    ordered = [rows[each] for each in sorted(rows)]
    if not target.with_related:
        return Found([Resource(row) for row in ordered])
    without: set[str] = set()
    found = []
    for row in ordered:
        if isinstance(row, Member):
            found.append(Resource(row, _groups_of(held, read, row)))
        else:
            found.append(Resource(row, _members_of(held, read, row, without)))
    return Found(found, frozenset(without))


def _held(held: Held, target: Target) -> Iterator[Member | Group]:
    """The held rows that the target means."""
    rows: Mapping[str, Member | Group] = (
        held.state.members if target.endpoint == "Users" else held.state.groups
    )
    ids = _ids(held.state, target)
    found = rows.values() if ids is None else [rows[each] for each in ids if each in rows]
    yield from (row for row in found if _key(row, target.attribute) in target.keys)


def _ids(state: State, target: Target) -> set[str] | None:
    """Ids that the state's indexes give; None where it has no index."""
    is_member = target.endpoint == "Users"
    match target.attribute:
        case "id":
            return set(target.keys)
        case "userName":
            return {state.user_names[each] for each in target.keys if each in state.user_names}
        case "externalId":
            holders = state.member_external_ids if is_member else state.group_external_ids
            return {each for key in target.keys for each in holders.get(key, ())}
    return None


def _key(row: Member | Group, attribute: Attribute) -> str | None:
    match attribute:
        case "id":
            return row.id
        case "externalId":
            return row.external_id
        case "userName":
            return row.user_name_key if isinstance(row, Member) else None
        case "displayName":
            if isinstance(row, Member):
                return member_display_name_key(row.resource)
            return row.display_name_key


def _groups_of(held: Held, read: Read, member: Member) -> Related:
    stored = (each for each, ids in read.state.memberships.items() if member.id in ids)
    ids = sorted(held.groups_of(member.id, stored))
    groups = ((each, held.state.groups.get(each) or read.state.groups[each]) for each in ids)
    return tuple((each, str(group.resource["displayName"])) for each, group in groups)


def _members_of(held: Held, read: Read, group: Group, without: set[str]) -> Related:
    """The members who have a row: one that is only in quarantine has none to show."""
    shown: list[tuple[str, str | None]] = []
    for member_id in sorted(held.members_of(group.id, read.state.memberships.get(group.id, ()))):
        member = held.state.members.get(member_id)
        if member is not None:
            shown.append((member_id, member.resource.get("displayName")))
        elif member_id in read.displays:
            shown.append((member_id, read.displays[member_id]))
        else:
            without.add(member_id)
    return tuple(shown)
