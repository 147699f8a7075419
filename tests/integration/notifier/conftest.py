"""The notifier in this process, over a real database, a real mail server and real Kafka."""

import pytest

from rollcall.postgres import tenancy
from rollcall.tenancy.organisation import Organisation
from tests.support.builders import MOMENT, ORGANISATION
from tests.support.databases import TestDatabase
from tests.support.scene import Scene, settings_of
from tests.support.stack import Stack


@pytest.fixture
async def scene(stack: Stack, database: TestDatabase) -> Scene:
    """An organisation with nobody in it."""
    organisation = Organisation(ORGANISATION, "Zeeburg", 0, MOMENT)
    async with database.connect() as connection:
        await tenancy.fold_records(connection, [organisation])
    return Scene(stack, database, settings_of(stack, database))
