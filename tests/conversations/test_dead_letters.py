"""A poison event from end to end: its request fails, its member waits, the others never notice."""

import json
from typing import Any

from tests.support.builders import replacing
from tests.support.poison import FIX, REFUSE_TITLE, execute, rollcall
from tests.support.stack import Organisation, Stack


async def directory(stack: Stack, organisation: Organisation) -> list[dict[str, Any]]:
    """Every member without ids and times: what two organisations can be compared by."""
    rows = await stack.rows(
        "SELECT user_name_key, status, document::text, (SELECT count(*) FROM directory.group_member"
        " WHERE member_id = member.id) AS groups FROM directory.member"
        " WHERE organisation_id = $1::uuid ORDER BY user_name_key",
        organisation.id,
    )
    return [dict(row) for row in rows]


async def test_a_poison_event_is_redriven_after_the_fix_as_if_nothing_had_happened(
    whole_stack: Stack,
) -> None:
    """The same conversation with two organisations; one of them meets the fault on its way."""
    stack = whole_stack
    untroubled, troubled = await stack.organisation("Calm"), await stack.organisation("Storm")
    statuses: dict[str, list[tuple[int, str | None]]] = {}
    for organisation in (untroubled, troubled):
        if organisation is troubled:
            await execute(stack, REFUSE_TITLE)
        async with stack.client(organisation) as client:
            ana = (await client.create_user("ana@example.org")).body["id"]
            ben = (await client.create_user("ben@example.org")).body["id"]
            group = await client.call("POST", "/Groups", {"displayName": "Crew"})
            members = {"op": "add", "path": "members", "value": [{"value": ana}]}
            answers = [
                await client.patch(f"/Users/{ana}", replacing("title", "Poison")),
                await client.patch(f"/Users/{ana}", replacing("nickName", "Annie")),
                await client.patch(f"/Users/{ben}", replacing("title", "Cook")),
                await client.patch(f"/Groups/{group.body['id']}", members),
            ]
        statuses[organisation.id] = [
            (answer.status, answer.headers.get("Rollcall-Outcome")) for answer in answers
        ]
    assert statuses[untroubled.id] == [(200, None), (200, None), (200, None), (204, None)]
    assert statuses[troubled.id] == [(500, None), (204, "parked"), (200, None), (204, None)]

    [letter] = await rollcall(stack, "dead", "list")
    assert (letter["error_class"], letter["kind"], letter["parked"]) == ("23514", "member.patch", 1)
    shown = await rollcall(stack, "dead", "show", letter["id"])
    assert "Poison" not in json.dumps(shown)
    assert "Poison" in json.dumps(await rollcall(stack, "dead", "show", letter["id"], "--body"))
    [dry] = await rollcall(stack, "dead", "redrive", "Storm", "--dry-run")
    assert dry["result"] == "would be"
    await execute(stack, FIX)

    [done] = await rollcall(stack, "dead", "redrive", letter["dead_letter"], "--yes")
    [again] = await rollcall(stack, "dead", "redrive", letter["id"], "--yes")

    assert (done["result"], done["note"]) == ("redriven", "2 applied")
    assert again["result"] == "already"
    assert await directory(stack, troubled) == await directory(stack, untroubled)
    assert await rollcall(stack, "dead", "list") == []


async def test_a_poisoned_create_is_answered_500_each_time_and_the_neighbours_never_notice(
    whole_stack: Stack,
) -> None:
    """Repeats make one letter; five different ones park their organisation until it is mended."""
    stack = whole_stack
    troubled, neighbour = await stack.organisation("Gale"), await stack.organisation("Lull")
    await execute(stack, REFUSE_TITLE)
    async with stack.client(troubled) as client, stack.client(neighbour) as other:
        poison = {"title": "Poison"}
        same = [await client.create_user("bad@example.org", **poison) for _ in range(12)]
        calm = await other.create_user("ana@example.org", title="Cook")
        more = [await client.create_user(f"bad{n}@example.org", **poison) for n in range(6)]
        still_calm = await other.create_user("ben@example.org")
        letters = await rollcall(stack, "dead", "list", "Gale")

        assert [answer.status for answer in (*same, *more)] == [500] * 16 + [201] * 2
        assert [each.headers.get("Rollcall-Outcome") for each in more] == [None] * 4 + [
            "parked"
        ] * 2
        assert letters[0]["id"] in same[1].body["detail"]
        assert len(letters) == 5
        assert (calm.status, still_calm.status) == (201, 201)

        await execute(stack, FIX)
        done = await rollcall(stack, "dead", "redrive", "Gale", "--yes")
        again = await client.create_user("bad@example.org", **poison)
        free = await client.create_user("cy@example.org")

    assert [each["result"] for each in done] == ["redriven"] * 5 + ["freed"]
    assert (again.status, again.body["scimType"]) == (409, "uniqueness")
    assert (free.status, free.headers.get("Rollcall-Outcome")) == (201, None)
    assert len(await directory(stack, troubled)) == 8
