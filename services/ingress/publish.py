"""The request event on the log: sent with an expiry, acknowledged, and the acknowledgement judged.

Two readers of the same two numbers cannot disagree: this side says yes only if the broker
appended the record by `acceptby`, and the provisioner applies it only under the same condition.
"""

import asyncio
from collections import defaultdict

from shared.events.request import Request, to_event
from shared.kafka.producer import KAFKA, RETRY_AFTER_S, Acknowledged, Producer, RecordTooLarge
from shared.observability.metrics import INGRESS_PUBLISH_SECONDS
from shared.runtime.clock import now_ms
from shared.runtime.errors import Unavailable
from shared.scim.errors import PayloadTooLarge


class Publisher:
    """Puts requests on the log, each into its organisation's own partition. One per process."""

    def __init__(self, producer: Producer, topic: str, *, acknowledge_s: float) -> None:
        self._producer = producer
        self._topic = topic
        self._acknowledge_s = acknowledge_s
        self._under_way: dict[int, dict[str, int]] = defaultdict(dict)

    async def publish(self, request: Request, partition: int) -> Acknowledged:
        """Send `request`, whose `accept_by_ms` is set, and return its acknowledgement in time.

        Raises Unavailable: it counts as not accepted, and will not be applied later, with one
        exception that nobody can tell: an acknowledgement that never came. Raises PayloadTooLarge.
        """
        accept_by_ms = request.accept_by_ms
        if accept_by_ms is None:
            raise ValueError("a request without `acceptby` cannot be judged")
        self._refuse_behind_a_late_one(partition)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            async with asyncio.timeout(self._acknowledge_s):
                acknowledgement = await self._producer.enqueue(
                    self._topic,
                    partition=partition,
                    key=request.organisation_id,
                    event=to_event(request),
                )
                self._watch(acknowledgement, partition, request.id, accept_by_ms)
                acknowledged = await asyncio.shield(acknowledgement)
        except TimeoutError as error:
            raise Unavailable(KAFKA, RETRY_AFTER_S) from error
        except RecordTooLarge as error:
            raise PayloadTooLarge from error
        INGRESS_PUBLISH_SECONDS.observe(loop.time() - began_s)
        if acknowledged.append_time_ms > accept_by_ms:
            raise Unavailable(f"{KAFKA} (it took too long, the change was dropped)", RETRY_AFTER_S)
        return acknowledged

    def _watch(
        self,
        acknowledgement: "asyncio.Future[Acknowledged]",
        partition: int,
        request_id: str,
        accept_by_ms: int,
    ) -> None:
        """Remember what is under way, in order, also after its sender has stopped waiting."""
        under_way = self._under_way[partition]
        under_way[request_id] = accept_by_ms
        acknowledgement.add_done_callback(lambda _: under_way.pop(request_id, None))

    def _refuse_behind_a_late_one(self, partition: int) -> None:
        """Refuse at once while the oldest send of the partition is past its time."""
        under_way = self._under_way.get(partition)
        if under_way and next(iter(under_way.values())) < now_ms():
            raise Unavailable(KAFKA, RETRY_AFTER_S)
