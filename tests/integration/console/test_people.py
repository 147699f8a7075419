"""Members, groups, refusals and the organisation: what is shown, what an admin may do."""

import re

import pytest

from tests.support.console import Browser, browser, root_of, signed_in
from tests.support.scim_client import GROUP
from tests.support.stack import Organisation, Stack, until

NOTHING = "01a22e88-6651-77cc-802a-34181f6f6073"
NAMES = ("Anna de Wit", "Grace Hopper", "<script>alert(1)</script>", "محمد عبد الله")


@pytest.fixture
async def console(stack: Stack) -> Stack:
    """A whole deployment and its console."""
    await stack.start_all()
    await stack.start("console")
    return stack


async def filled(stack: Stack, name: str = "Acme") -> tuple[Organisation, dict[str, str], str]:
    """An organisation with four members and a group of two: it, name → id, the group's id."""
    organisation = await stack.organisation(name)
    ids: dict[str, str] = {}
    async with stack.client(organisation) as client:
        for number, each in enumerate(NAMES):
            made = await client.create_user(f"user{number}@acme.example", displayName=each)
            ids[each] = made.body["id"]
        group = {
            "schemas": [GROUP],
            "displayName": "Engineering",
            "members": [{"value": ids[each]} for each in NAMES[:2]],
        }
        made = await client.call("POST", "/Groups", group)
    return organisation, ids, made.body["id"]


async def test_members_are_found_shown_and_acted_on(console: Stack) -> None:
    organisation, ids, group = await filled(console)
    root = f"/o/{organisation.id}"
    anna = f"{root}/members/{ids['Anna de Wit']}"
    async with signed_in(console, organisation.id) as opened:
        everybody = await opened.get(f"{root}/members")
        assert "4 members" in everybody.text
        assert "<script>alert" not in everybody.text

        for text, found in (
            ("anna", {"Anna de Wit"}),
            ("USER1", {"Grace Hopper"}),
            ("user1@acme.example", {"Grace Hopper"}),
            (ids["Grace Hopper"], {"Grace Hopper"}),
            ("محمد", {"محمد عبد الله"}),
            ("user", set(NAMES)),
            ("nobody", set()),
            ("%", set()),
        ):
            assert await shown(opened, f"{root}/members?q={text}", ids) == found, text

        page = await opened.get(anna)
        assert "Engineering" in page.text
        assert "Anna de Wit joined" in page.text
        assert (await opened.get(f"{anna}/restore")).status == 422  # she has access
        asked = await opened.get(f"{anna}/revoke")
        assert "End the access of Anna de Wit" in asked.text
        done = await opened.post(f"{anna}/revoke")
        assert done.location == f"{anna}?done=member_revoke"
        assert "No access" in (await opened.follow(done)).text
        assert await shown(opened, f"{root}/members?status=revoked", ids) == {"Anna de Wit"}
        assert (await opened.post(f"{anna}/restore")).location == f"{anna}?done=member_restore"
        removed = await opened.post(f"{anna}/remove")
        assert removed.location == f"{root}/members?done=member_remove"
        assert (await opened.get(anna)).status == 404

        groups = await opened.get(f"{root}/groups?q=ENGI")
        assert group in groups.text
        assert await shown(opened, f"{root}/groups/{group}", ids) == {"Grace Hopper"}

        acts = (await opened.get(f"{root}/organisation")).text
        assert "Ended a member&#39;s access" in acts
        assert "Removed a member" in acts

    rows = await console.rows(
        "SELECT actor FROM audit.event WHERE resource_id = $1 ORDER BY id", ids["Anna de Wit"]
    )
    [account] = await console.rows("SELECT id::text FROM console.account")
    assert [row["actor"] for row in rows][1:] == [f"account:{account['id']}"] * 3
    sources = [
        each["ce_source"]
        for each in await console.headers(console.topics.requests)
        if each["ce_subject"].endswith(ids["Anna de Wit"])
    ]
    assert sources == ["/rollcall/ingress", *["/rollcall/console"] * 3]


async def shown(opened: Browser, path: str, ids: dict[str, str]) -> set[str]:
    """The names of the members to whom a page leads."""
    page = await opened.get(path)
    assert page.status == 200, page
    linked = set(re.findall(r"/members/([0-9a-f-]{36})\"", page.text))
    return {name for name, identifier in ids.items() if identifier in linked}


async def test_while_the_provisioner_is_away_an_act_is_accepted(console: Stack) -> None:
    organisation, ids, _ = await filled(console)
    for process in console.running("provisioner"):
        process.kill()
    anna = f"/o/{organisation.id}/members/{ids['Anna de Wit']}"
    async with signed_in(console, organisation.id) as opened:
        done = await opened.post(f"{anna}/revoke")
        assert done.location == f"{anna}?done=member_pending"
        light = await opened.get(f"/o/{organisation.id}/scim")
        assert "1 change waits" in light.text
        await console.start("provisioner")

        async def is_applied() -> bool:
            return "access ended" in (await opened.get(anna)).text

        await until(is_applied, "the act is applied")


async def test_pages_are_by_keyset(console: Stack) -> None:
    organisation, ids, _ = await filled(console)
    await console.rows(
        "INSERT INTO directory.member (organisation_id, id, user_name_key, status, version,"
        " created, last_modified, document)"
        " SELECT $1, gen_random_uuid(), 'z' || lpad(n::text, 4, '0'), 'invited',"
        " gen_random_uuid(), now(), now(), '{}' FROM generate_series(1, 120) AS n",
        organisation.id,
    )
    path, seen = f"/o/{organisation.id}/members", []
    async with signed_in(console, organisation.id) as opened:
        while path:
            page = await opened.get(path)
            seen += re.findall(r"/members/([0-9a-f-]{36})\"", page.text)
            found = re.search(r'href="([^"]+)" rel="next"', page.text)
            path = found[1].replace("&amp;", "&") if found else ""

    assert len(seen) == len(set(seen)) == 124
    assert set(ids.values()) <= set(seen)


async def test_who_does_not_accept_for_14_days_is_listed(console: Stack) -> None:
    organisation, ids, _ = await filled(console)
    await console.rows(
        "UPDATE directory.member SET invitation_id = audit.first_id(now() - interval '15 days')"
        " WHERE id = $1",
        ids["Grace Hopper"],
    )
    async with signed_in(console, organisation.id) as opened:
        path = f"/o/{organisation.id}/members?status=waiting"
        assert await shown(opened, path, ids) == {"Grace Hopper"}


async def test_another_organisation_s_ids_find_nothing(console: Stack) -> None:
    mine, _, _ = await filled(console, "Mine")
    other, ids, group = await filled(console, "Other")
    someone = ids["Grace Hopper"]
    paths = [
        f"/members/{someone}",
        f"/members/{someone}/revoke",
        f"/members/{someone}/remove",
        f"/groups/{group}",
        f"/refused/{NOTHING}/redrive",
        f"/organisation/admins/{NOTHING}",
        "/members?status=nonsense",
        "/members/%00",
        "/groups/no-id",
    ]
    whole = ["/members", "/groups", "/refused", "/organisation", "/organisation/admins/new"]
    async with signed_in(console, mine.id) as opened:
        for path in paths:
            assert (await opened.get(f"/o/{mine.id}{path}")).status == 404, path
        for path in (*paths, *whole):
            assert (await opened.get(f"/o/{other.id}{path}")).status == 404, path
            assert (await opened.post(f"/o/{other.id}{path}")).status == 404, path
        assert "Grace" not in (await opened.get(f"/o/{mine.id}/members?q={someone}")).text
        assert (await opened.post(f"/o/{mine.id}/members/{someone}/revoke")).status == 404

    rows = await console.rows("SELECT status FROM directory.member WHERE id = $1", someone)
    assert [row["status"] for row in rows] == ["invited"]


async def test_rules_are_changed_and_say_who_did_it(console: Stack) -> None:
    organisation = await console.organisation("Acme")
    path = f"/o/{organisation.id}/organisation"
    form = {"name": "Zeeburg", "language": "nl", "profile": "interop", "confirm_on_accept": "on"}
    async with signed_in(console, organisation.id) as opened:
        page = await opened.follow(await opened.post(path, form))
        wrong = await opened.post(path, {**form, "name": "\u202e"})
        long = await opened.post(path, {**form, "name": "x" * 201})

    assert 'value="Zeeburg"' in page.text
    assert "Changed rules" in page.text
    assert "name, language, profile, unique_group_names" in page.text
    assert (wrong.status, long.status) == (422, 422)


async def test_an_owner_lets_others_in_and_one_owner_stays(console: Stack) -> None:
    organisation = await console.organisation("Acme")
    path = f"/o/{organisation.id}/organisation"
    new = {"email": "bob@acme.example", "role": "auditor", "name": "Bob"}
    async with signed_in(console, organisation.id) as owner:
        invited = await owner.post(f"{path}/admins/new", new)
        link = invited.field("link")
        known = await owner.post(f"{path}/admins/new", new)
        assert 'id="link"' not in known.text  # an account that has a role gets no other way in
        wrong = await owner.post(f"{path}/admins/new", {**new, "email": "no address"})
        assert wrong.status == 422
        async with browser(root_of(console)) as bob:
            assert (await bob.post(link.removeprefix(owner.root))).status == 303
            assert (await bob.get(path)).status == 200
            assert (await bob.post(path, {"name": "Bob's"})).status == 403
            assert (await bob.get(f"{path}/admins/new")).status == 403

            page = (await owner.get(path)).text
            found = dict(re.findall(r"admins/([0-9a-f-]{36})\">Change<span[^>]*> (\w+)", page))
            ids = {name: identifier for identifier, name in found.items()}
            last = await owner.post(f"{path}/admins/{ids['Ana']}", {"role": "admin"})
            assert last.status == 422
            assert "last owner" in last.text
            await owner.post(f"{path}/admins/{ids['Bob']}", {"role": "none"})
            assert (await bob.get(path)).status == 404
