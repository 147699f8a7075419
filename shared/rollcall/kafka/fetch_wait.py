"""How long a broker may hold a fetch for which it has no record.

It answers at once when a record comes, so a long wait costs no time and an idle process asks once a
second. But a partition that was paused is in no fetch that is under way, and has to wait for its
end. So while a partition is paused, fetches are short.
"""

from typing import Final

from aiokafka import AIOKafkaConsumer

BUSY_FETCH_MS: Final = 100
IDLE_FETCH_MS: Final = 1000


def set_longest_fetch(consumer: AIOKafkaConsumer) -> None:
    """Set the wait for the fetches that begin from now on.

    aiokafka takes one wait for the life of a consumer; its fetcher reads it again for each fetch.
    Hence the private attributes.
    """
    fetcher = consumer._fetcher  # noqa: SLF001
    if fetcher is not None:
        longest = BUSY_FETCH_MS if consumer.paused() else IDLE_FETCH_MS
        fetcher._fetch_max_wait_ms = longest  # noqa: SLF001
