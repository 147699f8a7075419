"""A recipient's budget of mails, with two notifiers as processes, killed and started again."""

import asyncio
import signal
from collections import Counter

from tests.support.builders import replacing
from tests.support.load import no_mail_is_due
from tests.support.scim_client import Client
from tests.support.stack import Process, Stack, until

VICTIM = "ana@victim.example"
FORMS = (VICTIM, "Ana@victim.example", "ana+{}@victim.example", "ANA@VICTIM.example")


async def invite(client: Client, number: int, form: str = VICTIM) -> str:
    """A User of the address."""
    address = form.format(number)
    answer = await client.create_user(
        f"u{number}@other.example", emails=[{"value": address, "type": "work", "primary": True}]
    )
    assert answer.status == 201
    return str(answer.body["id"])


async def at_rest(stack: Stack, events: int) -> None:
    """So many notices were planned in all, and none is due."""

    async def is_so() -> bool:
        [row] = await stack.rows("SELECT count(*) AS planned FROM notice.notification")
        return row["planned"] >= events and await no_mail_is_due(stack)

    await until(is_so, f"{events} notices are settled", 40)


async def notifiers(stack: Stack) -> list[Process]:
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(stack.start("notifier")) for _ in range(2)]
    return [each.result() for each in started]


async def test_ten_users_of_one_address_with_two_replicas_and_a_restart_between(
    stack: Stack,
) -> None:
    stack.environment["ROLLCALL_NOTIFIER_LEASE_S"] = "2"
    await stack.start("ingress")
    await stack.start("provisioner")
    running = await notifiers(stack)
    zeeburg, amstel = await stack.organisation("Zeeburg"), await stack.organisation("Amstel")
    async with stack.client(zeeburg) as client, stack.client(amstel) as other:
        for number in range(10):
            await invite(client, number, FORMS[number % len(FORMS)])
        await at_rest(stack, 10)
        first = len(stack.mails())
        running[0].kill()
        assert await asyncio.to_thread(running[1].terminate) == 0
        await notifiers(stack)
        for number in range(10, 20):
            await invite(client if number % 2 else other, number, FORMS[number % len(FORMS)])
        await at_rest(stack, 20)

    assert (first, len(stack.mails())) == (3, 3)
    rows = await stack.rows("SELECT state, reason FROM notice.notification")
    assert Counter(tuple(row) for row in rows) == {
        ("sent", None): 3,
        ("dropped", "recipient_budget"): 17,
    }
    for process in stack.processes:
        log = process.log.read_text().lower()
        assert "victim.example" not in log
        if process.service == "notifier" and "recipient_budget" in log:
            assert "mail-budget" in log


async def test_back_and_forth_ten_times_is_one_mail_and_access_ends_at_once(stack: Stack) -> None:
    await stack.start("ingress")
    await stack.start("provisioner")
    await notifiers(stack)
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        member = await invite(client, 1)
        await at_rest(stack, 1)
        for number in range(20):
            answer = await client.patch(f"/Users/{member}", replacing("active", bool(number % 2)))
            assert answer.status == 200
        await at_rest(stack, 21)
        back_where_it_was = [str(mail["Subject"]) for mail in stack.mails()]
        for active in (False, True, False):
            await client.patch(f"/Users/{member}", replacing("active", active))
        [row] = await stack.rows("SELECT status FROM directory.member")
        at_once, mails = row["status"], len(stack.mails())
        await at_rest(stack, 24)

    assert back_where_it_was == ["Invitation to Zeeburg"]
    assert (at_once, mails) == ("revoked", 1)
    assert [str(mail["Subject"]) for mail in stack.mails()][1:] == [
        "Your access to Zeeburg has ended"
    ]


async def test_killed_on_the_way_the_mail_counts_and_its_next_try_needs_no_other(
    stack: Stack,
) -> None:
    stack.environment |= {
        "ROLLCALL_NOTIFIER_LEASE_S": "1",
        "ROLLCALL_NOTIFIER_RECIPIENT_MAILS": "1",
    }
    await stack.start("ingress")
    await stack.start("provisioner")
    victim = await stack.start("notifier", ROLLCALL_FAULT="notifier.before_send")
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        await invite(client, 1)
        assert await victim.ended() == -signal.SIGKILL
        [row] = await stack.rows("SELECT count(*) AS taken FROM notice.mail_taken")
        await invite(client, 2)
        await notifiers(stack)
        await at_rest(stack, 2)

    rows = await stack.rows('SELECT state FROM notice.notification ORDER BY "offset"')
    assert row["taken"] == 1
    assert [each["state"] for each in rows] == ["sent", "dropped"]
    assert len(stack.mails()) == 1
