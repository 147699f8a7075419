"""The request event on the log: sent with an expiry, acknowledged, and the acknowledgement judged.

The write counts as accepted only if the broker appended the record by `acceptby`. The provisioner
applies it under the same condition, by the same two numbers, so the two cannot disagree.
"""

import asyncio
from collections import defaultdict
from dataclasses import replace

from rollcall.events.request import Request, to_event
from rollcall.events.topics import MAX_RECORD_BYTES
from rollcall.kafka.producer import KAFKA, RETRY_AFTER_S, Acknowledged, Producer, RecordTooLarge
from rollcall.observability.metrics import INGRESS_PUBLISH_SECONDS
from rollcall.runtime.clock import now_ms
from rollcall.runtime.errors import Unacknowledged, Unavailable
from rollcall.scim.errors import PayloadTooLarge
from rollcall_ingress.write.broker_clock import BrokerClock

LAST_LOOK_S = 1.0
"""Seconds after the time-out, for an acknowledgement that has come and was not read yet.

A process that was suspended finds both in the same moment.
"""


class Publisher:
    """Puts requests on the log, each into its organisation's own partition. One per process."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        *,
        acknowledge_s: float,
        broker_clock: BrokerClock | None = None,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._acknowledge_s = acknowledge_s
        self._under_way: dict[int, dict[str, int]] = defaultdict(dict)
        self._broker_clock = broker_clock or BrokerClock()

    async def publish(self, request: Request, partition: int) -> Acknowledged:
        """Send `request`, whose `accept_by_ms` is set, and return its acknowledgement in time.

        Raises Unavailable: it is not accepted, and will not be applied later; Unacknowledged where
        that is not certain, because the acknowledgement never came. Raises PayloadTooLarge.
        """
        accept_by_ms = request.accept_by_ms
        if accept_by_ms is None:
            raise ValueError("a request without `acceptby` cannot be judged")
        self._refuse_behind_a_late_one(partition)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        # `acceptby` is the broker's time; what waits here is measured by our own clock.
        ahead_ms = self._broker_clock.taken_off_ms(partition)
        accept_by_ms -= ahead_ms
        sent = replace(request, accept_by_ms=accept_by_ms) if ahead_ms else request
        sent_ms = now_ms()
        try:
            acknowledgement = await self._producer.enqueue(
                self._topic,
                partition=partition,
                key=request.organisation_id,
                event=to_event(sent),
            )
            self._watch(acknowledgement, partition, request, sent_ms)
            acknowledged = await _within(acknowledgement, began_s + self._acknowledge_s)
        except Unacknowledged as unknown:
            # Whoever looks earlier may find nothing, and it may be appended afterwards.
            left_s = (accept_by_ms - now_ms()) / 1000
            raise Unacknowledged(unknown.what, max(unknown.retry_after_s, left_s + 1)) from unknown
        except RecordTooLarge as error:
            raise PayloadTooLarge(
                f"The change takes more than {MAX_RECORD_BYTES} bytes once it is understood, which "
                "is the limit; send it in parts."
            ) from error
        INGRESS_PUBLISH_SECONDS.observe(loop.time() - began_s)
        if acknowledged.append_time_ms > accept_by_ms:
            raise Unavailable(f"{KAFKA} (it took too long, the change was dropped)", RETRY_AFTER_S)
        return acknowledged

    def _watch(
        self,
        acknowledgement: "asyncio.Future[Acknowledged]",
        partition: int,
        request: Request,
        sent_ms: int,
    ) -> None:
        """Remember what is under way, in order, also after its sender has stopped waiting."""
        under_way = self._under_way[partition]
        under_way[request.id] = request.accept_by_ms or 0

        def arrived(done: "asyncio.Future[Acknowledged]") -> None:
            under_way.pop(request.id, None)
            if not done.cancelled() and done.exception() is None:
                self._broker_clock.note(
                    partition,
                    sent_ms=sent_ms,
                    append_ms=done.result().append_time_ms,
                    acknowledged_ms=now_ms(),
                )

        acknowledgement.add_done_callback(arrived)

    def _refuse_behind_a_late_one(self, partition: int) -> None:
        """Refuse at once while the oldest send of the partition is past its time."""
        under_way = self._under_way.get(partition)
        if under_way and next(iter(under_way.values())) < now_ms():
            raise Unavailable(KAFKA, RETRY_AFTER_S)


async def _within(acknowledgement: "asyncio.Future[Acknowledged]", until_s: float) -> Acknowledged:
    """The acknowledgement, awaited until a moment of the loop's time and `LAST_LOOK_S` longer.

    Raises Unacknowledged.
    """
    left_s = until_s - asyncio.get_running_loop().time()
    for wait_s in (max(0.0, left_s), LAST_LOOK_S):
        # Unlike `wait_for`, `wait` leaves the future alone: its record is delivered all the same.
        await asyncio.wait((acknowledgement,), timeout=wait_s)
        if acknowledgement.done():
            break
    else:
        raise Unacknowledged(KAFKA, RETRY_AFTER_S)
    try:
        return acknowledgement.result()
    except Unavailable as failed:
        raise Unacknowledged(failed.what, failed.retry_after_s) from failed
