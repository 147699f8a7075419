"""A Postgres that a module may kill, and a deployment on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.postgres_faults import (
    MortalPostgres,
    mortal_postgres,
    whole_stack_on,
)
from tests.support.servers import KafkaServer
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def mortal() -> Iterator[MortalPostgres]:
    with mortal_postgres() as server:
        yield server


@pytest.fixture
async def mortal_stack(
    tmp_path: Path, kafka_server: KafkaServer, mortal: MortalPostgres
) -> AsyncIterator[Stack]:
    """A deployment on a Postgres that only this module uses, with one process of each service."""
    async with whole_stack_on(mortal, tmp_path, kafka_server.bootstrap) as made:
        yield made
