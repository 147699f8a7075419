"""The rows are the fold, with dead letters as well: in whatever batches, through kept bytes.

Random conversations with poison, redrives and discards. Half-way the fix is rolled out. What the
pure fold holds in memory after all of it in two goes must be in the tables after many batches,
each loaded anew, where every redrive reads back what was kept.
"""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from rollcall.applying import dead_letters
from rollcall.applying.apply import Apply, apply_at_once
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.one_by_one import apply_one_by_one
from rollcall.applying.options import ApplyOptions
from rollcall.applying.understand import Entry, runs, stands_alone, understand
from rollcall.directory import members
from rollcall.directory.changes import Decision
from rollcall.directory.fold import fold_batch
from rollcall.directory.state import State
from rollcall.events.bodies import Create, Patch
from rollcall.events.request import MemberDelta, Request, to_event
from rollcall.postgres import audit
from rollcall.postgres.audit import AuditRow
from rollcall_provisioner.announce import announcements
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    a_request,
    a_user,
    an_id,
    let_go,
    redrive,
    replacing,
)
from tests.support.databases import Connection, TestDatabase
from tests.support.samples.records import a_record

AT: Final = MOMENT + timedelta(seconds=1)
SOURCE: Final = SourceLog("t.requests", 3)
MEMBERS: Final = tuple(an_id(number) for number in range(1, 5))
GROUPS: Final = tuple(an_id(number) for number in (50, 51))
NAMES: Final = ("ana", "bo", "cy")
EVENTS: Final = 160
Picture = dict[str, Any]


@pytest.fixture
def fix(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Until `deployed`, a PATCH with a nickname cannot be decided."""
    deployed = {"deployed": False}
    right = members.patch

    def wrong(state: State, request: Request, body: Patch) -> Decision:
        is_poison = any(each["path"] == "nickName" for each in body.operations)
        if is_poison and not deployed["deployed"]:
            raise KeyError("nickName")
        return right(state, request, body)

    monkeypatch.setattr(members, "patch", wrong)
    return deployed


def conversation(seed: int, fix: dict[str, bool], half: int) -> list[Entry]:
    """Events of one organisation as they come from the log; most redrives name what is dead."""
    chance = random.Random(seed)
    state = State(ORGANISATION)
    records = []
    for offset in range(EVENTS):
        number = 10_000 + offset
        member, group = chance.choice(MEMBERS), chance.choice(GROUPS)
        name = chance.choice(NAMES)
        match chance.randrange(15):
            case 0 | 1 | 2:
                request = a_request("member.create", member, number, resource=a_user(name))
            case 3 | 4:
                operation = replacing(chance.choice(("title", "userName")), name)
                request = a_request("member.patch", member, number, operations=(operation,))
            case 5:
                request = a_request("member.delete", member, number)
            case 6:
                request = a_request("group.create", group, number, resource={"displayName": name})
            case 7:
                delta = MemberDelta(chance.random() < 0.2, tuple(chance.sample(MEMBERS, 2)))
                request = a_request("group.patch", group, number, members=delta)
            case 8 | 9 | 10:
                operation = replacing("nickName", name)
                request = a_request("member.patch", member, number, operations=(operation,))
            case 11:
                request = a_request("member.create", member, number)
            case case:
                dead = a_request("member.delete", member, 1)
                held = [each.dead.event for each in state.quarantines.values() if each.dead]
                if held and isinstance(one := chance.choice(held), Request):
                    dead = one
                request = redrive(dead, number, "dead.redrive" if case < 14 else "dead.discard")
        fix["deployed"] = offset >= half
        fold_batch({ORGANISATION: state}, [(request, AT)])
        records.append(a_record(offset, to_event(request), key=ORGANISATION))
    return list(understand(records).entries)


async def rows(connection: Connection) -> Picture:
    """What the tables hold."""
    members = await connection.fetch(
        "SELECT id::text, version::text, document FROM directory.member"
    )
    groups = await connection.fetch('SELECT id::text, version::text FROM directory."group"')
    pairs = await connection.fetch(
        "SELECT group_id::text, member_id::text FROM directory.group_member"
    )
    dead = await connection.fetch(
        "SELECT endpoint, resource_id::text, id::text, attempts, told FROM directory.dead_letter "
        "WHERE state = 'dead'"
    )
    waiting = await connection.fetch(
        "SELECT endpoint, resource_id::text, id::text FROM directory.parked "
        'WHERE NOT by_organisation ORDER BY "offset"'
    )
    held: dict[tuple[str, str], Any] = {
        (endpoint, resource): (event_id, attempts, announced, [])
        for endpoint, resource, event_id, attempts, announced in dead
    }
    for endpoint, resource, event_id in waiting:
        held[endpoint, resource][3].append(event_id)
    return {
        "members": {row["id"]: (row["version"], row["document"]) for row in members},
        "groups": {row["id"]: row["version"] for row in groups},
        "pairs": {tuple(pair) for pair in pairs},
        "held": held,
    }


def picture(state: State) -> Picture:
    """The same of a fold in memory."""
    return {
        "members": {key: (each.version, each.resource) for key, each in state.members.items()},
        "groups": {key: each.version for key, each in state.groups.items()},
        "pairs": {(group, each) for group, ids in state.memberships.items() for each in ids},
        "held": {
            key: (
                each.dead_id,
                each.dead.attempts,
                each.dead.announced,
                [held.event.id for held in each.parked],
            )
            for key, each in state.quarantines.items()
            if each.dead is not None
        },
    }


def folded(entries: Sequence[Entry], fix: dict[str, bool], half: int) -> State:
    """All of it in two goes: before and after the fix."""
    state = State(ORGANISATION)
    for is_fixed, part in ((False, entries[:half]), (True, entries[half:])):
        fix["deployed"] = is_fixed
        batch = [(dead_letters.to_event(SOURCE, each), each.append_time) for each in part]
        fold_batch({ORGANISATION: state}, batch)
    return state


@pytest.mark.parametrize("apply", [apply_at_once, apply_one_by_one], ids=["at once", "one by one"])
@pytest.mark.parametrize("seed", range(6))
async def test_random_batches_with_dead_letters_leave_the_rows_of_the_fold(
    database: TestDatabase, fix: dict[str, bool], seed: int, apply: Apply
) -> None:
    entries = conversation(seed, fix, EVENTS // 2)
    half = EVENTS // 2
    whole = folded(entries, fix, half)
    chance = random.Random(seed)
    audited: list[AuditRow] = []

    start = 0
    async with database.connect("provisioner") as connection:
        while start < EVENTS:
            fix["deployed"] = start >= half
            end = min(start + chance.choice((1, 2, 5, 20)), half if start < half else EVENTS)
            async with connection.transaction():
                decided = await apply(connection, SOURCE, entries[start:end], ApplyOptions(10_000))
            audited.extend(decided.rows)
            start = end
        found = await rows(connection)
        stored = await audit.unannounced(connection, SOURCE.topic, SOURCE.partition, 0, 1000)

    assert found == picture(whole)
    announced = [each for row in audited for each in announcements(row)]
    # A successor that announces from the table says the very same.
    assert [each for row in stored for each in announcements(row)] == announced
    assert list(map(dead_letters.to_announcements, stored)) == list(
        map(dead_letters.to_announcements, audited)
    )
    assert len({each.id for each in announced}) == len(announced)
    assert [each.sequence for each in announced] == sorted(each.sequence for each in announced)
    assert {each.outcome.fact for each in announced} >= {
        "dead.redriven",
        "dead.discarded",
        "request.parked",
        "request.failed",
    }


def parking(seed: int, fix: dict[str, bool], half: int) -> tuple[list[Entry], frozenset[str]]:
    """Creates that are sent again and again, changes, and an organisation that is parked and let
    go: events, and those behind which it is parked."""
    chance = random.Random(seed)
    state = State(ORGANISATION)
    parks: set[str] = set()
    records = []
    for offset in range(EVENTS):
        number = 20_000 + offset
        fix["deployed"] = offset >= half
        member, name = an_id(number), chance.choice(NAMES)
        nick = {"nickName": chance.choice("xyz")} if chance.random() < 0.5 else {}
        resource = dict(chance.sample([*a_user(name, **nick).items()], 3 + len(nick)))
        request = a_request("member.create", member, number, resource=resource)
        known = [*state.members] or [member]
        match chance.randrange(10):
            case 0 | 1:
                operation = replacing("title", str(number))
                request = a_request(
                    "member.patch", chance.choice(known), number, operations=(operation,)
                )
            case 2:
                request = a_request("member.delete", chance.choice(known), number)
            case 3:
                request = a_request("member.erase", chance.choice(known), number)
            case 4:
                held = [each.dead.event for each in state.quarantines.values() if each.dead]
                if held and isinstance(one := chance.choice(held), Request):
                    is_given_up = chance.random() < 0.5
                    request = redrive(
                        one, number, "dead.discard" if is_given_up else "dead.redrive"
                    )
            case 5 | 6 if state.park is not None:
                request = let_go(state.park.dead_id, number, "t.requests/3/1")
        behind = {request.id} if chance.random() < 0.3 else set()
        [result] = fold_batch({ORGANISATION: state}, [(request, AT)], parks=behind)
        if result.parks:
            parks |= behind
        records.append(a_record(offset, to_event(request), key=ORGANISATION))
    return list(understand(records).entries), frozenset(parks)


@pytest.mark.parametrize("apply", [apply_at_once, apply_one_by_one], ids=["at once", "one by one"])
@pytest.mark.parametrize("seed", range(8))
async def test_random_batches_of_a_parked_organisation_leave_the_rows_of_the_fold(
    database: TestDatabase,
    fix: dict[str, bool],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    apply: Apply,
) -> None:
    right = members.create

    def wrong(state: State, request: Request, body: Create) -> Decision:
        if "nickName" in body.resource and not fix["deployed"]:
            raise KeyError("nickName")
        return right(state, request, body)

    monkeypatch.setattr(members, "create", wrong)
    half = EVENTS * 2 // 3
    entries, parks = parking(seed, fix, half)
    assert parks
    whole = State(ORGANISATION)
    for is_fixed, part in ((False, entries[:half]), (True, entries[half:])):
        fix["deployed"] = is_fixed
        batch = [(dead_letters.to_event(SOURCE, each), each.append_time) for each in part]
        fold_batch({ORGANISATION: whole}, batch, parks=parks)
    chance = random.Random(seed)

    audited: list[AuditRow] = []
    async with database.connect("provisioner") as connection:
        for is_fixed, part in ((False, entries[:half]), (True, entries[half:])):
            fix["deployed"] = is_fixed
            for run in runs(part, stands_alone):
                left = list(run)
                while left:
                    size = chance.choice((1, 2, 5, 20))
                    some, left = left[:size], left[size:]
                    async with connection.transaction():
                        decided = await apply(
                            connection, SOURCE, some, ApplyOptions(None, parks=parks)
                        )
                    audited.extend(decided.rows)
        found = await rows(connection)
        [park] = await connection.fetch(
            "SELECT (SELECT id::text FROM directory.parked_organisation) AS behind, "
            "ARRAY(SELECT id::text FROM directory.parked WHERE by_organisation "
            'ORDER BY "offset") AS waiting'
        )
        causes = await connection.fetch(
            "SELECT id::text, cause FROM directory.dead_letter WHERE state = 'dead'"
        )

    assert found == picture(whole)
    expected = (
        (None, [])
        if whole.park is None
        else (
            whole.park.dead_id,
            [held.event.id for held in whole.park.waiting],
        )
    )
    assert (park["behind"], park["waiting"]) == expected
    assert {row["id"]: row["cause"] for row in causes} == {
        each.dead_id: each.cause for each in whole.quarantines.values()
    }
    announced = [each for row in audited for each in announcements(row)]
    assert len({each.id for each in announced}) == len(announced)
    assert "repeat_of" in str([row.outcomes for row in audited])
