"""Limits of a key on its page, and showing again who one is before a key is made."""

from rollcall.control.tenancy_log import open_log
from tests.support.console import signed_in
from tests.support.stack import Stack

PASSWORD = "correct horse battery staple"


async def test_limits_are_set_and_a_wrong_network_changes_nothing(stack: Stack) -> None:
    await stack.start("console")
    organisation = await stack.organisation()
    public_id = organisation.key[3:15]
    path = f"/o/{organisation.id}/scim/keys/{public_id}/limits"

    async def limits() -> tuple[tuple[str, ...], tuple[str, ...]]:
        async with open_log(stack.settings) as log:
            [key] = (await log.read()).keys_of(organisation.id)
        return key.networks, key.scopes

    async with signed_in(stack, organisation.id) as opened:
        for wrong in ("192.0.2.1/24", "anywhere", "\n".join(f"10.0.{n}.0/24" for n in range(65))):
            answer = await opened.post(path, {"networks": wrong, "users:read": "on"})
            assert answer.status == 422
        assert await limits() == ((), ())

        fields = {"networks": " ::ffff:192.0.2.0/120\r\n\r\n2001:db8::/32 ", "users:read": "on"}
        done = await opened.follow(await opened.post(path, fields))
        assert await limits() == (("192.0.2.0/24", "2001:db8::/32"), ("users:read",))
        assert "from 2 networks only" in done.text
        form = await opened.get(path)
        assert "2001:db8::/32</textarea>" in form.text

        await opened.post(path, {"networks": ""})
        assert await limits() == ((), ())


async def test_who_has_been_here_for_long_shows_again_who_they_are(stack: Stack) -> None:
    await stack.start("console")
    organisation = await stack.organisation()
    new_key = f"/o/{organisation.id}/scim/keys/new"
    async with signed_in(stack, organisation.id) as opened:
        await stack.rows("UPDATE console.session SET authenticated = now() - interval '1 hour'")
        # Without a password there is nothing to show, and none can be set now.
        asked = await opened.get(new_key)
        assert asked.location is not None
        assert "has no password" in (await opened.get(asked.location)).text
        assert (await opened.get("/account/password")).status == 303
        assert (await opened.post("/account/password", {"new": PASSWORD})).status == 303
        assert (await stack.rows("SELECT password_hash FROM console.account"))[0][0] is None

        await stack.rows("UPDATE console.session SET authenticated = now()")
        assert (await opened.post("/account/password", {"new": PASSWORD})).status == 303
        await stack.rows("UPDATE console.session SET authenticated = now() - interval '20 minutes'")
        asked = await opened.get(new_key)
        assert asked.location is not None
        assert (await opened.get(f"/o/{organisation.id}/scim")).status == 200
        # A form that was opened in time may still be sent; later it leads to the same question.
        sent = await opened.post(new_key, {"name": "", "expires": "never"})
        assert sent.status == 422
        await stack.rows("UPDATE console.session SET authenticated = now() - interval '26 minutes'")
        assert (await opened.post(new_key, {"name": "a"})).location == asked.location

        form = await opened.get(asked.location)
        fields = {"to": form.field("to"), "password": "wrong"}
        assert (await opened.post("/sign-in/again", fields)).status == 401
        right = await opened.post("/sign-in/again", {**fields, "password": PASSWORD})
        assert right.location == new_key
        assert (await opened.get(new_key)).status == 200
        elsewhere = {"to": "https://evil.example", "password": PASSWORD}
        assert (await opened.post("/sign-in/again", elsewhere)).location == "/"
