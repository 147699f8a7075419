"""The log is the same log: every way in which it is not halts its partition, and no other."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from rollcall.consuming import identity
from rollcall.events.request import Request, to_event
from rollcall.kafka import pump
from rollcall.kafka.client import client_options
from rollcall.observability import metrics
from rollcall.runtime.clock import now_ms
from rollcall_operator.cli import app
from tests.integration.provisioner.requests import creates
from tests.support.builders import ORGANISATION, an_id, create
from tests.support.deployment import Deployment, Running
from tests.support.logs import copy, cut, recreate
from tests.support.stack import Stack, until


async def halted(deployment: Deployment, partition: int = 0) -> str:
    """Wait until the partition stands; why it does."""

    async def stands() -> bool:
        return bool((await deployment.progress(partition))["state"] == "halted")

    await until(stands, f"partition {partition} stands", timeout_s=40)
    return str((await deployment.progress(partition))["reason"])


async def applied_and_ended(deployment: Deployment, requests: Sequence[Request]) -> None:
    """Apply these in partition 0 and stop."""
    running = await deployment.start()
    for each in requests:
        last = await deployment.send(each)
    await deployment.applied(last.offset + 1)
    await running.end()


async def goes_on_elsewhere(deployment: Deployment) -> None:
    """Partition 1 is applied while partition 0 stands."""
    sent = await deployment.send(create(80, "elsewhere@example.org"), partition=1)
    await deployment.applied(sent.offset + 1, partition=1)


async def cli(deployment: Deployment, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """`rollcall partition …` beside the running provisioner."""
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", deployment.settings.kafka_bootstrap)
    monkeypatch.setenv("ROLLCALL_TOPIC_PREFIX", deployment.topics.prefix)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", deployment.database.url())
    return await asyncio.to_thread(CliRunner().invoke, app, ["partition", *arguments])


def halted_partitions(deployment: Deployment, reason: str) -> float:
    """How many partitions of the requests this process says to stand for a reason."""
    gauge = metrics.HALTED_PARTITIONS.labels(deployment.topics.requests, reason)
    return float(gauge._value.get())


async def test_a_recreated_topic_that_is_shorter_halts_until_its_log_is_accepted(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await applied_and_ended(deployment, creates(1, 3))
    old = await deployment.outcomes(3)
    await recreate(deployment, deployment.topics.requests)
    await deployment.send(create(1, "user1@example.org"))  # what an ingress would send again
    await deployment.send(create(11, "new@example.org"))

    await deployment.start()
    reason = await halted(deployment)
    await goes_on_elsewhere(deployment)
    refused = await cli(deployment, monkeypatch, "resume", "0", "--yes")
    before = await deployment.progress()
    accepted = await cli(deployment, monkeypatch, "resume", "0", "--new-log", "--yes")
    await deployment.applied(2)

    assert reason == "log-shorter"
    assert halted_partitions(deployment, reason) == 0
    assert (refused.exit_code, before["next_offset"], before["epoch"]) == (2, 3, 0)
    assert "the log ends at offset 2" in refused.stderr
    assert accepted.exit_code == 0, accepted.stderr
    after = await deployment.progress()
    assert (after["state"], after["reason"], after["epoch"]) == ("running", None, 1)
    assert after["last_event_id"] is not None
    announced = [each for each in await deployment.outcomes(5) if each not in old]
    places = {(each.request_id, each.sequence.epoch, each.sequence.offset) for each in announced}
    assert places == {(create(80, "x").id, 0, 0), (create(11, "x").id, 1, 1)}
    rows = await deployment.rows("SELECT count(*) AS members FROM directory.member")
    assert rows[0]["members"] == 5


async def test_a_recreated_topic_that_is_longer_halts(deployment: Deployment) -> None:
    await applied_and_ended(deployment, creates(1, 3))
    await recreate(deployment, deployment.topics.requests)
    for each in creates(11, 6):
        await deployment.send(each)

    await deployment.start()

    assert await halted(deployment) == "record-differs"
    await until(lambda: halted_partitions(deployment, "record-differs") == 1, "the metric says so")
    found = await deployment.progress()
    assert (found["next_offset"], found["epoch"]) == (3, 0)
    await goes_on_elsewhere(deployment)
    rows = await deployment.rows("SELECT count(*) AS events FROM audit.event WHERE partition = 0")
    assert rows[0]["events"] == 3


async def test_a_mirror_that_sets_new_times_halts_and_its_copies_are_known(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await applied_and_ended(deployment, creates(1, 3))
    topic = deployment.topics.requests
    records = await deployment.records(topic)
    await recreate(deployment, topic)
    await copy(deployment, records, topic)
    await deployment.send(create(11, "new@example.org"))

    await deployment.start()
    reason = await halted(deployment)
    accepted = await cli(deployment, monkeypatch, "resume", "0", "--new-log", "--yes", "--json")
    await deployment.applied(4)

    assert reason == "restamped"
    assert accepted.exit_code == 0, accepted.stderr
    rows = await deployment.rows("SELECT id::text, epoch FROM audit.event ORDER BY epoch, id")
    assert [tuple(row) for row in rows] == [(each.id, 0) for each in creates(1, 3)] + [
        (create(11, "x").id, 1)
    ]


async def test_retention_that_took_what_was_not_applied_halts(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await applied_and_ended(deployment, creates(1, 3))
    for each in creates(11, 3):
        await deployment.send(each)
    await cut(deployment, deployment.topics.requests, before=4)

    await deployment.start()

    assert await halted(deployment) == "retention-passed"
    shown = await cli(deployment, monkeypatch, "show", "0")
    assert "the log begins at offset 4, above the position 3" in shown.stdout


async def test_retention_that_took_what_was_applied_is_no_difference(
    deployment: Deployment,
) -> None:
    await applied_and_ended(deployment, creates(1, 3))
    await deployment.send(create(11, "new@example.org"))
    await cut(deployment, deployment.topics.requests, before=3)

    await deployment.start()

    await deployment.applied(4)


async def test_a_topic_recreated_beneath_a_running_worker_halts(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its client asks for the topics again, every half minute, it reads nothing."""
    often = {**client_options(deployment.settings), "metadata_max_age_ms": 500}
    monkeypatch.setattr(pump, "client_options", lambda _: often)
    await deployment.start()
    for each in creates(1, 3):
        last = await deployment.send(each)
    await deployment.applied(last.offset + 1)

    await recreate(deployment, deployment.topics.requests)
    await deployment.send(create(11, "new@example.org"))

    assert await halted(deployment) in ("out-of-range", "log-shorter")
    assert await deployment.rows("SELECT 1 FROM directory.member WHERE id = $1", an_id(11)) == []


async def test_a_log_that_changed_beneath_a_running_worker_is_found_before_a_batch(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made anew and outgrew the position while nothing was read."""
    monkeypatch.setattr(identity, "AGAIN_AFTER_S", 0)
    await deployment.start()
    first = await deployment.send(create(1, "ana@example.org"))
    await deployment.applied(first.offset + 1)
    await deployment.rows(
        "UPDATE directory.progress SET last_event_id = $1 WHERE partition = 0 AND topic = $2",
        an_id(500),
        deployment.topics.requests,
    )

    await deployment.send(create(2, "ben@example.org"))

    assert await halted(deployment) == "record-differs"
    assert (await deployment.progress())["next_offset"] == first.offset + 1


async def test_what_was_committed_is_announced_although_the_partition_stands(
    deployment: Deployment,
) -> None:
    await applied_and_ended(deployment, creates(1, 3))
    originals = await deployment.outcomes(3)
    # As if the process had died after its commit, and the log had been cut short meanwhile.
    await deployment.rows("UPDATE directory.progress SET published_offset = 1 WHERE partition = 0")
    await recreate(deployment, deployment.topics.requests)

    await deployment.start()

    assert await halted(deployment) == "log-shorter"
    assert (await deployment.outcomes(5))[3:] == originals[1:]

    async def is_written() -> bool:
        return bool((await deployment.progress())["published_offset"] == 3)

    await until(is_written, "the announcements are noted")


async def test_the_record_before_the_position_is_kept_whatever_became_of_it(
    deployment: Deployment,
) -> None:
    """Each is the last of its batch; a worker that starts anew knows the log by it."""
    good = create(1, "ana@example.org")
    dead = replace(to_event(create(2, "ben@example.org")), data={"organisation_id": 7})
    unnamed = replace(to_event(create(3, "cleo@example.org")), id="no id of ours")
    expired = replace(create(4, "dirk@example.org"), accept_by_ms=now_ms() - 60_000)
    known: list[str | None] = []
    for event in (to_event(good), dead, to_event(good), unnamed, to_event(expired)):
        sent = await deployment.send_event(event, ORGANISATION)
        running = await deployment.start()
        await deployment.applied(sent.offset + 1)
        await running.end()
        found = await deployment.progress()
        known.append(found["last_event_id"] and str(found["last_event_id"]))
        assert round(found["last_append_time"].timestamp() * 1000) == sent.append_time_ms

    assert known == [good.id, dead.id, good.id, None, expired.id]
    assert (await deployment.progress())["state"] == "running"


async def test_a_halted_partition_waits_for_an_operator_and_goes_on_without_a_restart(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is whole again, but only an operator can know that it is."""
    await applied_and_ended(deployment, creates(1, 3))
    await deployment.rows(
        "UPDATE directory.progress SET state = 'halted', reason = 'log-shorter', detail = 'cut'"
        " WHERE partition = 0 AND topic = $1",
        deployment.topics.requests,
    )
    running = await deployment.start()
    last = await deployment.send(create(11, "new@example.org"))
    await goes_on_elsewhere(deployment)
    still = (await deployment.progress())["state"]

    resumed = await cli(deployment, monkeypatch, "resume", "0", "--yes")
    await deployment.applied(last.offset + 1)

    assert still == "halted"
    assert resumed.exit_code == 0, resumed.stderr
    assert "from offset 3 in epoch 0" in resumed.stdout
    assert running.requests.stalled(0) == []


async def test_a_newer_version_is_tried_again_by_the_next_worker(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that knows it goes on by itself; `resume` says that this one does not."""
    first: Running = await deployment.start()
    newer = replace(
        to_event(create(1, "ana@example.org")), type="io.rollcall.request.member.create.v9"
    )
    await deployment.send_event(newer, ORGANISATION)
    reason = await halted(deployment)
    refused = await cli(deployment, monkeypatch, "resume", "0", "--yes")
    await first.end()
    # As if this release knew the version: the record is passed over.
    await deployment.rows(
        "UPDATE directory.progress SET next_offset = 1, published_offset = 1 WHERE partition = 0"
    )
    last = await deployment.send(create(2, "ben@example.org"))

    await deployment.start()

    await deployment.applied(last.offset + 1)
    assert reason == "newer-version"
    assert refused.exit_code == 2
    assert "finish the roll-out first" in refused.stderr


async def test_a_tenancy_topic_that_is_shorter_halts_its_copy_and_nothing_else(
    deployment: Deployment,
) -> None:
    await deployment.rows(
        "INSERT INTO directory.progress (topic, partition, next_offset, published_offset)"
        " VALUES ($1, 0, 7, 7)",
        deployment.topics.tenancy,
    )

    await deployment.start()

    async def stands() -> bool:
        query = "SELECT reason FROM directory.progress WHERE topic = $1 AND state = 'halted'"
        rows = await deployment.rows(query, deployment.topics.tenancy)
        return [row["reason"] for row in rows] == ["log-shorter"]

    await until(stands, "the copy stands")
    await goes_on_elsewhere(deployment)


async def test_a_halted_partition_survives_a_kill_of_the_process(
    stack: Stack, deployment: Deployment
) -> None:
    variables = {
        "ROLLCALL_TOPIC_PREFIX": deployment.topics.prefix,
        "ROLLCALL_DATABASE_URL": deployment.database.url("provisioner"),
    }
    await applied_and_ended(deployment, creates(1, 3))
    await recreate(deployment, deployment.topics.requests)
    for each in creates(11, 6):
        await deployment.send(each)
    first = await stack.start("provisioner", ready=True, **variables)
    reason = await halted(deployment)

    first.kill()
    await first.ended()
    second = await stack.start("provisioner", ready=True, **variables)
    await goes_on_elsewhere(deployment)
    await until(lambda: "partition.halted" in second.log.read_text(), "the next one says so")

    found = await deployment.progress()
    assert (reason, found["reason"], found["state"]) == ("record-differs", reason, "halted")
    assert found["next_offset"] == 3
