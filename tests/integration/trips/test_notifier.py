"""The notifier asks Postgres three times from an outcome to its mail (docs/decisions/0061)."""

import asyncio
import time
from collections import Counter

from rollcall_notifier.send import POLL_S
from tests.support.stack import Stack, until
from tests.support.statements import LoggedPostgres

STEPS = {
    "SELECT is_ours, planned": "plan",
    "SELECT moment, has_more, claimed": "claim",
    "SELECT was_taken, is_taken": "take",
    "UPDATE notice.notification AS settled": "settle",
    "UPDATE notice.notification AS notification": "mark of mails",
    "UPDATE notice.notification": "renewal",  # where it takes a third of a lease
    "SELECT clock_timestamp()": "renewal",
    "SELECT found.id::text, found.user_name_key": "read again",
    "SELECT document FROM tenancy.organisation": "read again",
    "SELECT (array_agg(mail.kind": "read again",
    "WITH present AS (": "measure",
    "SELECT event_id::text, kind,": "sweep of mails",
    "SELECT topic, partition, next_offset": "positions",
    "DELETE FROM notice.mail_taken": "sweep of budgets",
}
EVERY_SECONDS = {
    "measure",
    "sweep of mails",
    "mark of mails",
    "positions",
    "sweep of budgets",
}
"""What is asked every five seconds, or minutes, whatever comes."""


def steps(logged: LoggedPostgres, begin: int) -> list[str]:
    """What was asked since then, by its name."""
    asked = logged.since(begin, "notifier")
    return [
        next((name for text, name in STEPS.items() if each.text.startswith(text)), each.text)
        for each in asked
    ]


async def notices(stack: Stack, logged: LoggedPostgres, number: int) -> tuple[list[str], float]:
    """What is asked for the notices of as many new members, and for how many seconds it took."""
    await stack.start_all()
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        await client.create_user("first@example.org")
        await until(lambda: _is_noted(stack, logged, 0, 1), "the first mail is noted")
        begin, begin_s = logged.end, time.monotonic()
        names = [f"u{each}@example.org" for each in range(number)]
        await asyncio.gather(*map(client.create_user, names))
        await until(lambda: _is_noted(stack, logged, begin, number + 1), "all mails are noted", 60)
        return steps(logged, begin), time.monotonic() - begin_s


async def _is_noted(stack: Stack, logged: LoggedPostgres, begin: int, number: int) -> bool:
    """Whether the mails are sent and noted, and the outcomes that say so are read."""
    [row] = await stack.rows(
        "SELECT (SELECT count(*) FROM notice.notification WHERE state = 'sent') AS sent, "
        "(SELECT sum(next_offset) FROM notice.progress) AS outcomes"
    )
    if row["sent"] != number or row["outcomes"] != 2 * number:
        return False
    last = [step for step in steps(logged, begin) if step in ("take", "settle")]
    return last[-1:] == ["settle"]


async def test_a_notice_takes_three_round_trips_to_its_mail_and_one_to_note_it(
    stack: Stack, logged: LoggedPostgres
) -> None:
    asked, _ = await notices(stack, logged, 1)

    counts = Counter(asked)
    before_mail = asked[asked.index("plan") : asked.index("take") + 1]
    # The second plan reads the mail's own fact, which may be there before it is noted.
    assert (counts["plan"], counts["take"], counts["settle"]) == (2, 1, 1)
    assert [step for step in before_mail if step not in EVERY_SECONDS] == ["plan", "claim", "take"]
    assert set(asked) <= set(STEPS.values())


async def test_many_notices_are_planned_and_claimed_together(
    stack: Stack, logged: LoggedPostgres
) -> None:
    asked, took_s = await notices(stack, logged, 24)

    counts = Counter(asked)
    assert counts["take"] == 24
    assert counts["settle"] <= 24
    assert counts["plan"] <= 36
    assert counts["claim"] <= counts["plan"] + took_s / POLL_S + 1
    assert set(asked) <= set(STEPS.values())


async def test_little_is_asked_when_nothing_comes(stack: Stack, logged: LoggedPostgres) -> None:
    await notices(stack, logged, 1)
    begin, begin_s = logged.end, time.monotonic()

    await asyncio.sleep(10)

    counts, took_s = Counter(steps(logged, begin)), time.monotonic() - begin_s
    assert counts.pop("claim") <= took_s / POLL_S + 1
    assert set(counts) <= EVERY_SECONDS
    assert all(number <= took_s / 5 + 1 for number in counts.values()), counts
