"""Every conversation with the provisioner stopped, and what the directory is once it is back.

Nobody applies anything while a client talks to two replicas of ingress by turns: each answers with
what the log leads to. Then the provisioner starts, and the directory must be what the answers said.
"""

from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from rollcall_local.demo import conversation, player
from rollcall_local.demo.client import Answer, ScimClient, Tally, open_session
from rollcall_local.demo.conversation import Exchange
from tests.conversations.clients import CLIENTS, steps_of
from tests.support.stack import Organisation, Stack, until

BUDGET_S = "0.3"
CONVERSATIONS = (*conversation.NAMES, *CLIENTS)
Json = dict[str, Any]


@dataclass(slots=True)
class Answered:
    """What one conversation was told: by the path of a resource, the last answer that showed it."""

    name: str
    organisation: Organisation
    surprises: list[str] = field(default_factory=list)
    shown: dict[str, Json] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    pending: int = 0

    def note(self, step: Exchange, answer: Answer, names: Json) -> None:
        """Remember what a write was answered with."""
        if answer.is_pending:
            self.pending += 1
        is_read = step.method == "GET" or ".search" in step.path
        if is_read or not 200 <= answer.status < 300:
            return
        path = conversation.fill(step.path, names).partition("?")[0]
        if step.method == "POST":
            path = f"{path}/{answer.document['id']}"
        self.touched.add(path)
        self.shown.pop(path, None)
        if step.method == "DELETE":
            self.gone.add(path)
        elif answer.document is not None and "?" not in step.path.rstrip("?"):
            self.shown[path] = answer.document


def surprises_of(played: player.Played) -> list[str]:
    """What is not as expected."""
    answer = played.answer
    return [f"{played} {answer and answer.document}"] if played.differences else []


async def talk(client: ScimClient, name: str, answered: Answered, other_key: str) -> None:
    names = {"apiKey": answered.organisation.key, "otherOrgApiKey": other_key}
    steps = conversation.load(name) if name in conversation.NAMES else steps_of(name)
    for step in steps:
        [played] = await player.play(client, [step], names=names, tally=Tally())
        answered.surprises += surprises_of(played)
        if played.answer is not None:
            answered.note(step, played.answer, names)


async def read_all(client: ScimClient, answered: Answered) -> dict[str, tuple[int, Any]]:
    """Path → status and body, of every resource that was ever written and of both lists."""
    found = {}
    for path in (*sorted(answered.touched), "/Users", "/Groups"):
        answer = await client.send("GET", path, tally=Tally())
        document = answer.document if answer.status < 400 else None
        found[path] = (answer.status, document)
    return found


async def refused(stack: Stack, organisation: Organisation) -> list[tuple[str, int]]:
    """What was answered with success and refused: kind and status, in order."""
    rows = await stack.rows(
        "SELECT type, status FROM audit.event WHERE organisation_id = $1::uuid AND optimistic "
        'AND status >= 400 ORDER BY "offset"',
        organisation.id,
    )
    return [(row["type"].split("request.")[1], row["status"]) for row in rows]


def client_of(
    session: aiohttp.ClientSession, organisation: Organisation, stack: Stack
) -> ScimClient:
    """A client that goes from door to door."""
    return ScimClient(session, organisation.base, organisation.key, stack.doors)


async def until_applied(stack: Stack) -> None:
    async def is_applied() -> bool:
        rows = await stack.rows("SELECT partition, next_offset FROM directory.progress")
        applied = {row["partition"]: row["next_offset"] for row in rows}
        ends = [await stack.end_offset(stack.topics.requests, number) for number in range(4)]
        return all(applied.get(number, 0) >= end for number, end in enumerate(ends))

    await until(is_applied, "everything is applied", 60)


async def test_every_conversation_runs_to_its_end_without_a_provisioner_and_comes_true(
    stack: Stack,
) -> None:
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = BUDGET_S
    for _ in range(2):
        await stack.start("ingress")
    other = await stack.organisation("Another")
    everything: list[tuple[Answered, dict[str, tuple[int, Any]]]] = []

    async with open_session(4) as session:
        for name in CONVERSATIONS:
            answered = Answered(name, await stack.organisation(name))
            client = ScimClient(
                session, answered.organisation.base, answered.organisation.key, stack.doors
            )
            await talk(client, name, answered, other.key)
            everything.append((answered, await read_all(client, answered)))

        surprises = [line for answered, _ in everything for line in answered.surprises]
        assert not surprises, "\n".join(surprises)
        assert all(answered.pending for answered, _ in everything)
        await stack.start("provisioner")
        await until_applied(stack)

        for answered, before in everything:
            client = ScimClient(
                session, answered.organisation.base, answered.organisation.key, stack.doors
            )
            assert await read_all(client, answered) == before, answered.name
            for path, document in answered.shown.items():
                assert without_groups(before[path][1]) == without_groups(document), answered.name
            for path in answered.gone:
                assert before[path][0] == 404, answered.name
            assert await refused(stack, answered.organisation) == [], answered.name


def without_groups(document: Any) -> Any:
    """A User without its groups: they are changed by others' requests. An empty list is none."""
    return {name: value for name, value in document.items() if name != "groups" and value != []}


@pytest.mark.parametrize("name", ["entra-default", "okta-oin"])
async def test_with_a_provisioner_that_comes_and_goes_no_read_contradicts_an_answer(
    name: str, stack: Stack
) -> None:
    """It is suspended and resumed again and again, in the middle of the conversation."""
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = BUDGET_S
    for _ in range(2):
        await stack.start("ingress")
    provisioner = await stack.start("provisioner")
    other = await stack.organisation("Another")
    answered = Answered(name, await stack.organisation(name))
    names = {"apiKey": answered.organisation.key, "otherOrgApiKey": other.key}
    contradictions: list[str] = []

    async with open_session(4) as session:
        client = ScimClient(
            session, answered.organisation.base, answered.organisation.key, stack.doors
        )
        for number, step in enumerate(conversation.load(name)):
            if number % 4 == 0:
                provisioner.pause()
            elif number % 4 == 2:
                provisioner.resume()
            [played] = await player.play(client, [step], names=names, tally=Tally())
            answer = played.answer
            answered.surprises += surprises_of(played)
            if answer is not None:
                answered.note(step, answer, names)
            contradictions += await contradicted(client, answered, step.id)
        provisioner.resume()

        assert not answered.surprises, "\n".join(answered.surprises)
        assert not contradictions, "\n".join(contradictions)
        assert answered.pending, "nothing was answered while it was away"
        before = await read_all(client, answered)
        await until_applied(stack)
        assert await read_all(client, answered) == before
        assert await refused(stack, answered.organisation) == []


async def contradicted(client: ScimClient, answered: Answered, step_id: str) -> list[str]:
    """Reads of what was answered that say something else."""
    found = []
    for path, document in answered.shown.items():
        answer = await client.send("GET", path, tally=Tally())
        if without_groups(answer.document) != without_groups(document):
            found.append(f"after {step_id}: {path}: {answer.status} {answer.document}")
    for path in answered.gone:
        answer = await client.send("GET", path, tally=Tally())
        if answer.status != 404:
            found.append(f"after {step_id}: {path}: {answer.status}, but it was removed")
    return found
