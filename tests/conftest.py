"""Fixtures that more than one kind of test takes; servers and databases come from the plugins."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

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


@pytest.fixture(autouse=True)
def logging_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test configures ends with it: no logger keeps that test's captured output."""
    configure = structlog.configure
    monkeypatch.setattr(
        structlog,
        "configure",
        lambda **options: configure(**{**options, "cache_logger_on_first_use": False}),
    )
    yield
    structlog.reset_defaults()
