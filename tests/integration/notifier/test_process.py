"""The notifier as a process: outcomes from Kafka become mails, also across a crash."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from rollcall.events.envelope import Event
from rollcall.events.outcome import Announcement, Fact, Outcome, Sequence, outcome_id, to_event
from rollcall.kafka.producer import Producer
from rollcall.runtime import clock
from rollcall.runtime.ids import new_id
from rollcall_operator.cli import app
from tests.support.builders import ORGANISATION
from tests.support.scene import Scene, token_in
from tests.support.stack import until


@pytest.fixture
async def producer(scene: Scene) -> AsyncIterator[Producer]:
    """What the provisioner has."""
    made = Producer(scene.settings, client_id="test")
    await made.start()
    yield made
    await made.stop()


class Outcomes:
    """Announces outcomes on the topic, as the provisioner does."""

    def __init__(self, scene: Scene, producer: Producer) -> None:
        self._scene = scene
        self._producer = producer
        self._offset = 0

    async def send(self, event: Event, partition: int = 0) -> None:
        topic = self._scene.stack.topics.outcomes
        await self._producer.send(topic, partition=partition, key=ORGANISATION, event=event)

    async def tell(self, fact: Fact, member_id: str, request_id: str, partition: int = 0) -> Event:
        self._offset += 1
        announcement = Announcement(
            id=outcome_id(request_id, 0),
            request_id=request_id,
            sequence=Sequence(0, self._offset, 0),
            time=clock.now(),
            outcome=Outcome(fact, ORGANISATION, member_id),
        )
        event = to_event(announcement)
        await self.send(event, partition)
        return event

    async def invite(self, name: str, partition: int = 0) -> Event:
        """A member with a row, and the outcome on the topic."""
        member = await self._scene.invite_row(name)
        assert member.invitation_id is not None
        return await self.tell("member.invited", member.id, member.invitation_id, partition)


@pytest.fixture
def outcomes(scene: Scene, producer: Producer) -> Outcomes:
    return Outcomes(scene, producer)


async def until_mails(scene: Scene, number: int) -> None:
    await until(lambda: len(scene.stack.mails()) >= number, f"{number} mails")


async def test_an_outcome_becomes_a_mail_once_however_often_it_is_announced(
    scene: Scene, outcomes: Outcomes
) -> None:
    await scene.stack.start("notifier")
    event = await outcomes.invite("ana")
    await outcomes.send(event)
    await outcomes.invite("ben")

    await until_mails(scene, 2)
    await scene.until_settled()

    assert sorted(scene.recipients()) == ["ana@example.org", "ben@example.org"]


async def test_an_unknown_record_is_skipped_and_a_newer_version_halts_its_partition(
    scene: Scene, outcomes: Outcomes
) -> None:
    await scene.stack.start("notifier")
    good = await outcomes.invite("ana")
    await outcomes.send(replace(good, id=new_id(), data={"organisation_id": "x"}))
    await outcomes.invite("ben")
    await outcomes.send(replace(good, type="io.rollcall.outcome.member.invited.v9"))
    await outcomes.invite("unread")
    await outcomes.invite("eve", partition=1)

    async def has_halted() -> bool:
        rows = await scene.stack.rows(
            "SELECT next_offset, state FROM notice.progress WHERE partition = 0"
        )
        return [tuple(row) for row in rows] == [(3, "halted")]

    await until(has_halted, "partition 0 halts before its fourth record")
    await until_mails(scene, 3)
    assert sorted(scene.recipients()) == ["ana@example.org", "ben@example.org", "eve@example.org"]


async def test_a_recreated_outcomes_topic_halts_and_its_repeats_send_nothing(
    scene: Scene, outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its position is beyond the end; accepted as a new log, what it repeats is known."""
    first = await scene.stack.start("notifier")
    await outcomes.invite("ana")
    await until_mails(scene, 1)
    assert first.terminate() == 0
    async with scene.database.connect() as connection:
        await connection.execute(
            "UPDATE notice.progress SET next_offset = 9, published_offset = 9 WHERE partition = 0"
        )
    await outcomes.invite("ben")

    await scene.stack.start("notifier")

    async def reason() -> list[tuple[str | None, int]]:
        rows = await scene.stack.rows("SELECT reason, epoch FROM notice.progress WHERE partition=0")
        return [tuple(row) for row in rows]

    async def has_halted() -> bool:
        return await reason() == [("log-shorter", 0)]

    await until(has_halted, "partition 0 stands")
    assert scene.recipients() == ["ana@example.org"]
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", scene.settings.kafka_bootstrap)
    monkeypatch.setenv("ROLLCALL_TOPIC_PREFIX", scene.settings.topic_prefix)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", scene.database.url())
    arguments = ["partition", "resume", "0", "--topic", "outcomes", "--new-log", "--yes"]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)

    assert done.exit_code == 0, done.stderr
    await until_mails(scene, 2)
    await scene.until_settled()
    assert scene.recipients() == ["ana@example.org", "ben@example.org"]
    assert await reason() == [(None, 1)]


async def test_a_restarted_notifier_goes_on_where_it_stopped(
    scene: Scene, outcomes: Outcomes
) -> None:
    first = await scene.stack.start("notifier")
    await outcomes.invite("ana")
    await until_mails(scene, 1)
    assert first.terminate() == 0
    await outcomes.invite("ben")

    await scene.stack.start("notifier")

    await until_mails(scene, 2)
    await scene.until_settled()
    assert scene.recipients() == ["ana@example.org", "ben@example.org"]


async def test_killed_before_it_spoke_to_the_server_sends_once_after_the_restart(
    scene: Scene, outcomes: Outcomes
) -> None:
    first = await scene.stack.start(
        "notifier", ROLLCALL_FAULT="notifier.before_send", ROLLCALL_NOTIFIER_LEASE_S="1"
    )
    await outcomes.invite("ana")
    assert await first.ended() == -signal.SIGKILL
    assert scene.recipients() == []

    await scene.stack.start("notifier", ROLLCALL_NOTIFIER_LEASE_S="1")

    await until_mails(scene, 1)
    await scene.until_settled()
    assert scene.recipients() == ["ana@example.org"]


async def test_killed_after_the_yes_sends_a_copy_that_is_known_as_one(
    scene: Scene, outcomes: Outcomes
) -> None:
    first = await scene.stack.start(
        "notifier", ROLLCALL_FAULT="notifier.after_yes", ROLLCALL_NOTIFIER_LEASE_S="1"
    )
    await outcomes.invite("ana")
    assert await first.ended() == -signal.SIGKILL

    await scene.stack.start("notifier", ROLLCALL_NOTIFIER_LEASE_S="1")

    await until_mails(scene, 2)
    await scene.until_settled()
    original, copy = scene.stack.mails()
    assert copy["Message-ID"] == original["Message-ID"]
    assert token_in(copy) == token_in(original)


async def test_a_notifier_starts_while_the_mail_server_is_away(
    scene: Scene, outcomes: Outcomes
) -> None:
    process = await scene.stack.start("notifier", ROLLCALL_SMTP_PORT="1")
    await outcomes.invite("ana")

    await scene.until_rows(("invitation", "due", "mail_server_away"))

    assert process.is_running()
