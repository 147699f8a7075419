"""The rows are the fold: whatever the batches, Postgres holds what the pure fold says, row for row.

Conversations of several organisations in one partition pass through the pieces of a batch as the
partition's worker has them: load what is touched, fold, collapse, write. They make every mistake
that a request can make, and use few names and few members, so that these collide. Requests of all
rules come mixed, of organisations that let an external id be shared and of others.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import orjson
import pytest

from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.state import Group, Member, State
from rollcall.events.request import Request
from rollcall.postgres.rows import to_group, to_member
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.write.understand import Command, Verb, understand_body
from tests.integration.postgres.folding import apply, apply_in_few_calls
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    an_id,
)
from tests.support.databases import Connection, TestDatabase
from tests.support.samples.speaker import AT, ORGANISATIONS, Speaker

CONVERSATIONS: Final = 8
REQUESTS: Final = 240

Apply = Callable[[Connection, Sequence[Request]], Awaitable[list[Folded]]]
Picture = tuple[
    dict[tuple[str, str], Member], dict[tuple[str, str], Group], set[tuple[str, str, str]]
]


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
@pytest.mark.parametrize("way", [apply, apply_in_few_calls], ids=["pieces", "few calls"])
async def test_random_conversations_in_random_batches_leave_the_rows_of_the_fold_in_one_go(
    database: TestDatabase, seed: int, way: Apply
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
            in_many.extend(await way(connection, batch))
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
async def test_blank_external_ids_belong_to_no_resource_and_do_not_clash(
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
