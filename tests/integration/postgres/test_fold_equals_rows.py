"""The rows are the fold: whatever the batches, Postgres holds what the pure fold says, row for row.

Conversations of several organisations in one partition pass through the pieces of a batch as the
partition's worker has them: load what is touched, fold, collapse, write. They make every mistake
that a request can make, and use few names and few members, so that these collide. Requests of all
rules come mixed, of organisations that let an external id be shared and of others.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import orjson
import pytest

from rollcall.applying.dead_letters import Place
from rollcall.applying.decided import decide_batch, requests_of
from rollcall.applying.understand import Entry
from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.state import Group, Member, State
from rollcall.directory.touch import touches
from rollcall.events.request import MemberDelta, Request, Settings
from rollcall.postgres.directory_load import load_states
from rollcall.postgres.directory_write import write_changes
from rollcall.postgres.rows import to_group, to_member
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.write.understand import Command, Verb, understand_body
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_request,
    a_user,
    an_id,
    replacing,
)
from tests.support.databases import Connection, TestDatabase
from tests.unit.kafka.records import FakeRecord

AT: Final = MOMENT + timedelta(seconds=1)
ORGANISATIONS: Final = (ORGANISATION, OTHER_ORGANISATION, an_id(3))
# The same ids in every organisation; the last one is made by nobody.
MEMBERS: Final = tuple(an_id(number) for number in range(11, 18))
GROUPS: Final = tuple(an_id(number) for number in range(50, 54))
NAMES: Final = ("ana", "Ana", "bo", "cy", "dee", "eve")
EXTERNAL_IDS: Final = ("x-1", "X-1", "x-2", "", None)
NOBODY: Final = ("no-uuid", an_id(99))
CONVERSATIONS: Final = 8
REQUESTS: Final = 240

Picture = tuple[
    dict[tuple[str, str], Member], dict[tuple[str, str], Group], set[tuple[str, str, str]]
]


class Speaker:
    """Makes one conversation; all chances come from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.ruling = random.Random(seed + 1)  # of its own: `chance` says what it said before
        self.numbers = 10_000
        self.kinds: tuple[Callable[[], Request], ...] = (
            *[self.create_member] * 3,
            self.replace_member,
            *[self.patch_member] * 3,
            self.accept,
            self.delete_member,
            *[self.create_group] * 2,
            self.replace_group,
            *[self.patch_group] * 4,
            self.delete_group,
        )

    def conversation(self, length: int) -> list[Request]:
        found = []
        for _ in range(length):
            self.numbers += 1
            request = replace(
                self.chance.choice(self.kinds)(),
                id=an_id(self.numbers),
                organisation_id=self.chance.choice(ORGANISATIONS),
                time=MOMENT + timedelta(milliseconds=self.numbers),
                settings=Settings(
                    unique_group_names=self.chance.random() < 0.8,
                    profile="interop" if self.chance.random() < 0.1 else "compatible",
                    unique_external_ids=self.ruling.random() < 0.3,
                ),
                rules=self.ruling.choice((1, 2, 2)),
            )
            found.append(request)
        return found

    def create_member(self) -> Request:
        more: dict[str, Any] = {"active": self.chance.random() < 0.8}
        return a_request("member.create", self.member(), resource=self.user(**more))

    def replace_member(self) -> Request:
        resource = self.user()
        if self.chance.random() < 0.5:
            del resource["active"]
        return a_request("member.replace", self.member(), resource=resource)

    def patch_member(self) -> Request:
        possible = (
            replacing("active", self.chance.random() < 0.5),
            replacing("userName", self.chance.choice(NAMES)),
            replacing("title", self.chance.choice(("Captain", "Cook"))),
            replacing("externalId", self.chance.choice(EXTERNAL_IDS[:4])),
            {"op": "remove", "path": "externalId"},
            replacing("emails", [{"value": f"{self.chance.choice(NAMES)}@example.org"}]),
            {"op": "remove", "path": "title"},
        )
        operations = self.chance.sample(possible, self.chance.randint(1, 3))
        return a_request("member.patch", self.member(), operations=tuple(operations))

    def accept(self) -> Request:
        # The invitation is one of the last events: sometimes the right one.
        invitation = an_id(self.numbers - self.chance.randint(1, 12))
        expires = AT + timedelta(days=self.chance.choice((-1, 5)))
        return a_request(
            "member.accept", self.member(), invitation_id=invitation, invitation_expires=expires
        )

    def delete_member(self) -> Request:
        return a_request("member.delete", self.member())

    def create_group(self) -> Request:
        members = MemberDelta(add=self.ids()) if self.chance.random() < 0.7 else None
        return a_request("group.create", self.group(), resource=self.named(), members=members)

    def replace_group(self) -> Request:
        members = MemberDelta(True, self.ids()) if self.chance.random() < 0.7 else None
        return a_request("group.replace", self.group(), resource=self.named(), members=members)

    def patch_group(self) -> Request:
        fields: dict[str, Any] = {}
        if self.chance.random() < 0.3:
            possible = (
                replacing("displayName", self.chance.choice(NAMES)),
                replacing("externalId", self.chance.choice(EXTERNAL_IDS[:4])),
                {"op": "remove", "path": "externalId"},
            )
            fields["operations"] = tuple(self.chance.sample(possible, 1))
        if not fields or self.chance.random() < 0.5:
            clear = self.chance.random() < 0.2
            add = self.ids()
            remove = () if clear else tuple(i for i in self.ids() if i not in add)
            fields["members"] = MemberDelta(clear, add, remove)
        return a_request("group.patch", self.group(), **fields)

    def delete_group(self) -> Request:
        return a_request("group.delete", self.group())

    def member(self) -> str:
        return self.chance.choice(MEMBERS)

    def group(self) -> str:
        return self.chance.choice(GROUPS)

    def ids(self) -> tuple[str, ...]:
        return tuple(self.chance.sample((*MEMBERS, *NOBODY), self.chance.randint(0, 4)))

    def user(self, **more: Any) -> dict[str, Any]:
        return self.with_external_id(a_user(self.chance.choice(NAMES), **more))

    def named(self) -> dict[str, Any]:
        return self.with_external_id({"displayName": self.chance.choice(NAMES)})

    def with_external_id(self, resource: dict[str, Any]) -> dict[str, Any]:
        external_id = self.chance.choice(EXTERNAL_IDS)
        return resource if external_id is None else {**resource, "externalId": external_id}


async def apply(connection: Connection, batch: Sequence[Request]) -> list[Folded]:
    """One batch with the pieces of the partition's worker, in its order."""
    entries = [Entry(FakeRecord(offset), AT, None, request) for offset, request in enumerate(batch)]
    async with connection.transaction():
        states = await load_states(connection, touches(requests_of(entries)))
        folded = fold_batch(states, [(request, AT) for request in batch])
        decided = decide_batch(Place("requests", 0), entries, folded)
        await write_changes(connection, decided.changes)
    return folded


async def rows(connection: Connection) -> Picture:
    """The whole directory in Postgres."""
    members = await connection.fetch(
        "SELECT organisation_id::text, id::text, user_name_key, external_id, status, "
        "restore_status, invitation_id::text, version::text, created, last_modified, document, "
        "kept_address "
        "FROM directory.member"
    )
    groups = await connection.fetch(
        "SELECT organisation_id::text, id::text, display_name_key, unique_name_key, external_id, "
        'version::text, created, last_modified, document FROM directory."group"'
    )
    memberships = await connection.fetch(
        "SELECT organisation_id::text, group_id::text, member_id::text FROM directory.group_member"
    )
    return (
        {(row["organisation_id"], row["id"]): to_member(row) for row in members},
        {(row["organisation_id"], row["id"]): to_group(row) for row in groups},
        {(row["organisation_id"], row["group_id"], row["member_id"]) for row in memberships},
    )


def picture(states: Iterable[State]) -> Picture:
    """The same of a fold that began with nothing."""
    members: dict[tuple[str, str], Member] = {}
    groups: dict[tuple[str, str], Group] = {}
    memberships: set[tuple[str, str, str]] = set()
    for state in states:
        organisation = state.organisation_id
        members.update({(organisation, key): each for key, each in state.members.items()})
        groups.update({(organisation, key): each for key, each in state.groups.items()})
        memberships.update(
            (organisation, group, member)
            for group, ids in state.memberships.items()
            for member in ids
        )
    return members, groups, memberships


@pytest.mark.parametrize("seed", range(CONVERSATIONS))
async def test_random_conversations_in_random_batches_leave_the_rows_of_the_fold_in_one_go(
    database: TestDatabase, seed: int
) -> None:
    conversation = Speaker(seed).conversation(REQUESTS)
    sizes = random.Random(seed)
    states = {organisation: State(organisation) for organisation in ORGANISATIONS}

    in_one = fold_batch(states, [(request, AT) for request in conversation])
    in_many: list[Folded] = []
    async with database.connect("provisioner") as connection:
        while len(in_many) < len(conversation):
            size = sizes.choice((1, 2, 3, 7, 20, 60))
            batch = conversation[len(in_many) : len(in_many) + size]
            in_many.extend(await apply(connection, batch))
            assert await rows(connection) == picture(replayed(conversation[: len(in_many)]))

    assert [item.reply for item in in_many] == [item.reply for item in in_one]
    assert [item.decision for item in in_many] == [item.decision for item in in_one]
    assert not [item.error for item in in_one if item.error is not None]
    assert {item.reply.status for item in in_one if item.reply} >= {200, 201, 204, 404, 409}
    assert "externalId" in {item.reply.attribute for item in in_one if item.reply}


def replayed(requests: Sequence[Request]) -> Iterable[State]:
    states = {organisation: State(organisation) for organisation in ORGANISATIONS}
    fold_batch(states, [(request, AT) for request in requests])
    return states.values()


INTEROP: Final = Organisation(ORGANISATION, "Harbour", 0, MOMENT, profile="interop")


def understood(number: int, verb: Verb, schema: ResourceSchema, **body: Any) -> Request:
    """The request that the door publishes for this body."""
    name = "userName" if schema is USER else "displayName"
    command = Command(
        id=an_id(10_000 + number),
        verb=verb,
        schema=schema,
        resource_id=None,
        organisation=INTEROP,
        actor="key:test",
        time=MOMENT,
    )
    whole = {"schemas": [schema.urn], name: f"name {number}", **body}
    return understand_body(command, orjson.dumps(whole)).request


@pytest.mark.parametrize("schema", [USER, GROUP], ids=["User", "Group"])
async def test_blank_external_ids_are_nobodys_and_do_not_clash(
    database: TestDatabase, schema: ResourceSchema
) -> None:
    batch = [understood(number, "create", schema, externalId="") for number in range(2)]

    async with database.connect("provisioner") as connection:
        first = await apply(connection, batch[:1])
        second = await apply(connection, batch[1:])

    assert [item.reply.status for item in (*first, *second) if item.reply] == [201, 201]


async def test_the_longest_names_that_pass_the_door_have_room_in_the_indexes(
    database: TestDatabase,
) -> None:
    chance = random.Random(7)
    # Nothing that Postgres could make shorter.
    longest = "".join(chr(chance.randint(0x4E00, 0x9FFF)) for _ in range(833))
    emails = [{"value": f"{longest[:240]}@example.org", "type": longest[:100]}]
    names = {"userName": longest[:320], "externalId": longest, "displayName": longest}
    user = understood(1, "create", USER, **names, emails=emails)
    group = understood(2, "create", GROUP, displayName=longest, externalId=longest)

    async with database.connect("provisioner") as connection:
        folded = await apply(connection, [user, group])

    assert [item.reply.status for item in folded if item.reply] == [201, 201]
