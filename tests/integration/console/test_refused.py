"""The page Refused: what waits behind a fault of ours is tried again, or given up, by an admin."""

import re

import pytest

from tests.support.console import signed_in
from tests.support.poison import FIX, POISON_TITLE, REFUSE_TITLE, execute
from tests.support.stack import Stack


@pytest.fixture
async def console(stack: Stack) -> Stack:
    """A whole deployment and its console, over a database that refuses a title."""
    await stack.start_all()
    await stack.start("console")
    await execute(stack, REFUSE_TITLE)
    return stack


@pytest.mark.parametrize("action", ["redrive", "discard"])
async def test_what_could_not_be_applied_is_closed(console: Stack, action: str) -> None:
    organisation = await console.organisation("Acme")
    path = f"/o/{organisation.id}/refused"
    async with console.client(organisation) as client, signed_in(console, organisation.id) as admin:
        assert "Nothing was refused" in (await admin.get(path)).text
        made = await client.create_user("ana@acme.example", displayName="Ana")
        user = f"/Users/{made.body['id']}"
        poison = {"op": "replace", "path": "title", "value": POISON_TITLE}
        assert (await client.patch(user, poison)).status == 500

        page = await admin.get(path)
        assert "Ana" in page.text
        assert "Tried once" in page.text
        assert "secret of ana" not in page.text
        letter = re.search(r"/refused/([0-9a-f-]{36})/redrive", page.text)
        assert letter is not None

        again = await admin.post(f"{path}/{letter[1]}/redrive")
        assert again.status == 422
        assert "failed again" in again.text
        await execute(console, FIX)
        assert (await admin.get(f"{path}/{letter[1]}/{action}")).status == 200
        done = await admin.post(f"{path}/{letter[1]}/{action}")
        assert done.location is not None
        assert done.location.startswith(f"{path}?done=letter_{action[:5]}")
        assert "Nothing was refused" in (await admin.follow(done)).text

        title = (await client.call("GET", user)).body.get("title")
        assert title == (POISON_TITLE if action == "redrive" else None)
        assert (await admin.post(f"{path}/{letter[1]}/{action}")).status == 404
    actors = await console.rows("SELECT DISTINCT actor FROM audit.event WHERE type LIKE '%.dead.%'")
    assert [row["actor"].partition(":")[0] for row in actors] == ["account"]
