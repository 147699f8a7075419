"""`rollcall verify`: no drift where there is none, every drift where somebody changed a row."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollcall.control.extent import CannotKnow
from rollcall.control.rebuild.verify import CONTROL
from rollcall.events.request import to_event
from tests.integration.operator.rebuilding import (
    apply_all,
    contents,
    do_rebuild,
    do_snapshot,
    do_verify,
    execute,
    history,
    poisoned,
    rollcall,
    rollcall_json,
    send_all,
)
from tests.support import logs
from tests.support.builders import (
    ORGANISATION,
    OTHER_ORGANISATION,
    a_member,
    create,
    patch,
    replacing,
)
from tests.support.deployment import Deployment

FORM = """
SELECT relation.relname AS table_name, attname AS column_name, format_type(atttypid, NULL) AS type,
       EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation.oid AND contype = 'p'
               AND attnum = ANY (conkey)) AS is_key
FROM pg_class AS relation JOIN pg_attribute ON attrelid = relation.oid
WHERE relnamespace = 'directory'::regnamespace AND relkind = 'r' AND attnum > 0
  AND NOT attisdropped
ORDER BY 1, attnum
"""
OTHER = {
    "uuid": "gen_random_uuid()",
    "text": "coalesce({column}, '') || 'x'",
    "text[]": "{column} || ARRAY['x']",
    "timestamp with time zone": "coalesce({column}, now()) + interval '1 millisecond'",
    "boolean": "NOT coalesce({column}, false)",
    "integer": "coalesce({column}, 0) + 1",
    "bigint": "coalesce({column}, 0) + 1",
    "jsonb": "jsonb_build_array({column})",
    "bytea": r"coalesce({column}, '') || '\x00'",
}
"""SQL type → another value than a column has."""


async def test_a_directory_under_load_has_no_drift(deployment: Deployment) -> None:
    running = await deployment.start()
    await poisoned(deployment)
    await send_all(deployment, history(21, 400))

    during = await do_verify(deployment)
    again = await rollcall_json(deployment, "verify")

    assert during.drifts == []
    assert again["drifts"] == []
    await running.end()


async def test_a_snapshot_stands_for_the_log_before_it(
    deployment: Deployment, tmp_path: Path
) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(22, 200))
    taken = await do_snapshot(deployment, tmp_path)
    await apply_all(deployment, history(23, 100, first=3000))
    await running.end()
    await logs.cut(deployment, deployment.topics.requests, taken.begin()[0].next_offset - 1)

    with pytest.raises(CannotKnow, match="name a snapshot"):
        await do_verify(deployment)
    assert (await rollcall(deployment, "verify")).exit_code == 2

    assert (await do_verify(deployment, taken.folder)).drifts == []


async def test_a_directory_that_is_older_than_the_snapshot_is_not_compared_with_it(
    deployment: Deployment, tmp_path: Path
) -> None:
    """As after a restore, while the provisioner catches up: behind is not wrong."""
    running = await deployment.start()
    await apply_all(deployment, history(25, 60))
    taken = await do_snapshot(deployment, tmp_path)
    await running.end()
    await execute(deployment, f"TRUNCATE {', '.join(await live_tables(deployment))}, audit.event")

    done = await rollcall(deployment, "verify", "--from", str(taken.folder))

    assert done.exit_code == 2
    assert "older than the snapshot" in done.stderr
    assert (
        await rollcall(deployment, "verify", "--dry-run", "--from", str(tmp_path))
    ).exit_code == 2
    assert (await do_verify(deployment)).drifts == []


async def live_tables(deployment: Deployment) -> list[str]:
    rows = await deployment.rows(
        "SELECT format('directory.%I', relname) AS name FROM pg_class "
        "WHERE relnamespace = 'directory'::regnamespace AND relkind = 'r' ORDER BY relname"
    )
    return [row["name"] for row in rows]


@pytest.mark.parametrize("command", ["verify", "rebuild"])
async def test_a_directory_that_cannot_be_copied_is_refused_in_one_line(
    deployment: Deployment, command: str
) -> None:
    await execute(deployment, "CREATE VIEW directory.of_somebody AS SELECT 1 AS one")

    done = await rollcall(deployment, command, *(["--yes"] if command == "rebuild" else []))

    assert done.exit_code == 2
    assert done.stderr == (
        "rollcall: the schema directory holds what is no table: of_somebody; move it to a schema "
        "of its own\n"
    )


async def test_a_log_that_was_recreated_says_nothing(deployment: Deployment) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(24, 50))
    await running.end()
    await logs.recreate(deployment, deployment.topics.requests)

    done = await rollcall(deployment, "verify")

    assert done.exit_code == 2
    assert "truncated, or is another log" in done.stderr


async def test_what_only_a_newer_release_reads_is_not_called_a_drift(
    deployment: Deployment,
) -> None:
    """A newer provisioner has applied an event; the command is of the release before."""
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org")])
    await running.end()
    event = to_event(create(2, "ben@example.org"))
    newer = replace(event, type="io.rollcall.request.member.create.v9")
    place = await deployment.send_event(newer, ORGANISATION)
    last = (await deployment.records(deployment.topics.requests))[-1]
    await execute(
        deployment,
        f"UPDATE directory.progress SET next_offset = {place.offset + 1}, "
        f"published_offset = {place.offset + 1}, last_event_id = '{newer.id}', "
        f"last_append_time = to_timestamp({last.timestamp} / 1000.0) "
        f"WHERE topic = '{deployment.topics.requests}' AND partition = 0",
    )

    done = await rollcall(deployment, "verify")

    assert done.exit_code == 2
    assert "partition 0" in done.stderr
    assert (await rollcall(deployment, "rebuild", "--yes")).exit_code == 2


async def test_a_drift_is_named_without_a_value(deployment: Deployment) -> None:
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org"), create(2, "ben@example.org")])
    await running.end()
    async with deployment.database.connect() as connection:
        await connection.execute(
            "UPDATE directory.member SET user_name_key = 'eve@example.org' "
            "WHERE user_name_key = 'ana@example.org'"
        )
        await connection.execute(
            "DELETE FROM directory.member WHERE user_name_key = 'ben@example.org'"
        )

    done = await rollcall(deployment, "verify")

    assert done.exit_code == 1
    assert "differs in user_name_key" in done.stdout
    assert "is missing: the log has it" in done.stdout
    assert "@example.org" not in done.output


async def test_a_changed_value_in_any_column_of_any_table_is_found_and_mended(
    deployment: Deployment,
) -> None:
    """Every column of every table of the directory, by chance and by the catalogue."""
    running = await deployment.start()
    await poisoned(deployment)
    await apply_all(deployment, history(25, 150))
    # In each partition the last event is decided, so that the audit knows its epoch.
    last = [create(9001, "last@example.org"), create(9002, "last@example.org")]
    last[1] = replace(last[1], organisation_id=OTHER_ORGANISATION)
    await apply_all(deployment, last)
    await running.end()
    before = await contents(deployment)
    columns = [
        (row["table_name"], row["column_name"], row["type"])
        for row in await deployment.rows(FORM)
        if row["column_name"] not in CONTROL.get(row["table_name"], ())
    ]
    assert {table for table, _, _ in columns} >= {"member", "group", "parked", "resource_count"}
    loop = asyncio.get_running_loop()

    async def changed_found_and_mended(table: str, column: str, kind: str) -> None:
        if await tamper(deployment, table, column, kind):
            verified = await do_verify(deployment)
            await do_rebuild(deployment)
            assert table in {drift.table for drift in verified.drifts}
            assert await contents(deployment) == before

    @settings(
        max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.sampled_from(columns))
    def pick(chosen: tuple[str, str, str]) -> None:
        asyncio.run_coroutine_threadsafe(changed_found_and_mended(*chosen), loop).result()

    await asyncio.to_thread(pick)


async def tamper(deployment: Deployment, table: str, column: str, kind: str) -> bool:
    """Change one value behind the service's back; whether there was one to change."""
    value = OTHER[kind].format(column=f'"{column}"')
    checks = await deployment.rows(
        "SELECT conname FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'",
        f'directory."{table}"',
    )
    async with deployment.database.connect() as connection:
        for check in checks:  # somebody who goes behind the service goes behind these too
            await connection.execute(
                f'ALTER TABLE directory."{table}" DROP CONSTRAINT {check["conname"]}'
            )
        try:
            done: Any = await connection.execute(
                f'UPDATE directory."{table}" SET "{column}" = {value} WHERE ctid = '
                f'(SELECT ctid FROM directory."{table}" WHERE {only(table)} LIMIT 1)'
            )
        except asyncpg.UniqueViolationError:
            return False  # another row has that key
    return str(done) != "UPDATE 0"


def only(table: str) -> str:
    """Rows about which the log says everything."""
    match table:
        case "progress":
            return "topic LIKE '%.requests' AND next_offset > 0"
        case "dead_letter":
            return "resource_id IS NOT NULL"
        case _:
            return "true"


async def test_a_dry_run_says_how_much_would_be_read_and_makes_nothing(
    deployment: Deployment,
) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(31, 40))
    await running.end()
    ends = {number: (await deployment.progress(number))["next_offset"] for number in (0, 1)}

    done = await rollcall_json(deployment, "verify", "--dry-run")
    said = await rollcall(deployment, "verify", "--dry-run")

    assert done["dry_run"] is True
    assert done["events"] == sum(ends.values())
    assert done["positions"] == {str(number): end for number, end in ends.items()}
    assert f"{sum(ends.values()):,} events of 2 partitions would be" in said.stdout
    assert await deployment.rows("SELECT FROM pg_namespace WHERE nspname ~ '_verify$'") == []


async def test_a_dry_run_refuses_what_a_verify_would_refuse(deployment: Deployment) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(32, 40))
    await running.end()
    await logs.cut(deployment, deployment.topics.requests, 3)

    assert (await rollcall(deployment, "verify", "--dry-run")).exit_code == 2


async def test_what_an_earlier_release_kept_of_late_events_is_no_drift(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did not ask an event that it could not read whether it was late, and set it aside."""
    made = create(1, "ana@example.org")
    late = replace(patch(a_member(1), replacing("title", "Cook"), number=902), accept_by_ms=1)
    behind = patch(a_member(1), replacing("title", "Captain"), number=904)
    with monkeypatch.context() as earlier:
        earlier.setattr("rollcall.applying.understand.is_late", lambda _: False)
        await deployment.start()
        await deployment.send(made)
        await deployment.send_event(replace(to_event(late), data={"operations": 7}), ORGANISATION)
        await apply_all(deployment, [behind])
        parked = await deployment.rows("SELECT id::text FROM directory.parked")

    kept = await do_verify(deployment)
    done = await rollcall(deployment, "dead", "redrive", "--all", "--yes")
    mended = await do_verify(deployment)

    assert [row["id"] for row in parked] == [behind.id]
    assert (kept.drifts, mended.drifts) == ([], [])
    assert "1 applied, 1 dropped: answered 503" in done.output
    assert await deployment.rows("SELECT 1 FROM directory.dead_letter WHERE state = 'dead'") == []
    [row] = await deployment.rows("SELECT document ->> 'title' AS title FROM directory.member")
    assert row["title"] == "Captain"
