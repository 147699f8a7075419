"""Two organisations with a past, and the commands that end one. No test in here."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

from rollcall.control.tenancy_log import open_log
from rollcall.tenancy.organisation import ApiKey, Organisation
from tests.integration.operator.rebuilding import (
    apply_all,
    do_rebuild,
    environment_of,
    execute,
    history,
    poisoned,
    settings_of,
)
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_member,
    an_id,
    patch,
    replacing,
)
from tests.support.deployment import Deployment

LEAVER = Organisation(ORGANISATION, "Zeeburg", 0, MOMENT)
STAYER = Organisation(OTHER_ORGANISATION, "Amstel", 1, MOMENT)
KEY = "Ab3dEf6hIj9k"
LONGEST = str(2**63 - 1)
"""The most that Kafka takes for a time, in milliseconds: beyond every calendar."""
DELETE = ("org", "delete", "Zeeburg", "--yes", "--settle", "0")
TABLES = """
SELECT namespace.nspname AS schema, relation.relname AS name
FROM pg_class AS relation
JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE relation.relkind = 'r' AND namespace.nspname NOT LIKE 'pg\\_%'
  AND namespace.nspname <> 'information_schema'
"""


async def write_records(deployment: Deployment) -> None:
    """Two organisations with a key each, one of which was used."""
    async with open_log(settings_of(deployment)) as log:
        for record in (
            LEAVER,
            STAYER,
            ApiKey(KEY, ORGANISATION, "first key", "1" * 64, MOMENT),
            ApiKey("Zz3dEf6hIj9k", OTHER_ORGANISATION, "first key", "2" * 64, MOMENT),
        ):
            await log.write(record)


async def inhabited(deployment: Deployment, seed: int = 51) -> None:
    """Both organisations with members, groups, letters, parked events, notices, key use; what a
    rebuild replaced; the provisioner runs."""
    await write_records(deployment)
    await deployment.start()
    await poisoned(deployment)
    behind = replace(patch(a_member(1), replacing("nickName", "Parked")), id=an_id(900_001))
    await apply_all(deployment, [behind, *history(seed, 150)])
    for organisation, key in ((ORGANISATION, KEY), (OTHER_ORGANISATION, "Zz3dEf6hIj9k")):
        await execute(
            deployment,
            f"INSERT INTO tenancy.key_use VALUES ('{key}', now());"
            "INSERT INTO audit.unheard (id) SELECT id FROM audit.event "
            f"WHERE organisation_id = '{organisation}' LIMIT 3;"
            "INSERT INTO notice.notification (event_id, kind, organisation_id, member_id, "
            'partition, epoch, "offset", "index", event_time, due_at, next_attempt_at) '
            f"SELECT id, 'invitation', '{organisation}', id, 0, 0, 1, 0, now(), now(), now() "
            f"FROM directory.member WHERE organisation_id = '{organisation}';"
            "INSERT INTO notice.mail_taken (event_id, kind, recipient, organisation_id, member_id) "
            "SELECT event_id, kind, '\\x00ff', organisation_id, member_id "
            f"FROM notice.notification WHERE organisation_id = '{organisation}'",
        )
    await do_rebuild(deployment)


async def naming(deployment: Deployment, text: str) -> dict[str, list[str]]:
    """Table → its rows in which a text stands anywhere, bytes and all; of every schema there is."""
    found: dict[str, list[str]] = {}
    for table in await deployment.rows(TABLES):
        name = f'{table["schema"]}."{table["name"]}"'
        columns = await deployment.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass "
            "AND atttypid = 'bytea'::regtype",
            name,
        )
        bytes_of = "".join(f" || coalesce(encode({c['attname']}, 'escape'), '')" for c in columns)
        rows = await deployment.rows(
            f"SELECT row FROM (SELECT t::text{bytes_of} AS row FROM {name} AS t) AS rows "
            "WHERE strpos(row, $1) > 0",
            text,
        )
        if rows:
            found[f"{table['schema']}.{table['name']}"] = sorted(row["row"] for row in rows)
    return found


async def assert_gone(deployment: Deployment) -> None:
    """Nothing names the organisation but the two rows that say that it has left."""
    left = await naming(deployment, ORGANISATION)
    [departed] = left.pop("directory.departed")
    left.pop("directory_previous.departed", None)
    event_id = departed.strip("()").split(",")[1]
    for table, rows in left.items():
        assert table.startswith("audit.event"), f"{table}: {rows}"
        [row] = rows
        assert row.startswith(f"({event_id},")
        assert "organisation.delete.v1" in row
    assert KEY not in str(await naming(deployment, KEY))


async def rest(deployment: Deployment) -> dict[str, list[str]]:
    """Every row that names the other organisation, in tables that no rebuild replaces."""
    return await naming(deployment, OTHER_ORGANISATION)


async def rollcall(
    deployment: Deployment, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own: beside a provisioner whose log is on our stdout."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "rollcall_operator", *arguments],
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("ROLLCALL_")},
            "ROLLCALL_ENVIRONMENT": "test",
            **environment_of(deployment),
            **variables,
        },
        capture_output=True,
        text=True,
    )


async def rollcall_json(deployment: Deployment, *arguments: str) -> Any:
    """What it prints for scripts."""
    done = await rollcall(deployment, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def killed(deployment: Deployment, fault: str, *arguments: str) -> bool:
    """Whether the command died at the fault point."""
    done = await rollcall(deployment, *arguments, ROLLCALL_FAULT=fault)
    return done.returncode == -signal.SIGKILL
