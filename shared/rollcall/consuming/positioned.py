"""What a consumer's position answers for it, as the pump asks (`rollcall.kafka.worker.Worker`)."""

from rollcall.consuming.position import Position
from rollcall.kafka.feed import Feed


class Positioned:
    """The part of a worker that follows from its position alone."""

    def __init__(self, position: Position) -> None:
        self._position = position

    @property
    def next_offset(self) -> int:
        """The offset behind the last record that is applied for good."""
        return self._position.next_offset

    @property
    def waits_for_outage(self) -> bool:
        """Whether Postgres or Kafka is away, or an operator has paused the partition."""
        return self._position.waits_for_outage

    async def start(self, feed: Feed) -> int:
        """The offset to read from, once the log is known to be the one it belongs to."""
        return await self._position.start(feed)

    async def until_resumed(self, feed: Feed) -> None:
        """Wait for `rollcall partition resume`."""
        await self._position.until_resumed(feed)
