"""Fixtures that more than one kind of test takes; servers and databases come from the plugins."""

import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.databases import TestDatabase
from tests.support.servers import KafkaServer
from tests.support.stack import Stack, running

# Files of a folder named here start first, in this order: what waits for real outages must not be
# what the other workers wait for at the end.
_SLOW_FIRST = (
    "chaos",
    "crash",
    "conversations",
    "integration/operator",
    "deploy",
    "integration",
    "hostile",
    "conformance",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow folders first; within a folder all stays as collected."""
    root = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(root).as_posix()
        found = (n for n, folder in enumerate(_SLOW_FIRST) if name.startswith(f"{folder}/"))
        return next(found, len(_SLOW_FIRST))

    items.sort(key=place)


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
def no_timer_outlives_its_test() -> Iterator[None]:
    """A timer that a test leaves behind strikes another: the watchdog's ends the whole process."""
    yield
    left = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    assert not left, f"timers that still run: {left}"


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
