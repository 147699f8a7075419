"""The notifier dies before or after SMTP's yes: every due mail is there, and nothing else."""

import re
from collections import Counter

import pytest

from tests.support.builders import replacing
from tests.support.load import Answered, creates, no_mail_is_due
from tests.support.stack import Stack, until

COUNT = 40


def links(stack: Stack) -> dict[str, set[str]]:
    """Message-ID → the invitation links that its copies carry."""
    found: dict[str, set[str]] = {}
    for mail in stack.mails():
        body = mail.get_body(("plain",))
        assert body is not None
        found.setdefault(mail["Message-ID"], set()).update(
            re.findall(r"http\S+/invitation/\S+", body.get_content())
        )
    return found


async def everybody_has_mail(stack: Stack, answered: Answered) -> None:
    wanted = set(answered.created)

    def has_all() -> bool:
        return {mail["X-RcptTo"] for mail in stack.mails()} >= wanted

    await until(has_all, "every invitation has arrived", 40)


@pytest.mark.long
async def test_killed_before_smtp_s_yes_each_mail_leaves_once(stack: Stack) -> None:
    await stack.start("ingress")
    await stack.start("provisioner")
    victim = await stack.start("notifier", ROLLCALL_FAULT="notifier.before_send:10")
    organisation = await stack.organisation()

    async with stack.client(organisation) as client:
        answered = await creates(client, COUNT, clients=4)
    await victim.ended()
    await stack.start("notifier")

    await everybody_has_mail(stack, answered)
    await until(lambda: no_mail_is_due(stack), "no mail is due", 30)
    copies = Counter(mail["X-RcptTo"] for mail in stack.mails())
    assert set(copies) == set(answered.created)
    # Other mails may have been under way when the process died: those may come twice.
    assert all(len(of_one) == 1 for of_one in links(stack).values())
    assert len(links(stack)) == COUNT


async def test_killed_after_smtp_s_yes_a_second_copy_is_the_same_mail(stack: Stack) -> None:
    await stack.start("ingress")
    await stack.start("provisioner")
    victim = await stack.start("notifier", ROLLCALL_FAULT="notifier.after_yes:10")
    organisation = await stack.organisation()

    async with stack.client(organisation) as client:
        answered = await creates(client, COUNT, clients=4)
    await victim.ended()
    await stack.start("notifier")

    await everybody_has_mail(stack, answered)
    await until(lambda: no_mail_is_due(stack), "no mail is due", 30)
    copies = Counter(mail["X-RcptTo"] for mail in stack.mails())
    assert set(copies) == set(answered.created)
    assert max(copies.values()) == 2, "the mail that had its yes comes again, and once only"
    assert len(links(stack)) == COUNT, "a copy has the same Message-ID"
    assert all(len(of_one) == 1 for of_one in links(stack).values()), "and the same link"


async def test_killed_after_the_yes_to_an_invitation_its_revocation_is_still_sent(
    stack: Stack,
) -> None:
    await stack.start("ingress")
    await stack.start("provisioner")
    victim = await stack.start("notifier", ROLLCALL_FAULT="notifier.after_yes")
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        made = await client.create_user("ana@example.org")
        await victim.ended()
        invited = [mail["Message-ID"] for mail in stack.mails()]
        await client.patch(f"/Users/{made.body['id']}", replacing("active", False))
    await stack.start("notifier")

    await until(lambda: no_mail_is_due(stack), "no mail is due", 30)
    sent = [mail["Message-ID"] for mail in stack.mails()]
    assert len(invited) == 1
    assert len(sent) == 2
    assert set(sent) > set(invited), "the second one is the revocation, not a copy"
