"""A member's life from the IdP's request to the mailbox and back, over the whole stack."""

import re
from email.message import EmailMessage

import aiohttp
import pytest

from tests.support.scim_client import Client
from tests.support.stack import Organisation, Stack, until


async def mail_to(stack: Stack, address: str, number: int = 1) -> EmailMessage:
    """The mail number `number` to an address, once it is there."""
    await until(lambda: len(stack.mails(address)) >= number, f"mail {number} has arrived", 20)
    return stack.mails(address)[number - 1]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def link_in(mail: EmailMessage) -> tuple[str, str]:
    """The page's address and the token in its fragment."""
    found = re.search(r"(http\S+/invitation/[0-9a-f-]+)#(\S+)", text_of(mail))
    assert found is not None
    return found[1], found[2]


async def accept(page: str, token: str) -> tuple[int, str]:
    """Post the form as the page's script does."""
    async with aiohttp.ClientSession() as session, session.post(page, data={"token": token}) as got:
        return got.status, await got.text()


async def status_of(stack: Stack, organisation: Organisation, member_id: str) -> str:
    [row] = await stack.rows(
        "SELECT status FROM directory.member WHERE organisation_id = $1::uuid AND id = $2::uuid",
        organisation.id,
        member_id,
    )
    return str(row["status"])


async def invited(client: Client, user_name: str) -> str:
    answer = await client.create_user(user_name)
    assert answer.status == 201
    assert not answer.is_pending
    return str(answer.body["id"])


@pytest.mark.parametrize(("language", "word"), [("en", "invit"), ("nl", "nodigt u uit")])
async def test_an_invited_person_accepts_from_the_mailbox(
    language: str, word: str, whole_stack: Stack
) -> None:
    organisation = await whole_stack.organisation("Zeeburg & Zonen", language)
    async with whole_stack.client(organisation) as client:
        member_id = await invited(client, "ana@zeeburg.example")
    mail = await mail_to(whole_stack, "ana@zeeburg.example")
    page, token = link_in(mail)

    async with aiohttp.ClientSession() as session, session.get(page) as got:
        shown = await got.text()
        policy = got.headers["Content-Security-Policy"]
    before = await status_of(whole_stack, organisation, member_id)
    accepted, _ = await accept(page, token)
    again, _ = await accept(page, token)

    assert word in text_of(mail).lower()
    assert "Zeeburg" in str(mail["Subject"]) + text_of(mail)
    assert "Zeeburg &amp; Zonen" in shown
    assert f'lang="{language}"' in shown
    assert token not in shown
    assert "default-src 'none'" in policy
    assert (before, accepted) == ("invited", 200)
    assert again == 410
    assert await status_of(whole_stack, organisation, member_id) == "confirmed"


async def test_a_link_of_one_organisation_opens_nothing_of_another(whole_stack: Stack) -> None:
    organisation, other = await whole_stack.organisation(), await whole_stack.organisation("Other")
    async with whole_stack.client(organisation) as client:
        member_id = await invited(client, "ana@zeeburg.example")
    page, token = link_in(await mail_to(whole_stack, "ana@zeeburg.example"))

    status, _ = await accept(page.replace(organisation.id, other.id), token)

    assert status == 400
    assert await status_of(whole_stack, organisation, member_id) == "invited"


async def test_revoked_and_restored_members_get_one_mail_each(whole_stack: Stack) -> None:
    organisation = await whole_stack.organisation()
    active = {"op": "replace", "path": "active"}
    async with whole_stack.client(organisation) as client:
        member_id = await invited(client, "ana@zeeburg.example")
        page, token = link_in(await mail_to(whole_stack, "ana@zeeburg.example"))

        for _ in range(2):
            await client.patch(f"/Users/{member_id}", {**active, "value": False})
        revoked = await mail_to(whole_stack, "ana@zeeburg.example", 2)
        while_revoked, _ = await accept(page, token)
        for _ in range(2):
            await client.patch(f"/Users/{member_id}", {**active, "value": True})
        restored = await mail_to(whole_stack, "ana@zeeburg.example", 3)
        await invited(client, "last@zeeburg.example")

    await mail_to(whole_stack, "last@zeeburg.example")
    assert len(whole_stack.mails("ana@zeeburg.example")) == 3
    assert len({mail["Message-ID"] for mail in whole_stack.mails()}) == 4
    assert "/invitation/" not in text_of(revoked)
    assert link_in(restored) == (page, token), "the link that was sent works again"
    assert while_revoked == 410
    assert (await accept(page, token))[0] == 200


async def test_who_leaves_before_the_invitation_left_never_hears_of_us(stack: Stack) -> None:
    stack.environment["ROLLCALL_NOTIFIER_INVITATION_GRACE_S"] = "3"
    await stack.start_all()
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        revoked = await invited(client, "revoked@zeeburg.example")
        removed = await invited(client, "removed@zeeburg.example")
        await invited(client, "stays@zeeburg.example")

        await client.patch(f"/Users/{revoked}", {"op": "replace", "path": "active", "value": False})
        assert (await client.call("DELETE", f"/Users/{removed}")).status == 204

    await mail_to(stack, "stays@zeeburg.example")
    assert {mail["X-RcptTo"] for mail in stack.mails()} == {"stays@zeeburg.example"}


async def test_another_address_voids_the_link_and_gets_its_own(whole_stack: Stack) -> None:
    organisation = await whole_stack.organisation()
    async with whole_stack.client(organisation) as client:
        member_id = await invited(client, "wrong@zeeburg.example")
        old_page, old_token = link_in(await mail_to(whole_stack, "wrong@zeeburg.example"))

        await client.patch(
            f"/Users/{member_id}",
            {
                "op": "replace",
                "path": 'emails[type eq "work"].value',
                "value": "right@zeeburg.example",
            },
        )
    page, token = link_in(await mail_to(whole_stack, "right@zeeburg.example"))

    old, _ = await accept(old_page, old_token)
    new, _ = await accept(page, token)

    assert (old, new) == (410, 200)
    assert await status_of(whole_stack, organisation, member_id) == "confirmed"


MADE_UP = "0f8fad5bd9cb469fa16570867728950e"


@pytest.mark.parametrize("is_accepted", [False, True], ids=["invited", "accepted"])
async def test_entra_s_soft_delete_and_restoration_send_no_mail_to_an_absent_member(
    is_accepted: bool, whole_stack: Stack
) -> None:
    """One PATCH writes 32 hexadecimal digits before the user name and `active: "False"`.

    The restoration writes both back; the hard delete, thirty days later, is a DELETE.
    """
    ana = "ana@zeeburg.example"
    organisation = await whole_stack.organisation()
    async with whole_stack.client(organisation) as client:
        answer = await client.create_user(ana, emails=[])
        assert answer.status == 201
        member_id = str(answer.body["id"])
        page, token = link_in(await mail_to(whole_stack, ana))
        if is_accepted:
            assert (await accept(page, token))[0] == 200

        soft_deleted = await client.patch(
            f"/Users/{member_id}",
            {"op": "Replace", "path": "userName", "value": MADE_UP + ana},
            {"op": "Replace", "path": "active", "value": "False"},
        )
        revoked = await mail_to(whole_stack, ana, 2)
        restoring = await client.patch(
            f"/Users/{member_id}",
            {"op": "Replace", "path": "userName", "value": ana},
            {"op": "Replace", "path": "active", "value": "True"},
        )
        restored = await mail_to(whole_stack, ana, 3)
        await client.patch(
            f"/Users/{member_id}",
            {"op": "Replace", "path": "userName", "value": MADE_UP + ana},
            {"op": "Replace", "path": "active", "value": "False"},
        )
        await mail_to(whole_stack, ana, 4)
        hard_deleted = await client.call("DELETE", f"/Users/{member_id}")
        await invited(client, "last@zeeburg.example")

    await mail_to(whole_stack, "last@zeeburg.example")
    assert (soft_deleted.status, restoring.status, hard_deleted.status) == (200, 200, 204)
    assert {mail["X-RcptTo"] for mail in whole_stack.mails()} == {ana, "last@zeeburg.example"}
    assert len(whole_stack.mails(ana)) == 4
    assert "/invitation/" not in text_of(revoked)
    if is_accepted:
        assert "/invitation/" not in text_of(restored)
    else:
        assert link_in(restored) == (page, token), "the invitation that was open is open again"
    rows = await whole_stack.rows(
        "SELECT kind, state FROM notice.notification "
        'WHERE organisation_id = $1::uuid AND member_id = $2::uuid ORDER BY "offset", "index"',
        organisation.id,
        member_id,
    )
    assert [tuple(row) for row in rows] == [
        ("invitation", "sent"),
        ("revocation", "sent"),
        ("restoration", "sent"),
        ("revocation", "sent"),
    ]


async def test_a_put_that_revokes_and_removes_the_address_is_notified_to_the_old_address(
    whole_stack: Stack,
) -> None:
    organisation = await whole_stack.organisation()
    async with whole_stack.client(organisation) as client:
        member_id = await invited(client, "ben@zeeburg.example")
        await mail_to(whole_stack, "ben@zeeburg.example")
        answer = await client.call(
            "PUT",
            f"/Users/{member_id}",
            {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": "nobody@zeeburg.example",
                "active": False,
            },
        )
        assert answer.status == 200

    await mail_to(whole_stack, "ben@zeeburg.example", 2)
    assert {mail["X-RcptTo"] for mail in whole_stack.mails()} == {"ben@zeeburg.example"}
