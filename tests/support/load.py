"""A load of creates that remembers what was answered, and what must then hold. No test in here."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from tests.support.scim_client import Client
from tests.support.stack import Organisation, Stack, until


@dataclass(slots=True)
class Answered:
    """What an identity provider knows after a load: user name → id for each 2xx."""

    created: dict[str, str] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)


async def creates(
    client: Client,
    count: int,
    *,
    clients: int = 20,
    prefix: str = "m",
    answered: Answered | None = None,
) -> Answered:
    """Create `count` members over `clients` connections; a broken connection is no answer."""
    result = answered if answered is not None else Answered()
    numbers = iter(range(count))

    async def one_client() -> None:
        for number in numbers:
            name = f"{prefix}{number}@crash.example"
            try:
                answer = await client.create_user(name)
            except aiohttp.ClientError:
                result.unanswered.add(name)
                continue
            if answer.status == 201:
                result.created[name] = answer.body["id"]
                if answer.is_pending:
                    result.pending.add(name)
            elif answer.status == 503 and "nothing was done" not in str(answer.body):
                result.unanswered.add(name)  # it says that it may have been applied
            else:
                result.refused[name] = answer.status

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one_client())
    return result


async def applied(stack: Stack, organisation: Organisation) -> bool:
    """Whether everything in the organisation's partition of the log has been applied."""
    [row] = await stack.rows(
        "SELECT coalesce(max(next_offset), 0) AS next FROM directory.progress "
        "WHERE topic = $1 AND partition = $2",
        stack.topics.requests,
        organisation.partition,
    )
    return int(row["next"]) == await stack.end_offset(stack.topics.requests, organisation.partition)


async def assert_once(stack: Stack, organisation: Organisation, answered: Answered) -> None:
    """Every 2xx is in the directory, once, under the id that was answered; nothing else is,
    but for what was never answered; each request has one audit row."""
    rows = await stack.rows(
        "SELECT id::text, document ->> 'userName' AS name FROM directory.member "
        "WHERE organisation_id = $1::uuid",
        organisation.id,
    )
    stored = {row["name"]: row["id"] for row in rows}
    assert len(stored) == len(rows), "a name is there twice"
    lost = {name: id_ for name, id_ in answered.created.items() if stored.get(name) != id_}
    assert not lost, f"{len(lost)} answered creates are not there: {sorted(lost)[:3]}"
    extra = set(stored) - set(answered.created) - answered.unanswered
    assert not extra, f"{len(extra)} are there that nobody was told of: {sorted(extra)[:3]}"
    [audit] = await stack.rows(
        "SELECT count(*) AS rows, count(DISTINCT resource_id) AS resources FROM audit.event "
        "WHERE organisation_id = $1::uuid AND status = 201",
        organisation.id,
    )
    assert audit["rows"] == audit["resources"] == len(stored)


async def settled(stack: Stack, *organisations: Organisation) -> None:
    """All is applied, all outcomes are read, no mail is due any more."""

    async def is_settled() -> bool:
        [due] = await stack.rows(
            "SELECT count(*) AS n FROM notice.notification WHERE state = 'due'"
        )
        for organisation in organisations:
            end = await stack.end_offset(stack.topics.outcomes, organisation.partition)
            [read] = await stack.rows(
                "SELECT coalesce(max(next_offset), 0) AS n FROM notice.progress "
                "WHERE partition = $1",
                organisation.partition,
            )
            if read["n"] < end or not await applied(stack, organisation):
                return False
        return bool(due["n"] == 0)

    await until(is_settled, "everything is applied, and every mail has left", 90)


def mails(stack: Stack) -> Counter[tuple[str, str]]:
    """(recipient, Message-ID) → how many copies."""
    return Counter((str(each["X-RcptTo"]), str(each["Message-ID"])) for each in stack.mails())


async def outcome_ids(stack: Stack) -> set[str]:
    """Ids of all outcomes that the audit table says must have been told."""
    rows = await stack.rows("SELECT id::text, jsonb_array_length(outcomes) AS n FROM audit.event")
    return {f"{row['id']}/{index}" for row in rows for index in range(row["n"])}


async def announced(stack: Stack) -> list[tuple[str, str]]:
    """(request id, sequence) of each outcome on the topic, in the order of its partition."""
    return [
        (headers["ce_causationid"], headers["ce_sequence"])
        for headers in await stack.headers(stack.topics.outcomes)
        if "ce_sequence" in headers  # not that a mail left
    ]


async def everything_is_announced(stack: Stack) -> bool:
    found = {
        f"{request_id}/{sequence.split('.')[2]}" for request_id, sequence in await announced(stack)
    }
    return found == await outcome_ids(stack)


async def no_mail_is_due(stack: Stack) -> bool:
    [row] = await stack.rows("SELECT count(*) AS due FROM notice.notification WHERE state = 'due'")
    return bool(row["due"] == 0)
