"""One ingress in this process for each test: its own topics, its own database, real sockets.

There is no provisioner, so what is written stays pending, or a test plays the provisioner.
"""

from collections.abc import AsyncIterator

import pytest

from rollcall.runtime.ids import new_id
from tests.support.databases import TestDatabase
from tests.support.door import Door, close_door, open_door
from tests.support.servers import KafkaServer


@pytest.fixture
async def door(kafka_server: KafkaServer, database: TestDatabase) -> AsyncIterator[Door]:
    """A ready ingress with one organisation; its budget for replies is short."""
    opened, _ = await open_door(
        kafka_server.bootstrap, database.url("ingress"), f"t{new_id().replace('-', '')}"
    )
    yield opened
    await close_door(opened)


@pytest.fixture
async def patient_door(kafka_server: KafkaServer, database: TestDatabase) -> AsyncIterator[Door]:
    """The same with time enough for a test that plays the provisioner."""
    opened, _ = await open_door(
        kafka_server.bootstrap,
        database.url("ingress"),
        f"t{new_id().replace('-', '')}",
        ingress_reply_budget_s=20.0,
    )
    yield opened
    await close_door(opened)
