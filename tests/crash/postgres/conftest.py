"""A Postgres that a module may kill, and a deployment on it."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.databases import create_database
from tests.support.postgres_faults import (
    MortalPostgres,
    mortal_postgres,
)
from tests.support.servers import KafkaServer
from tests.support.stack import Stack, running


@pytest.fixture(scope="module")
def mortal() -> Iterator[MortalPostgres]:
    with mortal_postgres() as server:
        yield server


@pytest.fixture
async def mortal_stack(
    tmp_path: Path, kafka_server: KafkaServer, mortal: MortalPostgres
) -> AsyncIterator[Stack]:
    """A deployment on a Postgres that only this module uses, with one process of each service."""
    mortal.database = await create_database(mortal.shared)
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(tmp_path, kafka_server.bootstrap, prefix, mortal.url) as made:
        made.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "1"
        await made.start_all()
        yield made
