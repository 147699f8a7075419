"""Names, partition counts and settings of all topics."""

from dataclasses import dataclass, field
from typing import Final

MEBIBYTE: Final = 1024 * 1024
MAX_RECORD_BYTES: Final = 10 * MEBIBYTE
"""Largest record, as topics, producer and consumers are set."""
DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """The required state of one topic; `config` has Kafka's own names and values."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one deployment, all with the same prefix."""

    prefix: str = "rollcall"
    requests_partitions: int = 24
    replies_partitions: int = 16

    @property
    def requests(self) -> str:
        """Accepted operations, in order; key: organisation id."""
        return f"{self.prefix}.requests"

    @property
    def replies(self) -> str:
        """Transport answers; no key, because each request names its partition."""
        return f"{self.prefix}.replies"

    @property
    def outcomes(self) -> str:
        """Outcomes; key: organisation id; same partition number as the request's."""
        return f"{self.prefix}.outcomes"

    @property
    def dead(self) -> str:
        """Announcements of dead letters; key: organisation id."""
        return f"{self.prefix}.requests.dead"

    @property
    def tenancy(self) -> str:
        """Current records of organisations and API keys; compacted; one partition."""
        return f"{self.prefix}.tenancy"

    def all(self) -> tuple[Topic, ...]:
        """All topics with their settings, in the order in which they are created."""
        size = {"max.message.bytes": str(MAX_RECORD_BYTES)}
        durable = {"unclean.leader.election.enable": "false", "retention.bytes": "-1"}
        append_time = {"message.timestamp.type": "LogAppendTime"}
        delete = {"cleanup.policy": "delete"}
        return (
            Topic(
                self.tenancy,
                1,
                {**durable, **append_time, "cleanup.policy": "compact", "retention.ms": "-1"},
            ),
            Topic(
                self.requests,
                self.requests_partitions,
                {**size, **durable, **append_time, **delete, "retention.ms": str(90 * DAY_MS)},
            ),
            Topic(
                self.outcomes,
                self.requests_partitions,
                {**size, **durable, **append_time, **delete, "retention.ms": str(30 * DAY_MS)},
            ),
            Topic(
                self.dead,
                self.requests_partitions,
                {**durable, **append_time, **delete, "retention.ms": str(90 * DAY_MS)},
            ),
            Topic(
                self.replies,
                self.replies_partitions,
                {**size, **append_time, **delete, "retention.ms": str(600 * 1000)},
            ),
        )
