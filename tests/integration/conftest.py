"""What the tests of the provisioner and of the commands share."""

from collections.abc import AsyncIterator

import pytest

from tests.support.databases import TestDatabase
from tests.support.deployment import Deployment, deployed
from tests.support.servers import KafkaServer


@pytest.fixture
async def deployment(
    kafka_server: KafkaServer, database: TestDatabase
) -> AsyncIterator[Deployment]:
    """Topics and a database of this test's own; provisioners it started are ended after it."""
    async with deployed(kafka_server.bootstrap, database) as made:
        yield made
