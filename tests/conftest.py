"""Fixtures that more than one kind of test takes; servers and databases come from the plugins."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.databases import TestDatabase
from tests.support.servers import KafkaServer
from tests.support.stack import Stack, running


@pytest.fixture
async def stack(
    tmp_path: Path, kafka_server: KafkaServer, database: TestDatabase
) -> AsyncIterator[Stack]:
    """A deployment of this test's own, without services: the test starts what it needs."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(tmp_path, kafka_server.bootstrap, prefix, database.url) as made:
        yield made


@pytest.fixture
async def whole_stack(stack: Stack) -> Stack:
    """A deployment with one process of each service, ready."""
    await stack.start_all()
    return stack
