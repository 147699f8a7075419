"""`rollcall rebuild`: the same bytes, under load, broken off and run again, refused where it must.

The live services read and write through the swap with the statements that they had prepared.
"""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollcall.control.errors import ControlError, NotPossible
from rollcall.control.rebuild import fold_log, rebuild
from rollcall.directory import members
from rollcall.postgres import directory_search
from rollcall.postgres.pool import open_pool
from rollcall.postgres.upkeep import scratch
from rollcall.runtime.errors import Unavailable
from tests.integration.operator.rebuilding import (
    POISON,
    announced,
    apply_all,
    contents,
    do_rebuild,
    do_snapshot,
    do_verify,
    heed_ctrl_c,
    history,
    poisoned,
    rollcall,
    rollcall_json,
    send_all,
    sharing,
    start,
)
from tests.support import logs
from tests.support.builders import ORGANISATION, a_member, an_id, create, patch, replacing
from tests.support.deployment import Deployment
from tests.support.stack import until

ANA = a_member(1, "ana@example.org")


class BrokenOff(Exception):
    """A rebuild ends here, in the middle."""


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_rebuilt_directory_is_byte_for_byte_the_one_before(
    deployment: Deployment, seed: int
) -> None:
    running = await deployment.start()
    await poisoned(deployment)
    await apply_all(deployment, history(seed, 300))
    await running.end()
    before = await contents(deployment)
    assert before["dead_letter"]

    report = await do_rebuild(deployment)

    assert await contents(deployment) == before
    assert await contents(deployment, "directory_previous") != {}
    assert report.events > 300


async def test_a_log_of_both_rules_has_no_drift_and_is_rebuilt_as_it_was(
    deployment: Deployment, tmp_path: Path
) -> None:
    """External ids: refused under rules 1, then shared (docs/decisions/0047)."""
    running = await deployment.start()
    requests = sharing(47, 240)
    await apply_all(deployment, requests[:120])
    taken = await do_snapshot(deployment, tmp_path)
    await apply_all(deployment, requests[120:])
    await running.end()
    before = await contents(deployment)
    shared = await deployment.rows(
        "SELECT count(*) AS holders FROM directory.member WHERE external_id IS NOT NULL "
        "GROUP BY organisation_id, external_id HAVING count(*) > 1"
    )
    refused = await deployment.rows(
        "SELECT count(*) AS number FROM audit.event "
        "WHERE status = 409 AND outcomes::text LIKE '%externalId%'"
    )

    assert shared
    assert refused[0]["number"] > 0
    assert (await do_verify(deployment)).drifts == []
    assert (await do_verify(deployment, taken.folder)).drifts == []
    await do_rebuild(deployment, snapshot=taken.folder)
    assert await contents(deployment) == before
    await do_rebuild(deployment)
    assert await contents(deployment) == before


async def test_a_rebuild_made_before_a_constraint_went_is_not_swapped_in(
    deployment: Deployment,
) -> None:
    """It would bring back what a migration took away meanwhile."""
    running = await deployment.start()
    await apply_all(deployment, history(7, 40))
    await running.end()
    async with deployment.database.connect() as connection:
        async with connection.transaction():
            await scratch.make_tables(connection, scratch.REBUILD, is_kept=True)
            await scratch.finish_tables(connection, scratch.REBUILD)
        assert await scratch.is_of_one_form(connection, scratch.REBUILD)
        await connection.execute(
            "ALTER TABLE directory_rebuild.member "
            "ADD CONSTRAINT member_external_id_unique UNIQUE (organisation_id, external_id)"
        )

        with pytest.raises(scratch.SchemaDiffers):
            async with connection.transaction():
                await scratch.swap(connection, scratch.REBUILD)


async def test_a_rebuild_from_a_snapshot_needs_only_the_log_behind_it(
    deployment: Deployment, tmp_path: Path
) -> None:
    running = await deployment.start()
    await poisoned(deployment)
    requests = history(3, 400)
    await apply_all(deployment, requests[:250])
    taken = await do_snapshot(deployment, tmp_path)
    copies = requests[230:250]  # appended again: known by the ids that the snapshot keeps
    await apply_all(deployment, [*copies, *requests[250:]])
    await running.end()
    before = await contents(deployment)
    for partition in (0, 1):
        at = taken.begin()[partition].next_offset
        await logs.cut(deployment, deployment.topics.requests, at - 1, partition)

    report = await do_rebuild(deployment, snapshot=taken.folder)

    assert await contents(deployment) == before
    assert report.snapshot == taken.folder.name
    with pytest.raises(NotPossible, match="name a snapshot"):
        await do_rebuild(deployment)


async def test_services_go_on_through_the_swap_with_the_statements_they_prepared(
    deployment: Deployment,
) -> None:
    """Applied and read all the while: no error, no event lost, nobody waits for long."""
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org"), *history(5, 200)])
    pool = await open_pool(
        deployment.database.url("ingress"),
        role_hint="ingress",
        max_size=2,
        statement_timeout_s=5,
        application_name="reader",
    )
    sent, seen, done = 0, 0, asyncio.Event()

    async def write() -> None:
        nonlocal sent
        while not done.is_set():
            sent += 1
            title = replace(patch(ANA, replacing("title", f"T{sent}")), id=an_id(800_000 + sent))
            await send_all(deployment, [title])

    async def read() -> None:
        nonlocal seen
        while not done.is_set():
            async with pool.connection() as connection:
                found = await directory_search.find_member(connection, ORGANISATION, ANA.id)
            assert found is not None
            title = int(str(found.resource.get("title", "T0"))[1:])
            assert title >= seen, "a read went back behind an earlier one"
            seen = title

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        tasks.create_task(read())
        first = await do_rebuild(deployment)
        second = await do_rebuild(deployment)
        done.set()
    await deployment.applied((await deployment.progress(0))["next_offset"])

    async def all_read() -> bool:
        [row] = await deployment.rows(
            "SELECT document ->> 'title' AS title FROM directory.member WHERE id = $1", ANA.id
        )
        return bool(row["title"] == f"T{sent}")

    await until(all_read, "the last change is applied")
    assert (await do_verify(deployment)).drifts == []
    assert max(first.paused_s, second.paused_s) < 20
    announced = {each.request_id for each in await deployment.outcomes(sent)}
    assert {an_id(800_000 + number) for number in range(1, sent + 1)} <= announced
    await pool.close()
    await running.end()


async def test_a_rebuild_that_is_broken_off_goes_on_where_it_was(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(7, 300))
    await running.end()
    before = await contents(deployment)
    real, batches = fold_log.fold_records, 0

    async def dies(*arguments: object) -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            raise BrokenOff
        await real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(fold_log, "fold_records", dies)
    monkeypatch.setattr("rollcall.kafka.reading.BATCH_RECORDS", 40)
    with pytest.raises(BrokenOff):
        await do_rebuild(deployment)
    assert await contents(deployment) == before
    monkeypatch.setattr(fold_log, "fold_records", real)

    report = await do_rebuild(deployment)

    assert report.is_resumed
    assert (
        0
        < report.events
        < sum(
            row["next_offset"] for row in await deployment.rows("SELECT * FROM directory.progress")
        )
    )
    assert await contents(deployment) == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
async def test_a_process_that_is_ended_close_to_the_swap_is_followed_by_one_that_goes_on(
    deployment: Deployment, how: signal.Signals
) -> None:
    """Held where it pauses the partitions: somebody has their positions locked."""
    running = await deployment.start()
    await apply_all(deployment, history(13, 120))
    await running.end()
    before = await contents(deployment)

    async def waits() -> bool:
        return bool(
            await deployment.rows(
                "SELECT FROM pg_stat_activity WHERE application_name = 'rollcall rebuild' "
                "AND datname = current_database() AND wait_event_type = 'Lock' "
                "AND query LIKE '%state = ''paused''%'"
            )
        )

    async with deployment.database.connect() as connection, connection.transaction():
        await connection.execute("SELECT FROM directory.progress FOR UPDATE")
        process = await start(
            deployment,
            "rebuild",
            "--yes",
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=heed_ctrl_c,
        )
        await until(waits, "the rebuild pauses the partitions", 60)
        process.send_signal(how)
        await asyncio.wait_for(process.wait(), 30)
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    # What Postgres was waiting to do for a process that was killed, it does: a pause that ends.
    assert {**await contents(deployment), "progress": before["progress"]} == before

    async def is_free() -> bool:
        return not await waits()

    await until(is_free, "Postgres has noticed that it is gone")
    report = await do_rebuild(deployment)

    assert report.is_resumed
    assert report.events == 0
    assert await contents(deployment) == before


async def test_a_rebuild_that_dies_while_partitions_stand_holds_them_up_for_a_moment_only(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(9, 100))
    monkeypatch.setattr(rebuild, "PAUSE_S", 1.5)

    async def dies(*_: object) -> bool:
        raise asyncio.CancelledError

    async def nothing(*_: object) -> None:
        """Who was killed does not clean up."""

    monkeypatch.setattr(rebuild, "_swap", dies)
    monkeypatch.setattr("rollcall.postgres.progress.unpause", nothing)
    with pytest.raises(asyncio.CancelledError):
        await do_rebuild(deployment)
    states = {row["state"] for row in await deployment.rows("SELECT state FROM directory.progress")}
    assert "paused" in states

    await apply_all(deployment, history(10, 20, first=5000))

    rows = await deployment.rows("SELECT state FROM directory.progress WHERE next_offset > 0")
    assert {row["state"] for row in rows} == {"running"}
    await running.end()


async def test_a_pause_that_cannot_be_prolonged_ends_the_rebuild_before_its_swap(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run again, it goes on where it was."""
    running = await deployment.start()
    await apply_all(deployment, history(9, 100))
    monkeypatch.setattr(rebuild, "PAUSE_S", 1.5)
    pause, asked, swap = rebuild._pause, [0], rebuild._swap

    async def fails(*arguments: Any) -> float:
        asked[0] += 1
        if asked[0] > 1:
            raise LookupError("for the test")
        return await pause(*arguments)

    async def waits(*_: object) -> bool:
        await asyncio.sleep(60)
        raise AssertionError("the rebuild goes on in a pause that nobody prolongs")

    await announced(deployment)
    before = await contents(deployment)
    with monkeypatch.context() as patched:
        patched.setattr(rebuild, "_pause", fails)
        patched.setattr(rebuild, "_swap", waits)
        with pytest.raises(LookupError, match="for the test"):
            await do_rebuild(deployment)
    states = {row["state"] for row in await deployment.rows("SELECT state FROM directory.progress")}
    assert rebuild._swap is swap
    report = await do_rebuild(deployment)

    assert states == {"running"}
    assert report.is_resumed
    assert await contents(deployment) == before
    await running.end()


async def test_a_pause_outlives_an_outage_that_is_shorter_than_itself(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(9, 50))
    monkeypatch.setattr(rebuild, "PAUSE_S", 3.0)
    pause, swap, asked = rebuild._pause, rebuild._swap, [0]

    async def is_away_once(*arguments: Any) -> float:
        asked[0] += 1
        if asked[0] == 2:
            raise Unavailable("Postgres")
        return await pause(*arguments)

    async def after_two(*arguments: Any) -> bool:
        await until(lambda: asked[0] >= 3, "the pause is prolonged after the outage")
        return await swap(*arguments)

    monkeypatch.setattr(rebuild, "_pause", is_away_once)
    monkeypatch.setattr(rebuild, "_swap", after_two)
    await announced(deployment)
    before = await contents(deployment)

    await do_rebuild(deployment)

    assert await contents(deployment) == before
    await running.end()


async def test_what_halts_while_a_rebuild_waits_is_halted_after_its_swap(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(9, 50))
    swap = rebuild._swap

    async def halts_first(*arguments: Any) -> bool:
        await deployment.rows(
            "UPDATE directory.progress SET state = 'halted', reason = 'newer-version',"
            " detail = 'for the test', paused_until = NULL WHERE next_offset > 0 RETURNING true"
        )
        return await swap(*arguments)

    monkeypatch.setattr(rebuild, "_swap", halts_first)
    await do_rebuild(deployment)

    rows = await deployment.rows(
        "SELECT DISTINCT state, reason, detail FROM directory.progress WHERE next_offset > 0"
        " AND topic NOT LIKE '%tenancy'"
    )
    assert [tuple(row) for row in rows] == [("halted", "newer-version", "for the test")]
    await running.end()


async def test_events_that_were_dead_stay_dead_without_the_option(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release of today would apply it, at a place where others did not find it applied."""
    right = members.patch
    wrong = replace(patch(ANA, replacing("title", POISON)), id=an_id(700_001))

    def broken(*arguments: object) -> object:
        raise KeyError(POISON)

    monkeypatch.setattr(members, "patch", broken)
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org"), wrong])
    await running.end()
    monkeypatch.setattr(members, "patch", right)
    before = await contents(deployment)

    await do_rebuild(deployment)
    assert await contents(deployment) == before

    await do_rebuild(deployment, applies_dead=True)
    after = await contents(deployment)
    assert after["dead_letter"] == []
    assert POISON in after["member"][0]


async def test_a_release_that_cannot_apply_what_was_applied_does_not_swap(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await deployment.start()
    await apply_all(
        deployment, [create(1, "ana@example.org"), patch(ANA, replacing("title", "Cook"))]
    )
    await running.end()
    before = await contents(deployment)

    def broken(*arguments: object) -> object:
        raise KeyError(POISON)

    monkeypatch.setattr(members, "patch", broken)

    with pytest.raises(ControlError, match=r"cannot apply .*/0/1, which was applied before"):
        await do_rebuild(deployment)
    assert await contents(deployment) == before


async def test_a_dry_run_says_how_much_there_is_and_changes_nothing(deployment: Deployment) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(11, 60))
    await running.end()
    before = await contents(deployment)

    printed = await rollcall_json(deployment, "rebuild", "--dry-run")

    assert printed["dry_run"]
    assert printed["events"] >= 60
    assert await contents(deployment) == before
    assert (
        await deployment.rows("SELECT FROM pg_namespace WHERE nspname LIKE 'directory\\_%'") == []
    )


async def test_one_rebuild_at_a_time(deployment: Deployment) -> None:
    async with deployment.database.connect() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", 0x726F6C6C)

        refused = await rollcall(deployment, "rebuild", "--yes")

    assert refused.exit_code == 2
    assert "another rebuild is under way" in refused.stderr
