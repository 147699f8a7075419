"""Read one randomly chosen partition of the replies topic, from its end.

Each replica of ingress reads only the replies to its own requests, and those of replicas that
happen to have chosen the same partition. Requests name the partition, so the reader must have its
position before the first request is sent.
"""

import secrets

from rollcall.kafka.topic_reader import TopicReader
from rollcall.runtime.config import Settings


def reply_reader(settings: Settings, topic: str, *, client_id: str) -> TopicReader:
    """A reader of one partition of `topic`; `positioned` is set when requests may name it."""
    return TopicReader(
        settings,
        topic,
        client_id=client_id,
        choose=lambda partitions: secrets.choice(sorted(partitions)),
        begin_at="end",
    )
