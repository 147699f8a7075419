"""What everything that runs writes to its log while all conversations of the demo are played."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import aiohttp
import pytest

from rollcall.observability.log_events import LogEvent
from rollcall_local.demo import conversation, player
from rollcall_local.demo.client import ScimClient, Tally, open_session
from rollcall_local.demo.conversation import Exchange
from tests.support.deploy.manifests import ROOT
from tests.support.stack import SECRET, Stack, until

NAMES = sorted(
    path.stem for path in (ROOT / "local/rollcall_local/demo/conversations").glob("*.json")
)
PERSONAL = {
    *("userName", "givenName", "familyName", "middleName", "formatted", "displayName", "nickName"),
    *("externalId", "password", "title", "streetAddress", "locality", "postalCode", "display"),
    *("employeeNumber", "department", "division", "costCenter", "organization"),
}
LINK = re.compile(r"(http\S+/invitation/[0-9a-f-]+)#(\S+)")
SHORTEST = 5
"""Shorter words are in any text."""
ORGANISATION = "Zuiderzee Tramways"


def personal(value: Any, key: str = "") -> Iterator[str]:
    """Strings of a request that say something of somebody: by their attribute, or an address."""
    match value:
        case dict():
            for name, each in value.items():
                yield from personal(each, name.rpartition(":")[2].rpartition(".")[2])
        case list():
            for each in value:
                yield from personal(each, key)
        case str() if key in PERSONAL or "@" in value:
            yield value
        case _:
            return


def said(step: Exchange) -> Iterator[str]:
    """What a step tells us about people, in its body and between quotes in its path."""
    yield from personal(step.body)
    yield from re.findall(r'"([^"]+)"', step.path)


async def accept_one_invitation(stack: Stack) -> str:
    """Follow the link of a mail, as the person would; the token in it."""
    await until(lambda: bool(stack.mails()), "an invitation has arrived", 60.0)
    body = stack.mails()[0].get_body(("plain",))
    assert body is not None
    found = LINK.search(body.get_content())
    assert found is not None
    page, token = found[1], found[2]
    async with aiohttp.ClientSession() as session, session.post(page, data={"token": token}) as got:
        assert got.status < 500
    return token


@pytest.mark.timeout(240)
async def test_no_name_address_or_secret_is_in_any_log(stack: Stack) -> None:
    """At the most talkative level, whatever is asked: also what is refused as wrong."""
    stack.environment["ROLLCALL_LOG_LEVEL"] = "debug"
    await stack.start_all()
    secrets = {SECRET, ORGANISATION}
    asked: set[str] = set()
    for name in NAMES:
        organisation = await stack.organisation(ORGANISATION)
        other = await stack.organisation(ORGANISATION)
        secrets |= {organisation.key, other.key}
        async with open_session(4) as session:
            client = ScimClient(session, organisation.base, organisation.key)
            steps = conversation.load(name)
            names = {"apiKey": organisation.key, "otherOrgApiKey": other.key}
            played = await player.play(client, steps, names=names, tally=Tally())
            asked |= {word for step in steps for word in said(step)}
            assert any(each.answer for each in played)
    secrets.add(await accept_one_invitation(stack))
    secrets |= {stack.database_url(service).split("@")[0].split(":")[-1] for service in ("owner",)}

    private = {word.casefold() for word in asked | secrets if len(word) >= SHORTEST}
    assert len(private) > 60, "the conversations tell us little"
    found = set()
    for process in stack.processes:
        text = process.log.read_text()
        assert text.count("\n") > 20, f"{process.service} says little"
        found |= {(process.service, word) for word in private if word in text.casefold()}
    assert found == set()


@pytest.mark.timeout(180)
async def test_every_line_is_json_and_its_event_is_on_the_list(stack: Stack) -> None:
    """Libraries' own lines have the event of their own words, and say whose they are."""
    stack.environment["ROLLCALL_LOG_LEVEL"] = "debug"
    await stack.start_all()
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        assert (await client.create_user("ana@acme.example")).status == 201
        assert (await client.call("POST", "/Users", b"{")).status == 400
    stack.stop()

    events: set[str] = set()
    for process in stack.processes:
        for line in process.log.read_text().splitlines():
            entry = json.loads(line)
            assert {"event", "level", "timestamp", "service"} <= set(entry), line
            assert entry["service"] == process.service
            if "logger" not in entry:
                events.add(entry["event"])
    assert events
    assert events <= set(get_args(LogEvent))
