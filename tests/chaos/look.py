"""Reads what a deployment holds from Kafka, Postgres and the mailbox. No judgement here."""

import email
import json
from collections import defaultdict
from collections.abc import Sequence
from email.policy import default as mail_policy
from typing import Any

from tests.chaos.found import Audited, Disturbance, Logged, Mail, Observed, ResourceKey, Stored
from tests.chaos.history import Endpoint, State, state_of
from tests.support.poison import rollcall
from tests.support.stack import Stack

Json = dict[str, Any]


async def look(stack: Stack, disturbances: Sequence[Disturbance]) -> Observed:
    """Everything, once nothing moves any more."""
    refused = await rollcall(stack, "refused", "list")
    [dead] = await stack.rows("SELECT count(*) AS n FROM directory.dead_letter")
    halted = await stack.rows(
        "SELECT topic, partition, reason FROM directory.progress WHERE state <> 'running' "
        "UNION ALL SELECT topic, partition, reason FROM notice.progress WHERE state <> 'running'"
    )
    return Observed(
        log=await _log(stack),
        audit=await _audit(stack),
        persons=await _persons(stack),
        groups=await _groups(stack),
        refused={each["id"]: each["told"] for each in refused},
        mails=_mails(stack),
        announced=await _announced(stack),
        dead=int(dead["n"]),
        halted=[f"{row['topic']}/{row['partition']}: {row['reason']}" for row in halted],
        disturbances=disturbances,
    )


async def is_settled(stack: Stack) -> str:
    """What is not done yet; empty: every log is applied and announced, no mail is under way."""
    topics = stack.topics
    for topic, table in ((topics.requests, "directory"), (topics.outcomes, "notice")):
        rows = await stack.rows(
            f"SELECT partition, next_offset FROM {table}.progress WHERE topic = $1", topic
        )
        applied = {row["partition"]: row["next_offset"] for row in rows}
        for partition in range(topics.requests_partitions):
            end = await stack.end_offset(topic, partition)
            if applied.get(partition, 0) != end:
                return f"{topic}/{partition} is applied to {applied.get(partition, 0)} of {end}"
    [row] = await stack.rows(
        "SELECT count(*) AS n FROM directory.progress WHERE published_offset < next_offset"
    )
    if row["n"]:
        return f"{row['n']} partitions are not announced"
    [row] = await stack.rows(
        "SELECT count(*) AS n FROM notice.notification WHERE state IN ('due', 'failed')"
    )
    return f"{row['n']} mails are due" if row["n"] else ""


async def _log(stack: Stack) -> list[Logged]:
    found = []
    for record in await stack._read(stack.topics.requests):
        headers = {name: raw.decode() for name, raw in record.headers}
        organisation, endpoint, resource_id = headers["ce_subject"].split("/")
        found.append(
            Logged(
                record.partition,
                record.offset,
                record.timestamp,
                int(headers["ce_acceptby"]),
                headers["ce_id"],
                organisation,
                _endpoint(endpoint),
                resource_id,
                headers.get("traceparent", "--").split("-")[1],
                headers.get("ce_promise") == "decision",
            )
        )
    return sorted(found, key=lambda each: (each.partition, each.offset))


def _endpoint(text: str) -> Endpoint:
    return "Users" if text == "Users" else "Groups"


async def _audit(stack: Stack) -> list[Audited]:
    rows = await stack.rows(
        'SELECT id::text, organisation_id::text, partition, "offset", resource_id, status, '
        "extract(epoch FROM recorded)::float AS recorded_s, jsonb_array_length(outcomes) AS n "
        'FROM audit.event ORDER BY partition, "offset"'
    )
    return [
        Audited(
            row["id"],
            row["organisation_id"],
            row["partition"],
            row["offset"],
            row["resource_id"],
            row["status"],
            row["recorded_s"],
            row["n"],
        )
        for row in rows
    ]


async def _persons(stack: Stack) -> dict[ResourceKey, Stored]:
    rows = await stack.rows(
        "SELECT organisation_id::text AS organisation, id::text, version::text, document "
        "FROM directory.member"
    )
    return {
        (row["organisation"], row["id"]): Stored(
            row["version"], state_of("Users", json.loads(row["document"]))
        )
        for row in rows
    }


async def _groups(stack: Stack) -> dict[ResourceKey, Stored]:
    members: dict[ResourceKey, set[str]] = defaultdict(set)
    for row in await stack.rows(
        "SELECT organisation_id::text AS organisation, group_id::text, member_id::text "
        "FROM directory.group_member"
    ):
        members[row["organisation"], row["group_id"]].add(row["member_id"])
    rows = await stack.rows(
        "SELECT organisation_id::text AS organisation, id::text, version::text, document "
        'FROM directory."group"'
    )
    found: dict[ResourceKey, Stored] = {}
    for row in rows:
        key = row["organisation"], row["id"]
        name = json.loads(row["document"]).get("displayName")
        state = State((("displayName", name),), frozenset(members.pop(key, ())))
        found[key] = Stored(row["version"], state)
    # Memberships of no group would be found under it.
    for key, ids in members.items():
        found[key] = Stored("no group", State((), frozenset(ids)))
    return found


def _mails(stack: Stack) -> list[Mail]:
    found = []
    for path in sorted((stack.maildir / "new").glob("*")):
        message = email.message_from_bytes(path.read_bytes(), policy=mail_policy)
        event_id, kind = message["Message-ID"].strip().strip("<>").partition("@")[0].split(".")
        at_s = int(path.name.split(".")[0]) / 1e9
        found.append(Mail(event_id, kind, message["X-RcptTo"], at_s))
    return found


async def _announced(stack: Stack) -> dict[tuple[str, int], list[str]]:
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for headers in await stack.headers(stack.topics.outcomes):
        if "ce_sequence" not in headers:  # that a mail left
            continue
        index = int(headers["ce_sequence"].split(".")[2])
        found[headers["ce_causationid"], index].append(headers["ce_id"])
    return dict(found)
