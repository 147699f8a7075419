"""`rollcall replay --topic outcomes`: into a topic of somebody else's, in order and once."""

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from rollcall.control.replay.copies import OF, RUN, TIME, mark_in
from rollcall.control.tenancy_log import open_log
from rollcall.events import outcome
from rollcall.events.envelope import decode, format_time, from_milliseconds
from rollcall.runtime.ids import new_id
from rollcall.tenancy.organisation import Organisation
from tests.integration.operator.pages import blocks, run_block
from tests.integration.operator.rebuilding import (
    apply_all,
    heed_ctrl_c,
    history,
    rollcall,
    rollcall_json,
    settings_of,
    start,
)
from tests.support import logs
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION, create
from tests.support.deployment import Deployment
from tests.support.stack import until

ADDED = (OF, TIME, RUN)
Row = tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]


@dataclass(frozen=True, slots=True)
class Target:
    """A topic of the reader's own."""

    deployment: Deployment
    name: str
    partitions: int = 4

    async def records(self) -> list[ConsumerRecord]:
        """All that it holds, partition by partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.deployment.settings.kafka_bootstrap,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            places = [TopicPartition(self.name, number) for number in range(self.partitions)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                while await consumer.position(place) < ends[place]:
                    found.extend((await consumer.getmany(place, timeout_ms=500)).get(place, ()))
        finally:
            await consumer.stop()
        return found


async def make_topic(
    deployment: Deployment, partitions: int = 4, name: str | None = None, **config: str
) -> Target:
    """A topic as an operator makes one, with the broker's defaults."""
    name = name or f"downstream-{new_id()[-12:]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka_bootstrap)
    await admin.start()
    try:
        given = {key.replace("_", "."): value for key, value in config.items()}
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=given)])
    finally:
        await admin.close()
    return Target(deployment, name, partitions)


@pytest.fixture
async def target(deployment: Deployment) -> Target:
    return await make_topic(deployment)


@pytest.fixture(autouse=True)
async def organisations(deployment: Deployment) -> None:
    """The two of the history, as the tenancy topic has them."""
    async with open_log(settings_of(deployment)) as log:
        await log.write(Organisation(ORGANISATION, "Zeeburg", 0, MOMENT))
        await log.write(Organisation(OTHER_ORGANISATION, "Diemen", 1, MOMENT))


async def outcomes_of(deployment: Deployment, seed: int, count: int = 60) -> list[ConsumerRecord]:
    """Outcomes that a provisioner announced; all that the topic holds."""
    running = await deployment.start()
    await apply_all(deployment, history(seed, count, first=seed * 1000))
    await running.end()
    return await deployment.records(deployment.topics.outcomes)


def rows(records: Sequence[ConsumerRecord]) -> list[Row]:
    """What a reader sees, but for the headers that a replay adds."""
    return [
        (
            each.partition,
            each.key,
            each.value,
            tuple(header for header in each.headers if header[0] not in ADDED),
        )
        for each in records
    ]


def into(target: Target, *arguments: str) -> tuple[str, ...]:
    return ("replay", "--topic", "outcomes", "--into", target.name, *arguments)


async def test_a_topic_gets_every_record_in_its_order_and_learns_where_it_is_from(
    deployment: Deployment, target: Target
) -> None:
    source = await outcomes_of(deployment, 1)

    report = await rollcall_json(deployment, *into(target, "--from", "0"))

    copies = await target.records()
    assert rows(copies) == rows(source)
    assert report["sent"] == len(source) > 50
    assert [mark_in(each.headers) is not None for each in copies] == [True] * len(copies)
    for copy, original in zip(copies, source, strict=True):
        added = dict(copy.headers)
        name = f"{deployment.topics.outcomes}/{original.partition}/{original.offset}"
        assert added[OF].decode() == name
        assert added[TIME].decode() == format_time(from_milliseconds(original.timestamp))
    assert outcome.from_event(decode(copies[0].headers, copies[0].value)).sequence.offset == 0


async def test_a_replay_that_is_run_twice_adds_only_what_came_since(
    deployment: Deployment, target: Target
) -> None:
    await outcomes_of(deployment, 1)
    await rollcall_json(deployment, *into(target, "--from", "0"))
    first = await target.records()

    again = await rollcall_json(deployment, *into(target, "--from", "0"))
    assert (again["records"], again["sent"], again["resumed"]) == (0, 0, True)
    assert len(await target.records()) == len(first)

    source = await outcomes_of(deployment, 2)
    planned = await rollcall_json(deployment, *into(target, "--from", "0", "--dry-run"))
    assert len(await target.records()) == len(first)
    more = await rollcall_json(deployment, *into(target, "--from", "0"))

    assert rows(await target.records()) == rows(source)
    assert planned["records"] == more["sent"] == len(source) - len(first)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
async def test_a_process_that_is_ended_in_the_middle_is_followed_by_one_that_goes_on(
    deployment: Deployment, target: Target, how: signal.Signals
) -> None:
    source = await outcomes_of(deployment, 3, 100)
    process = await start(
        deployment,
        *into(target, "--from", "0", "--rate", "40"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=heed_ctrl_c,
    )

    async def is_under_way() -> bool:
        return len(await target.records()) > 5

    await until(is_under_way, "some are sent", 60)
    process.send_signal(how)
    await asyncio.wait_for(process.wait(), 30)
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    half = len(await target.records())
    assert half < len(source)

    async def is_free() -> bool:
        done = await rollcall(deployment, *into(target, "--from", "0", "--dry-run"))
        return done.exit_code == 0

    await until(is_free, "Postgres has noticed")

    report = await rollcall_json(deployment, *into(target, "--from", "0"))

    assert rows(await target.records()) == rows(source)
    assert report["resumed"]
    assert 0 < report["sent"] <= len(source) - half


async def test_two_at_once_are_refused(deployment: Deployment, target: Target) -> None:
    await outcomes_of(deployment, 3, 40)
    slow = asyncio.create_task(
        rollcall(deployment, *into(target, "--from", "0", "--rate", "10", "--until", "20"))
    )

    async def is_under_way() -> bool:
        return bool(await target.records())

    await until(is_under_way, "one is under way", 60)
    other = await rollcall(deployment, *into(target, "--from", "0"))

    assert other.exit_code == 2
    assert "another replay is under way" in other.stderr
    assert (await slow).exit_code == 0


async def test_one_organisation_and_no_other_selection_on_the_same_topic(
    deployment: Deployment, target: Target
) -> None:
    source = await outcomes_of(deployment, 4)

    await rollcall_json(deployment, *into(target, "--from", "0", "Diemen"))
    everything = await rollcall(deployment, *into(target, "--from", "0"))

    own = [each for each in source if each.key == OTHER_ORGANISATION.encode()]
    assert rows(await target.records()) == rows(own) != []
    assert everything.exit_code == 2
    assert "use a topic for each selection" in everything.stderr


async def test_from_and_to_are_offsets_or_times(deployment: Deployment) -> None:
    running = await deployment.start()
    for seed in range(20, 26):  # one after another, so that their times differ
        await apply_all(deployment, history(seed, 15, first=seed * 1000))
    await running.end()
    records = await deployment.records(deployment.topics.outcomes)
    source = [each for each in records if each.partition == 0]
    times = sorted({each.timestamp for each in source})
    begin, end = times[len(times) // 3], times[2 * len(times) // 3]
    by_time, by_offset = await make_topic(deployment), await make_topic(deployment)
    moments = (format_time(from_milliseconds(begin)), format_time(from_milliseconds(end)))

    one = (ORGANISATION,)
    await rollcall_json(
        deployment, *into(by_time, "--from", moments[0], "--until", moments[1], *one)
    )
    await rollcall_json(deployment, *into(by_offset, "--from", "3", "--until", "9", *one))

    wanted = [each for each in source if begin <= each.timestamp < end]
    assert rows(await by_time.records()) == rows(wanted) != []
    assert rows(await by_offset.records()) == rows(source[3:9])


async def test_what_is_earlier_than_a_replay_cannot_come_after_it(
    deployment: Deployment, target: Target
) -> None:
    await outcomes_of(deployment, 6)
    one = (ORGANISATION,)
    await rollcall_json(deployment, *into(target, "--from", "5", "--until", "10", *one))
    await rollcall_json(deployment, *into(target, "--from", "7", *one))

    earlier = await rollcall(deployment, *into(target, "--from", "4", *one))
    same = await rollcall_json(deployment, *into(target, "--from", "5", *one))

    assert earlier.exit_code == 2
    assert "has a replay from offset 5 on" in earlier.stderr
    assert same["sent"] == 0


async def test_records_of_others_behind_the_replay_do_not_hide_it(
    deployment: Deployment, target: Target
) -> None:
    source = await outcomes_of(deployment, 7)
    await rollcall_json(deployment, *into(target, "--from", "0"))
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.kafka_bootstrap)
    await producer.start()
    for number in range(100):
        await producer.send_and_wait(target.name, b"%d" % number, partition=0)
    await producer.stop()

    again = await rollcall_json(deployment, *into(target, "--from", "0"))

    assert again["sent"] == 0
    assert len(await target.records()) == len(source) + 100


async def test_a_rate_is_kept(deployment: Deployment, target: Target) -> None:
    await outcomes_of(deployment, 8)
    arguments = into(target, "--from", "0", "--until", "20", ORGANISATION, "--rate", "20")

    began_s = time.monotonic()
    report = await rollcall_json(deployment, *arguments)

    assert report["sent"] == 20
    assert time.monotonic() - began_s > 0.9


async def test_topics_that_must_not_be_written_are_refused(deployment: Deployment) -> None:
    await outcomes_of(deployment, 9, 10)
    own = deployment.topics
    narrow, compacted = (
        await make_topic(deployment, 2),
        await make_topic(deployment, cleanup_policy="compact"),
    )
    refused: dict[str, str] = {
        **dict.fromkeys((each.name for each in own.all()), "is not written to"),
        "staging.outcomes": "is not written to",
        "__consumer_offsets": "Kafka's own",
        "nobody-made-this": "make it first",
        narrow.name: "needs 4",
        compacted.name: "is compacted",
    }
    ends = len(await deployment.records(own.outcomes))

    for name, why in refused.items():
        done = await rollcall(deployment, *into(Target(deployment, name), "--from", "0"))
        assert done.exit_code == 2, name
        assert why in done.stderr
    assert len(await deployment.records(own.outcomes)) == ends


async def test_a_beginning_that_retention_took_is_refused_and_a_time_before_it_is_said(
    deployment: Deployment, target: Target
) -> None:
    source = await outcomes_of(deployment, 10)
    await logs.cut(deployment, deployment.topics.outcomes, 4)

    by_offset = await rollcall(deployment, *into(target, "--from", "0"))
    by_time = await rollcall(deployment, *into(target, "--from", "2020-01-01"))

    assert by_offset.exit_code == 2
    assert "begins at offset 4" in by_offset.stderr
    assert by_time.exit_code == 0
    assert "partition 0 begins after that time" in by_time.stderr
    assert rows(await target.records()) == rows(
        [each for each in source if each.partition or each.offset >= 4]
    )


async def test_a_replay_of_another_log_of_the_same_name_is_refused(
    deployment: Deployment, target: Target
) -> None:
    before = await outcomes_of(deployment, 11)
    await rollcall_json(deployment, *into(target, "--from", "0"))
    await logs.recreate(deployment, deployment.topics.outcomes)
    event = decode(before[0].headers, before[0].value)
    for _ in range(len(before)):
        await deployment.producer.send(
            deployment.topics.outcomes,
            partition=before[-1].partition,
            key=ORGANISATION,
            event=replace(event, id=new_id()),
        )

    done = await rollcall(deployment, *into(target, "--from", "0"))

    assert done.exit_code == 2
    assert "another log" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--topic", "outcomes", "--from", "0"), "--into"),
        (("--topic", "outcomes", "--into", "x"), "--from"),
        (
            ("--topic", "outcomes", "--from", "0", "--into", "x", "--as-of", "2026-01-01"),
            "requests",
        ),
        (("--topic", "outcomes", "--from", "0", "--into", "notifier", "--rate", "5"), "--rate"),
        (("--topic", "outcomes", "--from", "0", "--into", "notifier", "--until", "5"), "--until"),
        (("--topic", "outcomes", "--from", "noon", "--into", "notifier"), "is not a date"),
        (("--topic", "requests", ORGANISATION), "--as-of"),
        (("--topic", "requests", "x", "--as-of", "2026-01-01", "--from", "0"), "outcomes"),
    ],
)
async def test_options_that_do_not_go_together_are_refused(
    deployment: Deployment, arguments: Sequence[str], why: str
) -> None:
    done: Any = await rollcall(deployment, "replay", *arguments)

    assert done.exit_code == 2
    assert why in done.stderr


async def test_a_record_that_the_target_refuses_is_named(deployment: Deployment) -> None:
    await outcomes_of(deployment, 12, 10)
    small = await make_topic(deployment, max_message_bytes="1100")
    running = await deployment.start()
    await apply_all(deployment, [create(77_001, "long@example.org")])
    await running.end()

    done = await rollcall(deployment, *into(small, "--from", "0"))

    assert done.exit_code == 2
    assert "raise its max.message.bytes" in done.stderr


async def test_the_page_about_lag_trace_and_replay(
    deployment: Deployment, target: Target, tmp_path: Path
) -> None:
    """Each block of the page, in order."""
    running = await deployment.start()
    request = create(1, "ana@example.org")
    await apply_all(deployment, [request, *history(14, 60, first=14_000)])
    await running.end()
    found = blocks("replay.md")
    names = f"EVENT_ID={request.id} MEMBER_ID={request.resource_id} TOPIC={target.name}\n"
    assert len(found) == 5

    printed = [await run_block(deployment, names + block, tmp_path) for block in found]

    assert '"organisations"' in printed[0]
    assert printed[1].count(f"{request.id}  member.create of Users/{request.resource_id}") == 2
    assert "nothing to read again" in printed[2]
    assert '"resumed": true' in printed[3]
    assert printed[4].count("users and") == 2
    assert rows(await target.records()) == rows(
        await deployment.records(deployment.topics.outcomes)
    )
    assert "ana@example.org" in (tmp_path / "zeeburg.csv").read_text()
