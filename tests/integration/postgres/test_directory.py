"""Load and write: what a batch leaves in the rows is what the next batch loads."""

from dataclasses import replace

import asyncpg
import pytest

from rollcall.directory.changes import (
    AddMembers,
    Change,
    PutGroup,
    PutMember,
    RemoveGroup,
    RemoveMember,
    RemoveMembers,
)
from rollcall.directory.fold import NetChanges, collapse
from rollcall.directory.lifecycle import Status
from rollcall.directory.state import State
from rollcall.directory.touch import Touch
from rollcall.postgres import directory_load, directory_search, directory_write
from tests.support.builders import (
    ORGANISATION,
    OTHER_ORGANISATION,
    a_group,
    a_member,
    a_user,
    an_id,
)
from tests.support.databases import Connection, TestDatabase

ANA = a_member(1, "ana@example.org")
BEN = a_member(2, "ben@example.org", resource=a_user("ben@example.org", externalId="x-2"))
SAILORS = a_group(50, "Sailors")
COOKS = a_group(51, "Cooks")


async def write(connection: Connection, *changes: Change, organisation: str = ORGANISATION) -> None:
    async with connection.transaction():
        net = collapse((organisation, change) for change in changes)
        await directory_write.write_changes(connection, net)


async def load(connection: Connection, touch: Touch, organisation: str = ORGANISATION) -> State:
    async with connection.transaction():
        states = await directory_load.load_states(connection, {organisation: touch})
    return states[organisation]


async def test_put_member_is_loaded_as_it_was_written(database: TestDatabase) -> None:
    revoked = replace(
        BEN, status=Status.REVOKED, restore_status=Status.ACCEPTED, invitation_id=None
    )

    async with database.connect("provisioner") as connection:
        await write(connection, PutMember(ANA), PutMember(revoked))
        state = await load(connection, Touch(members={ANA.id, BEN.id}))

    assert state.members == {ANA.id: ANA, BEN.id: revoked}
    assert state.user_names == {ANA.user_name_key: ANA.id, BEN.user_name_key: BEN.id}
    assert state.member_external_ids == {"x-2": {BEN.id}}


async def test_put_again_makes_the_row_equal(database: TestDatabase) -> None:
    later = replace(a_member(1, "anna@example.org"), status=Status.CONFIRMED, version=an_id(700))

    async with database.connect("provisioner") as connection:
        await write(connection, PutMember(ANA))
        await write(connection, PutMember(later))
        state = await load(connection, Touch(members={ANA.id}, user_names={"ana@example.org"}))

    assert state.members == {ANA.id: later}
    assert state.user_names == {"anna@example.org": ANA.id}


async def test_owners_of_touched_names_are_in_the_state(database: TestDatabase) -> None:
    """By name and id alone: a batch may name a thousand large members whom it does not touch."""
    async with database.connect("provisioner") as connection:
        await write(connection, PutMember(ANA), PutMember(BEN))
        state = await load(connection, Touch(user_names={ANA.user_name_key}))

    assert state.user_names == {ANA.user_name_key: ANA.id}
    assert state.members == {}


async def test_all_who_hold_an_external_id_are_known_by_their_ids(database: TestDatabase) -> None:
    """By ids alone: of one value that thousands hold no document is read."""
    also = replace(ANA, external_id="x-2")
    sailors, cooks = replace(SAILORS, external_id="g-1"), replace(COOKS, external_id="g-1")
    touch = Touch(member_external_ids={"x-2", "X-2"}, group_external_ids={"g-1", "g-2"})

    async with database.connect("provisioner") as connection:
        await write(connection, *map(PutMember, (also, BEN)), *map(PutGroup, (sailors, cooks)))
        await write(connection, PutMember(BEN), organisation=OTHER_ORGANISATION)
        state = await load(connection, touch)

    assert state.member_external_ids == {"x-2": {ANA.id, BEN.id}}
    assert state.group_external_ids == {"g-1": {SAILORS.id, COOKS.id}}
    assert (state.members, state.groups) == ({}, {})


async def test_group_names_and_external_ids_find_their_owners(database: TestDatabase) -> None:
    named = replace(SAILORS, external_id="g-1")
    shared_name = replace(COOKS, name_is_unique=False)
    touch = Touch(group_names={"sailors", "cooks"}, group_external_ids={"g-1"})

    async with database.connect("provisioner") as connection:
        await write(connection, PutGroup(named), PutGroup(shared_name))
        by_name = await load(connection, touch)
        by_id = await load(connection, Touch(groups={COOKS.id}))

    assert by_name.groups == {}
    assert by_name.group_names == {"sailors": SAILORS.id}
    assert by_name.group_external_ids == {"g-1": {SAILORS.id}}
    assert by_id.groups == {COOKS.id: shared_name}
    assert by_id.group_names == {}


async def test_memberships_are_loaded_as_far_as_named(database: TestDatabase) -> None:
    touch = Touch(
        groups={SAILORS.id},
        known={ANA.id, an_id(9)},
        pairs={(SAILORS.id, ANA.id), (COOKS.id, ANA.id)},
    )

    async with database.connect("provisioner") as connection:
        await write(
            connection,
            PutMember(ANA),
            PutMember(BEN),
            PutGroup(SAILORS),
            PutGroup(COOKS),
            AddMembers(SAILORS.id, (ANA.id, BEN.id)),
        )
        state = await load(connection, touch)

    assert state.known_members == {ANA.id}
    assert state.memberships[SAILORS.id] == {ANA.id}
    assert COOKS.id not in state.memberships
    assert state.complete_groups == set()


async def test_whole_groups_hold_every_member(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await write(
            connection,
            PutGroup(SAILORS),
            PutGroup(COOKS),
            AddMembers(SAILORS.id, (ANA.id, BEN.id)),
        )
        state = await load(connection, Touch(whole_groups={SAILORS.id, COOKS.id}))

    assert state.complete_groups == {SAILORS.id, COOKS.id}
    assert state.memberships == {SAILORS.id: {ANA.id, BEN.id}, COOKS.id: set()}


async def test_members_with_groups_bring_all_their_groups(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await write(
            connection,
            PutMember(ANA),
            PutMember(BEN),
            PutGroup(SAILORS),
            PutGroup(COOKS),
            AddMembers(SAILORS.id, (ANA.id, BEN.id)),
            AddMembers(COOKS.id, (ANA.id,)),
        )
        state = await load(connection, Touch(members_with_groups={ANA.id, an_id(9)}))

    assert state.groups_of == {ANA.id: {SAILORS.id, COOKS.id}, an_id(9): set()}
    assert state.groups == {SAILORS.id: SAILORS, COOKS.id: COOKS}
    assert state.memberships == {SAILORS.id: {ANA.id}, COOKS.id: {ANA.id}}


async def test_removals_take_the_memberships_along(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await write(
            connection,
            *map(PutMember, (ANA, BEN)),
            *map(PutGroup, (SAILORS, COOKS)),
            AddMembers(SAILORS.id, (ANA.id, BEN.id)),
            AddMembers(COOKS.id, (ANA.id, BEN.id)),
        )
        await write(connection, RemoveMember(ANA.id), RemoveGroup(COOKS.id))
        await write(connection, RemoveMembers(SAILORS.id, (BEN.id,)))
        left = [
            await connection.fetchval(f"SELECT count(*) FROM directory.{table}")
            for table in ("member", '"group"', "group_member")
        ]

    assert left == [1, 1, 0]


async def test_adding_a_membership_twice_changes_nothing(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await write(connection, PutGroup(SAILORS), AddMembers(SAILORS.id, (ANA.id,)))
        await write(connection, AddMembers(SAILORS.id, (ANA.id, BEN.id)))
        number = await connection.fetchval("SELECT count(*) FROM directory.group_member")

    assert number == 2


async def test_names_may_be_swapped_within_one_batch(database: TestDatabase) -> None:
    """Unique names are checked at commit: each row alone would violate them."""
    swapped_ana = replace(ANA, user_name_key=BEN.user_name_key, external_id="x-2")
    swapped_ben = replace(BEN, user_name_key=ANA.user_name_key, external_id=None)
    swapped = (
        replace(SAILORS, display_name_key="cooks"),
        replace(COOKS, display_name_key="sailors"),
    )

    async with database.connect("provisioner") as connection:
        await write(connection, *map(PutMember, (ANA, BEN)), *map(PutGroup, (SAILORS, COOKS)))
        await write(
            connection,
            *map(PutMember, (swapped_ana, swapped_ben)),
            *map(PutGroup, swapped),
        )
        touch = Touch(user_names={ANA.user_name_key}, group_names={"sailors"})
        state = await load(connection, touch)

    assert state.user_names == {ANA.user_name_key: BEN.id}
    assert state.group_names == {"sailors": COOKS.id}


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ((PutMember(ANA), PutMember(a_member(3, "ana@example.org"))), "member_username_unique"),
        (
            (PutMember(BEN), PutMember(replace(ANA, user_name_key=BEN.user_name_key))),
            "member_username_unique",
        ),
        ((PutGroup(SAILORS), PutGroup(a_group(52, "Sailors"))), "group_name_unique"),
    ],
)
async def test_a_name_held_twice_at_commit_is_refused(
    database: TestDatabase, changes: tuple[Change, ...], constraint: str
) -> None:
    async with database.connect("provisioner") as connection:
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await write(connection, *changes)

    assert refused.value.constraint_name == constraint


async def test_groups_may_share_a_name_where_the_organisation_allows_it(
    database: TestDatabase,
) -> None:
    lax = replace(a_group(52, "Sailors"), name_is_unique=False)

    async with database.connect("provisioner") as connection:
        await write(connection, PutGroup(SAILORS), PutGroup(lax))
        state = await load(connection, Touch(groups={SAILORS.id, lax.id}))

    assert set(state.groups) == {SAILORS.id, lax.id}
    assert state.group_names == {"sailors": SAILORS.id}


async def test_one_batch_of_two_organisations_with_the_same_ids_and_names(
    database: TestDatabase,
) -> None:
    """Nothing of one organisation is seen or touched through the other."""
    theirs = replace(ANA, status=Status.CONFIRMED)
    touch = Touch(members={ANA.id}, members_with_groups={ANA.id}, whole_groups={SAILORS.id})

    async with database.connect("provisioner") as connection:
        common = (PutGroup(SAILORS), AddMembers(SAILORS.id, (ANA.id,)))
        await write(connection, PutMember(ANA), *common)
        await write(connection, PutMember(theirs), *common, organisation=OTHER_ORGANISATION)
        await write(connection, RemoveMember(ANA.id), RemoveGroup(SAILORS.id))
        async with connection.transaction():
            states = await directory_load.load_states(
                connection, {ORGANISATION: touch, OTHER_ORGANISATION: touch}
            )
        found = await directory_search.find_member(connection, OTHER_ORGANISATION, ANA.id)

    assert states[ORGANISATION].members == {}
    assert states[ORGANISATION].memberships == {SAILORS.id: set()}
    assert states[OTHER_ORGANISATION].members == {ANA.id: theirs}
    assert states[OTHER_ORGANISATION].memberships == {SAILORS.id: {ANA.id}}
    assert found is not None


async def test_what_cannot_be_a_row_is_simply_absent(database: TestDatabase) -> None:
    """Ids that are no UUID, U+0000 and lone surrogates exist nowhere, and break no batch."""
    touch = Touch(
        members={"no-uuid", ANA.id.upper()},
        groups={"no-uuid"},
        user_names={"a\0b", "\ud800"},
        member_external_ids={"\0"},
        group_names={"\0"},
        group_external_ids={"\ud800"},
        members_with_groups={"no-uuid"},
        whole_groups={"no-uuid"},
        known={"no-uuid"},
        pairs={("no-uuid", ANA.id), (SAILORS.id, "no-uuid")},
    )

    async with database.connect("provisioner") as connection:
        await write(connection, PutMember(ANA))
        state = await load(connection, touch)

    assert state.members == {}
    assert state.known_members == set()
    assert state.groups_of == {"no-uuid": set()}


async def test_a_large_group_is_written_and_read_in_chunks(database: TestDatabase) -> None:
    members = tuple(an_id(number) for number in range(25_000))

    async with database.connect("provisioner") as connection:
        await write(connection, PutGroup(SAILORS), AddMembers(SAILORS.id, members))
        state = await load(connection, Touch(whole_groups={SAILORS.id}))

    assert state.memberships[SAILORS.id] == set(members)


async def test_a_resource_that_is_touched_by_name_and_by_id_is_loaded_whole(
    database: TestDatabase,
) -> None:
    named = replace(SAILORS, external_id="g-1")
    touch = Touch(
        members={ANA.id},
        user_names={ANA.user_name_key},
        groups={SAILORS.id},
        group_external_ids={"g-1"},
    )

    async with database.connect("provisioner") as connection:
        await write(connection, PutMember(ANA), PutGroup(named))
        state = await load(connection, touch)

    assert state.members == {ANA.id: ANA}
    assert state.groups == {SAILORS.id: named}


@pytest.mark.parametrize("members", [0, 1, 7, 8, 23])
async def test_memberships_are_deleted_in_parts_however_many_there_are(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    """Of a group, of a member, and of an organisation; at every edge of a part."""
    monkeypatch.setattr(directory_write, "FIRST_OF_EACH", 4)
    monkeypatch.setattr(directory_write, "DELETED_AT_ONCE", 4)
    monkeypatch.setattr(directory_write, "RESOURCES_AT_ONCE", 2)
    ids = tuple(an_id(1000 + number) for number in range(members))
    groups = [a_group(2000 + number, f"Group {number}") for number in range(members)]
    signs: list[None] = []

    async with database.connect("provisioner") as connection, connection.transaction():
        await write(connection, PutMember(ANA), PutMember(BEN), PutGroup(SAILORS), PutGroup(COOKS))
        await write(
            connection,
            *map(PutGroup, groups),
            *(AddMembers(group.id, (ANA.id, BEN.id)) for group in groups),
            *(AddMembers(each.id, ids) for each in (SAILORS, COOKS) if ids),
        )
        gone = NetChanges(
            removed_groups=[(ORGANISATION, SAILORS.id)], removed_members=[(ORGANISATION, ANA.id)]
        )
        await directory_write.write_changes(connection, gone, alive=lambda: signs.append(None))
        left = await connection.fetch("SELECT group_id, member_id FROM directory.group_member")
        await directory_write.write_changes(
            connection, NetChanges(left=[(ORGANISATION, an_id(1), ANA.created)])
        )
        rows = await connection.fetchval(
            "SELECT (SELECT count(*) FROM directory.group_member)"
            " + (SELECT count(*) FROM directory.member) + (SELECT count(*) FROM directory.group)"
        )

    expected = {(COOKS.id, each) for each in ids} | {(group.id, BEN.id) for group in groups}
    assert {(str(row["group_id"]), str(row["member_id"])) for row in left} == expected
    assert len(signs) >= 2 * (members // 4)
    assert rows == 0


async def test_large_documents_are_written_in_parts(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_write, "DOCUMENT_BYTES", 500)
    monkeypatch.setattr(directory_write, "THREAD_BYTES", 300)
    members = [
        a_member(3000 + number, resource=a_user(f"m{number}@example.org", title="x" * 37 * number))
        for number in range(20)
    ]
    signs: list[None] = []

    async with database.connect("provisioner") as connection:
        net = NetChanges(put_members=[(ORGANISATION, each) for each in members])
        await directory_write.write_changes(connection, net, alive=lambda: signs.append(None))
        state = await load(connection, Touch(members={each.id for each in members}))

    assert state.members == {each.id: each for each in members}
    assert len(signs) > 10
