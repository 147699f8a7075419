"""A Postgres that logs every statement, in the place of the shared one."""

from collections.abc import Iterator

import pytest

from tests.support.servers import PostgresServer
from tests.support.statements import LoggedPostgres, logged_postgres


@pytest.fixture(scope="module")
def logged() -> Iterator[LoggedPostgres]:
    """A server of this module's own."""
    with logged_postgres() as made:
        yield made


@pytest.fixture(scope="module")
def postgres_server(logged: LoggedPostgres) -> PostgresServer:
    """The server on which `database` is made."""
    return logged.server
