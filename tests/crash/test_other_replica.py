"""What one process of ingress has answered, the next one and every other replica knows."""

import pytest

from tests.support.load import applied
from tests.support.scim_client import GROUP, Client
from tests.support.stack import Organisation, Process, Stack, until

CREW = {"schemas": [GROUP], "displayName": "Crew"}


def at(organisation: Organisation, process: Process) -> Organisation:
    """The organisation's way in through another replica."""
    base = f"http://127.0.0.1:{process.door_port}/v2/{organisation.id}"
    return Organisation(organisation.id, organisation.partition, organisation.key, base)


async def finds(client: Client, path: str, name: str, value: str) -> list[str]:
    """Ids of what a look-up by equality finds."""
    found = await client.call("GET", f'{path}?filter={name} eq "{value}"')
    assert found.status == 200, found.body
    return [each["id"] for each in found.body["Resources"]]


async def another(stack: Stack, how: str) -> Process:
    """The process that is asked next: one after a kill of the first, or a second beside it."""
    if how == "restarted":
        [first] = stack.running("ingress")
        first.kill()
    return await stack.start("ingress", ROLLCALL_INGRESS_REPLY_BUDGET_S="0.3")


@pytest.mark.parametrize("how", ["restarted", "beside"])
async def test_what_was_answered_without_a_provisioner_is_known_and_comes_true(
    stack: Stack, how: str
) -> None:
    first = await stack.start("ingress", ROLLCALL_INGRESS_REPLY_BUDGET_S="0.3")
    organisation = await stack.organisation()
    async with stack.client(at(organisation, first)) as client:
        ana = await client.create_user("ana@example.org", externalId="e-1")
        bo = await client.create_user("bo@example.org")
        crew = await client.call(
            "POST", "/Groups", {**CREW, "members": [{"value": ana.body["id"]}]}
        )
        gone = await client.call("DELETE", f"/Users/{bo.body['id']}")
    assert [each.status for each in (ana, bo, crew, gone)] == [201, 201, 201, 204]
    ana_id, bo_id, crew_id = (each.body["id"] for each in (ana, bo, crew))

    second = await another(stack, how)
    async with stack.client(at(organisation, second)) as client:
        for path in (f"/Users/{ana_id}", f"/Groups/{crew_id}"):
            assert (await client.call("GET", path)).status == 200
        assert (await client.call("GET", f"/Users/{bo_id}")).status == 404
        assert await finds(client, "/Users", "userName", "ANA@example.org") == [ana_id]
        assert await finds(client, "/Users", "externalId", "e-1") == [ana_id]
        assert await finds(client, "/Users", "userName", "bo@example.org") == []
        assert await finds(client, "/Groups", "displayName", "crew") == [crew_id]
        shown = await client.call("GET", f"/Groups/{crew_id}")
        assert [each["value"] for each in shown.body["members"]] == [ana_id]

        again = await client.create_user("Ana@example.org")
        no_such = await client.patch(f"/Users/{bo_id}", {"op": "replace", "value": {"title": "x"}})
        revoked = await client.patch(
            f"/Users/{ana_id}", {"op": "replace", "path": "active", "value": False}
        )
    assert [each.status for each in (again, no_such, revoked)] == [409, 404, 200]
    assert again.body["scimType"] == "uniqueness"

    await stack.start("provisioner")
    await until(lambda: applied(stack, organisation), "the log is applied", 30)
    rows = await stack.rows("SELECT id::text, status FROM directory.member")
    assert [(row["id"], row["status"]) for row in rows] == [(ana_id, "revoked")]
    refused = await stack.rows("SELECT status, optimistic FROM audit.event WHERE status >= 400")
    assert sorted(row["status"] for row in refused) == [404, 409], "as they were answered"
    assert not any(row["optimistic"] for row in refused)


async def test_a_client_that_goes_from_door_to_door_is_never_contradicted(stack: Stack) -> None:
    """Each request at the other replica, at once, while nothing is applied."""
    doors = [await stack.start("ingress", ROLLCALL_INGRESS_REPLY_BUDGET_S="0.3") for _ in range(2)]
    organisation = await stack.organisation()
    async with (
        stack.client(at(organisation, doors[0])) as first,
        stack.client(at(organisation, doors[1])) as second,
    ):
        ana = await first.create_user("ana@example.org")
        path = f"/Users/{ana.body['id']}"
        await assert_shown(second, path, active=True)
        again = await second.create_user("ana@example.org")
        revoked = await second.patch(path, {"op": "replace", "path": "active", "value": False})
        await assert_shown(first, path, active=False)
        restored = await first.patch(path, {"op": "replace", "path": "active", "value": True})
        await assert_shown(second, path, active=True)
        named = await second.patch(path, {"op": "replace", "path": "title", "value": "Captain"})
        await assert_shown(first, path, title="Captain")
        gone = await first.call("DELETE", path)
        assert (await second.call("GET", path)).status == 404
    answers = [ana, again, revoked, restored, named, gone]
    assert [each.status for each in answers] == [201, 409, 200, 200, 200, 204]
    assert [each.is_pending for each in answers] == [True, False, True, True, True, True]

    await stack.start("provisioner")
    await until(lambda: applied(stack, organisation), "the log is applied", 30)
    statuses = await stack.rows('SELECT status FROM audit.event ORDER BY "offset"')
    assert [row["status"] for row in statuses] == [201, 409, 200, 200, 200, 204]
    assert await stack.rows("SELECT 1 FROM directory.member") == []


async def assert_shown(client: Client, path: str, **attributes: object) -> None:
    """This replica shows the resource with these attributes, by its id and by its name."""
    answer = await client.call("GET", path)
    assert answer.status == 200, answer.body
    assert attributes.items() <= answer.body.items()
    assert await finds(client, "/Users", "userName", answer.body["userName"]) == [answer.body["id"]]
