"""Three brokers for tests, and where to start a broker from. A module's own, to be killed."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.kafka_cluster import KafkaCluster

_LAUNCHER = ThreadPoolExecutor(1)
"""A child dies with the thread that started it, so that thread must outlive every event loop."""


@contextmanager
def own_cluster() -> Iterator[KafkaCluster]:
    """Start three native brokers in a folder of their own; end and remove them afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-"))
    cluster = KafkaCluster(folder)
    try:
        _LAUNCHER.submit(cluster.start).result()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def start_again(broker: KafkaBroker) -> None:
    """Start a broker that was killed and wait until it answers; the event loop stays free."""
    await asyncio.get_running_loop().run_in_executor(_LAUNCHER, broker.start)
