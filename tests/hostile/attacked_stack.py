"""The stack under attack: who asks, whom it aims at, and what must not change. No test in here."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from rollcall.control.organisations import change_organisation
from rollcall.control.tenancy_log import open_log
from tests.hostile.entry import ENTERPRISE, GROUP, PATCH, Profile
from tests.support.scim_client import Client
from tests.support.stack import Organisation, Process, Stack, until

MARK = "qz7unspeakable"
Rows = list[tuple[Any, ...]]

_OWN_ROWS = """
SELECT 'member', id::text, to_jsonb(m) FROM directory.member m WHERE organisation_id = $1
UNION ALL
SELECT 'group', id::text, to_jsonb(g) FROM directory."group" g WHERE organisation_id = $1
UNION ALL
SELECT 'membership', group_id || ' ' || member_id, to_jsonb(x)
FROM directory.group_member x WHERE organisation_id = $1
ORDER BY 1, 2
"""
_FINGERPRINT = """
SELECT
    (SELECT count(*) FROM directory.member WHERE organisation_id = ANY ($1)),
    (SELECT max(version::text) FROM directory.member WHERE organisation_id = ANY ($1)),
    (SELECT count(*) FROM directory."group" WHERE organisation_id = ANY ($1)),
    (SELECT max(version::text) FROM directory."group" WHERE organisation_id = ANY ($1)),
    (SELECT count(*) FROM directory.group_member WHERE organisation_id = ANY ($1))
"""


@dataclass(slots=True)
class Content:
    """What an organisation holds: ids by what the entries call them."""

    organisation: Organisation
    member: str = ""
    group: str = ""
    version: str = ""
    names: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class AttackedStack:
    """A running stack with an asker in each profile, and a victim."""

    stack: Stack
    connection: "asyncpg.Connection[asyncpg.Record]"
    victim: Content
    askers: dict[Profile, Content]
    rss_kib: int = 0
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def ingress(self) -> Process:
        """The only ingress."""
        return self.stack.running("ingress")[0]

    def names(self, profile: Profile, mark: str = MARK) -> Mapping[str, str]:
        """What the names in double angle brackets stand for; a new number at each call."""
        asker, victim = self.askers[profile], self.victim
        return {
            "mark": mark,
            "n": str(next(self.numbers)),
            "u": mark[-3:],
            "key": asker.organisation.key,
            "base": f"/v2/{asker.organisation.id}",
            "organisation": asker.organisation.id,
            "member": asker.member,
            "group": asker.group,
            "victim_key": victim.organisation.key,
            "victim_organisation": victim.organisation.id,
            "victim_member": victim.member,
            "victim_group": victim.group,
            "victim_version": victim.version,
            **victim.names,
        }

    async def victims_rows(self) -> Rows:
        """Every row of the victim, whole."""
        found = await self.connection.fetch(_OWN_ROWS, self.victim.organisation.id)
        return [tuple(row) for row in found]

    async def askers_state(self) -> tuple[Any, ...]:
        """What any applied change of an asker's moves: numbers of rows, latest versions."""
        ids = [content.organisation.id for content in self.askers.values()]
        row = await self.connection.fetchrow(_FINGERPRINT, ids)
        assert row is not None
        return tuple(row)

    def logs(self) -> dict[str, str]:
        """What every process has written so far."""
        return {
            f"{process.service}-{process.pid}": process.log.read_text(errors="replace")
            for process in self.stack.processes
        }

    def ingress_kib(self) -> int:
        """Resident memory of ingress."""
        status = Path(f"/proc/{self.ingress.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1])


@contextlib.asynccontextmanager
async def opened(stack: Stack) -> AsyncIterator[AttackedStack]:
    """The stack started, with its organisations filled."""
    victim = Content(await stack.organisation("Victim"))
    askers: dict[Profile, Content] = {
        "compatible": Content(await stack.organisation("Asker")),
        "interop": Content(await stack.organisation("Asker, strict")),
    }
    async with open_log(stack.settings) as log:
        await change_organisation(log, askers["interop"].organisation.id, ["profile=interop"])
    await stack.start_all()
    await _fill(stack, victim, "victim", "Victoria")
    for content in askers.values():
        await _fill(stack, content, "asker", "Target")
    connection = await asyncpg.connect(stack.database_url("owner"))
    attacked = AttackedStack(stack, connection, victim, askers)
    try:
        yield attacked
    finally:
        await connection.close()


async def control(attacked: AttackedStack) -> None:
    """An ordinary client's day, each step as it should be."""
    number = next(attacked.numbers)
    async with attacked.stack.client(attacked.askers["compatible"].organisation) as client:
        name = f"control{number}@asker.example"
        created = await client.create_user(name, displayName="Control")
        assert created.status == 201, created
        path = f"/Users/{created.body['id']}"
        listed = await client.call("GET", f'/Users?filter=userName%20eq%20"{name}"')
        assert (listed.status, listed.body["totalResults"]) == (200, 1), listed
        changed = await client.patch(path, {"op": "replace", "path": "title", "value": "Pilot"})
        assert (changed.status, changed.body["title"]) == (200, "Pilot"), changed
        assert (await client.call("DELETE", path)).status == 204
        assert (await client.call("GET", path)).status == 404


async def _fill(stack: Stack, content: Content, word: str, display: str) -> None:
    async with stack.client(content.organisation) as client:
        await until(lambda: _is_open(client), "the key opens", 20)
        name = f"{display.lower()}@{word}.example"
        external = f"external-of-{word}"
        created = await client.create_user(name, displayName=display, externalId=external)
        assert created.status == 201, created
        manager = {ENTERPRISE: {"manager": {"value": created.body["id"]}}}
        second = await client.create_user(f"second@{word}.example", **manager)
        assert second.status == 201, second
        group = await client.call(
            "POST",
            "/Groups",
            {
                "schemas": [GROUP],
                "displayName": f"Crew of {word}",
                "externalId": f"group-of-{word}",
                "members": [{"value": created.body["id"]}, {"value": second.body["id"]}],
            },
        )
        assert group.status == 201, group
        content.member, content.group = created.body["id"], group.body["id"]
        content.version = created.body["meta"]["version"].removeprefix('W/"').removesuffix('"')
        content.names = {
            f"{word}_name": name,
            f"{word}_external": external,
            f"{word}_group_name": f"Crew of {word}",
            f"{word}_second": second.body["id"],
        }


async def _is_open(client: Client) -> bool:
    answer = await client.call("PATCH", "/Users/x", {"schemas": [PATCH]})
    return answer.status == 404
