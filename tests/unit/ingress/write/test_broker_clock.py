"""What acknowledgements prove about the clocks, and what is taken off `acceptby` for it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
from prometheus_client import REGISTRY

from rollcall.events.envelope import Event
from rollcall.kafka.producer import Acknowledged, Producer
from rollcall.runtime import clock
from rollcall_ingress.write.broker_clock import REPLIES, BrokerClock
from rollcall_ingress.write.publish import Publisher
from tests.support.builders import (
    a_request,
    an_id,
)


@pytest.fixture
def a_clock_a_minute_ahead() -> Iterator[None]:
    clock.set_offset(60)
    yield
    clock.set_offset(0)


def test_a_slow_acknowledgement_proves_nothing() -> None:
    broker = BrokerClock()

    broker.note(0, sent_ms=1000, append_ms=5000, acknowledged_ms=9000)

    assert broker.ahead_ms(0) == 0


def test_a_record_appended_before_it_was_sent_proves_that_our_clock_is_ahead() -> None:
    broker = BrokerClock()

    broker.note(0, sent_ms=61_000, append_ms=1010, acknowledged_ms=61_020)
    broker.note(0, sent_ms=70_000, append_ms=14_000, acknowledged_ms=74_020)

    assert broker.ahead_ms(0) == 59_990, "the quick one says more than the slow one"
    assert broker.ahead_ms(1) == 0, "another partition has another leader"


def test_a_clock_that_was_set_right_is_believed() -> None:
    broker = BrokerClock()
    broker.note(0, sent_ms=61_000, append_ms=1010, acknowledged_ms=61_020)

    broker.note(0, sent_ms=2000, append_ms=2010, acknowledged_ms=2020)

    assert broker.ahead_ms(0) == 0


def test_before_a_partition_is_known_the_leader_heard_of_last_stands_in() -> None:
    broker = BrokerClock()
    broker.note(REPLIES, sent_ms=61_000, append_ms=1010, acknowledged_ms=61_020)

    assert broker.taken_off_ms(7) == 59_990
    assert broker.broker_ms(7, 61_020) == 1030

    broker.note(7, sent_ms=70_000, append_ms=70_005, acknowledged_ms=70_010)
    assert broker.taken_off_ms(7) == 0
    assert broker.broker_ms(7, 80_000) == 80_000


def test_answerby_is_corrected_in_both_directions_and_acceptby_only_if_ahead() -> None:
    broker = BrokerClock()
    broker.note(0, sent_ms=1000, append_ms=6000, acknowledged_ms=1020)

    assert broker.taken_off_ms(0) == 0
    assert broker.broker_ms(0, 2000) == 2000 + 4980


def test_the_skew_is_measured_with_its_sign() -> None:
    broker = BrokerClock()
    found = []

    for append_ms in (11_500, 8500):
        broker.note(0, sent_ms=10_000, append_ms=append_ms, acknowledged_ms=12_000)
        found.append(REGISTRY.get_sample_value("rollcall_ingress_append_skew_last_seconds"))

    assert found == [1.5, -1.5]


class Broker:
    """Appends at once, by the machine's clock, and keeps what it was given."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.appended_ms: list[int] = []

    async def enqueue(
        self, topic: str, *, partition: int, key: str, event: Event
    ) -> "asyncio.Future[Acknowledged]":
        future: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        self.events.append(event)
        self.appended_ms.append(clock.now_ms() - 60_000)
        future.set_result(Acknowledged(partition, len(self.events), self.appended_ms[-1]))
        return future


@pytest.mark.usefixtures("a_clock_a_minute_ahead")
async def test_a_clock_that_is_ahead_does_not_keep_the_door_open_longer() -> None:
    """A request that was given up after 12 s must not count when it is appended in a minute."""
    broker = Broker()
    publisher = Publisher(cast(Producer, broker), "requests", acknowledge_s=1)

    for number in (1, 2):
        request = a_request("member.delete", an_id(3), number)
        await publisher.publish(replace(request, accept_by_ms=clock.now_ms() + 10_000), 0)
        await asyncio.sleep(0)  # callbacks of a future run in the loop's next turn

    accept_by_ms = int(broker.events[1].extensions["acceptby"])
    assert 9_000 < accept_by_ms - broker.appended_ms[1] <= 10_100
