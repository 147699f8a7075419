"""Logs of every release: applied today they lead to what they led to, and show no drift.

The recorded logs are in `tests/contract/golden`, with what the release that wrote them made of
them. Here they are on a real topic, and Postgres has the directory.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from rollcall.events import request as requests_event
from rollcall.events.envelope import decode
from rollcall.events.request import Request
from tests.integration.operator.rebuilding import (
    apply_all,
    contents,
    do_rebuild,
    do_verify,
)
from tests.support import fold_recorded
from tests.support.builders import an_id
from tests.support.deployment import Deployment

GOLDEN = Path(__file__).parents[3] / "contract" / "golden"


def golden_requests() -> list[Request]:
    """One request of every type, version and rules: creates first, what takes away last."""

    def order(name: str) -> int:
        verbs = ("create", "replace", "patch", "accept", "delete", "discard", "erase")
        return next((place for place, verb in enumerate(verbs) if f".{verb}." in name), len(verbs))

    found: list[Request] = []
    for path in sorted(GOLDEN.glob("request.*.json"), key=lambda each: (order(each.name), each)):
        if "organisation.delete" in path.name:
            continue  # what follows it in the log would be departed
        record = orjson.loads(path.read_bytes())
        headers = [(name, text.encode()) for name, text in record["headers"].items()]
        read = requests_event.from_event(decode(headers, orjson.dumps(record["value"])))
        found.append(replace(read, id=an_id(700_000 + len(found))))
    return found


def answered_long_ago(requests: list[Request]) -> list[Request]:
    """The same in a log of today: in time, and answered long ago."""
    return [
        replace(request, accept_by_ms=None, answer_by_ms=None, reply_to=None)
        for request in requests
    ]


async def held(deployment: Deployment, table: str) -> dict[str, Any]:
    rows = await deployment.rows(
        "SELECT organisation_id::text AS organisation, id::text AS id, document "
        f'FROM directory."{table}"'
    )
    return {f"{row['organisation']}/{row['id']}": row["document"] for row in rows}


def folded(name: str, kind: str) -> dict[str, Any]:
    """What the release that wrote the log made of it."""
    recorded = json.loads((GOLDEN / f"{name}.folded").read_bytes())
    return {
        f"{organisation}/{row['id']}": json.loads(row["document"])
        for organisation, directory in recorded["directories"].items()
        for row in directory[kind]
    }


@pytest.mark.parametrize("name", ["requests.v1", "requests.v1.external-ids"])
async def test_a_recorded_log_leads_to_what_it_led_to(name: str, deployment: Deployment) -> None:
    running = await deployment.start()
    log = [request for request, _ in fold_recorded.read(GOLDEN / f"{name}.jsonl")]
    assert {request.rules for request in log} == {1}

    await apply_all(deployment, answered_long_ago(log))
    await running.end()
    before = await contents(deployment)

    assert await held(deployment, "member") == folded(name, "members")
    assert await held(deployment, "group") == folded(name, "groups")
    assert (await do_verify(deployment)).drifts == []
    await do_rebuild(deployment)
    assert await contents(deployment) == before


async def test_a_log_of_every_version_and_every_rules_shows_no_drift(
    deployment: Deployment,
) -> None:
    running = await deployment.start()
    log = golden_requests()
    assert {request.rules for request in log} == set(range(1, requests_event.RULES + 1))
    assert {request.kind for request in log} == requests_event.KINDS - {"organisation.delete"}

    await apply_all(deployment, answered_long_ago(log))
    await running.end()
    before = await contents(deployment)

    assert (await do_verify(deployment)).drifts == []
    await do_rebuild(deployment)
    assert await contents(deployment) == before
