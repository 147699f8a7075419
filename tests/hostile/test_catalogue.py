"""Several hundred requests that no client should send, against the real stack.

Each is answered as its entry says and in time; whatever was refused changed nothing; the victim's
rows are as before; an ordinary client is served after each class; no text of a request is in a log
line or a metric. Classes are in `tests/hostile/catalogue`.
"""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from rollcall.scim.errors import ERROR_URN
from tests.hostile.attacked_stack import MARK, AttackedStack, control, opened
from tests.hostile.catalogue import CATALOGUE
from tests.hostile.entry import Entry
from tests.support.databases import TestDatabase
from tests.support.servers import KafkaServer
from tests.support.stack import running
from tests.support.wire import Hung, Reply, exchange

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

GROWTH_KIB = 50 * 1024
MORE_WITHIN_S = 0.1
"""For a second answer to what was one request: there must be none, so this is waited out."""
SCIM_TYPE = "application/scim+json; charset=utf-8"
OTHER_MARK = "qz7unwritten"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(
    tmp_path_factory: pytest.TempPathFactory,
    kafka_server: KafkaServer,
    module_database: TestDatabase,
) -> AsyncIterator[AttackedStack]:
    """One stack for the whole catalogue: what one class leaves behind, the next one meets."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with (
        running(
            folder,
            kafka_server.bootstrap,
            prefix,
            module_database.url,
            ROLLCALL_LOG_LEVEL="debug",
        ) as stack,
        opened(stack) as made,
    ):
        for _ in range(20):
            await control(made)
        made.rss_kib = made.ingress_kib()
        yield made


@pytest.mark.parametrize("kind", list(CATALOGUE))
async def test_hostile_requests_are_answered_in_words_and_change_nothing(
    kind: str, attacked: AttackedStack
) -> None:
    victims = await attacked.victims_rows()
    assert len(victims) == 5
    surprises: list[str] = []

    for entry in CATALOGUE[kind]:
        before = await attacked.askers_state()
        names = attacked.names(entry.profile)
        try:
            reply = await exchange(
                attacked.stack.door_port,
                entry.message(names),
                method=entry.method,
                more_within_s=MORE_WITHIN_S if entry.raw is not None else 0.0,
            )
        except (Hung, AssertionError, asyncio.IncompleteReadError) as error:
            surprises.append(f"{entry.name}: {type(error).__name__} {error}")
            continue
        surprises += [f"{entry.name}: {what}" for what in complaints(entry, reply, names["key"])]
        for text in entry.forbidden(names):
            if text.lower() in reply.body.lower():
                surprises.append(f"{entry.name}: the answer holds {text!r}: {reply.body[:300]!r}")
        if (reply.status >= 400 or reply.status == 0) and await attacked.askers_state() != before:
            surprises.append(f"{entry.name}: refused with {reply.status}, and yet it has written")

    assert surprises == [], "\n" + "\n".join(surprises)
    await control(attacked)
    assert await attacked.victims_rows() == victims
    for process in attacked.stack.processes:
        assert process.is_running(), process.explain()
    assert any("request.refused" in text for text in attacked.logs().values())
    spoken = [
        f"{name}: {line}"
        for name, text in attacked.logs().items()
        for line in forbidden_lines(attacked, text)
    ]
    assert spoken == []


def complaints(entry: Entry, reply: Reply, key: str) -> list[str]:
    """What is wrong with an answer, whatever was asked."""
    if reply.status == 0:
        return [] if entry.may_close else ["the connection was closed without an answer"]
    found: list[str] = []
    shown = reply.body[:300].decode(errors="replace")
    if reply.more:
        found.append(f"answered twice: {reply.more[:80]!r}")
    if reply.status not in entry.expected:
        wanted = "/".join(map(str, sorted(entry.expected)))
        found.append(f"{reply.status} instead of {wanted} ({entry.why}): {shown}")
    if key in shown:
        found.append("the key is in the answer")
    if reply.status >= 400 and entry.method != "HEAD":
        found += _error_complaints(reply, shown)
    return found


def _error_complaints(reply: Reply, shown: str) -> list[str]:
    if reply.header("content-type") != SCIM_TYPE:
        return [f"an error of type {reply.header('content-type')}"]
    try:
        body = json.loads(reply.body)
    except ValueError:
        return [f"an error that is no JSON: {shown}"]
    found = []
    if body.get("schemas") != [ERROR_URN] or body.get("status") != str(reply.status):
        found.append(f"no SCIM error: {shown}")
    if not isinstance(body.get("detail"), str) or len(body["detail"]) < 20:
        found.append(f"an error without words: {shown}")
    if MARK in shown.lower():
        found.append(f"the error quotes a value: {shown}")
    return found


def forbidden_lines(attacked: AttackedStack, text: str) -> list[str]:
    """Lines of a log that hold what no log may hold."""
    secrets = [MARK, "hostile", "@asker.example", "@victim.example", "victim-of-mail", "victoria"]
    secrets += [content.organisation.key.lower() for content in attacked.askers.values()]
    secrets.append(attacked.victim.organisation.key.lower())
    pattern = re.compile("|".join(map(re.escape, secrets)))
    return [line[:300] for line in text.lower().splitlines() if pattern.search(line)]


async def test_requests_make_no_metric_series_of_their_own_text(attacked: AttackedStack) -> None:
    """A second round with other words, keys and numbers: as many series as after the first."""
    kinds = ("query", "path", "authentication", "headers", "filter", "paging")

    async def round_with(mark: str) -> set[str]:
        for kind in kinds:
            for entry in CATALOGUE[kind]:
                message = entry.message(attacked.names(entry.profile, mark))
                await exchange(attacked.stack.door_port, message, method=entry.method)
        return await series(attacked)

    first = await round_with(MARK)
    second = await round_with(OTHER_MARK)

    assert second == first
    assert not [line for line in first if MARK in line.lower()]
    assert len(first) > 50


async def series(attacked: AttackedStack) -> set[str]:
    """Name and labels of every sample of every process."""
    found: set[str] = set()
    async with aiohttp.ClientSession() as session:
        for process in attacked.stack.processes:
            url = f"http://127.0.0.1:{process.admin_port}/metrics"
            async with session.get(url) as answer:
                lines = (await answer.text()).splitlines()
            found |= {
                f"{process.service} {line.rpartition(' ')[0]}"
                for line in lines
                if not line.startswith("#")
            }
    return found


async def test_mails_go_to_the_one_address_that_was_given(attacked: AttackedStack) -> None:
    mails = attacked.stack.mails()

    recipients = {mail["X-RcptTo"] for mail in mails}

    assert "victoria@victim.example" in recipients
    assert not [address for address in recipients if "victim-of-mail" in address]
    assert not [mail for mail in mails if "," in mail["X-RcptTo"] or mail["Bcc"] or mail["Cc"]]


async def test_the_catalogue_leaves_no_memory_behind(attacked: AttackedStack) -> None:
    """Bodies of 8 MiB and deep nesting among them."""
    growth_kib = attacked.ingress_kib() - attacked.rss_kib

    assert growth_kib < GROWTH_KIB, f"{growth_kib} KiB more than before the catalogue"
