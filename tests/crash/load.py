"""A load of creates that remembers what was answered, and what must then hold. No test in here."""

import asyncio
from dataclasses import dataclass, field

import aiohttp

from tests.support.stack import Client, Organisation, Stack


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
