"""A native Postgres: as the present user (root included), with passwords, on 127.0.0.1 only."""

import secrets
import subprocess
from pathlib import Path

import asyncpg
import pytest

from rollcall_local.stack import ports
from rollcall_local.stack.postgres import native as postgres_native
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.native import PostgresServer, ServerSettings


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _owner(pid: int) -> str:
    command = ["ps", "-o", "user=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


async def test_what_was_committed_is_there_after_a_sigkill(native_postgres: PostgresServer) -> None:
    await _value(native_postgres.admin_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    before = native_postgres.pid

    native_postgres.kill()
    native_postgres.start()

    assert native_postgres.pid != before
    assert await _value(native_postgres.admin_url, "SELECT answer FROM kept") == 42


async def test_a_wrong_password_is_refused(native_postgres: PostgresServer) -> None:
    settings = native_postgres.settings
    wrong = settings.url(postgres_native.SUPERUSER, "wrong", "postgres")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await _value(wrong, "SELECT 1")


async def test_it_listens_on_the_loopback_address_only(native_postgres: PostgresServer) -> None:
    addresses = await _value(native_postgres.admin_url, "SHOW listen_addresses")
    sockets = await _value(native_postgres.admin_url, "SHOW unix_socket_directories")

    assert addresses == "127.0.0.1"
    assert sockets == ""


async def test_a_frozen_server_answers_nothing_until_it_goes_on(
    native_postgres: PostgresServer,
) -> None:
    native_postgres.pause()
    try:
        is_answered = postgres_native.answers(native_postgres.settings.port, timeout_s=0.5)
    finally:
        native_postgres.resume()

    assert not is_answered
    assert postgres_native.answers(native_postgres.settings.port, timeout_s=10)


async def test_the_roles_and_the_database_are_made_once_and_passwords_each_time(
    native_postgres: PostgresServer,
) -> None:
    settings = native_postgres.settings
    first = {role: secrets.token_hex(8) for role in postgres_roles.ROLES}
    second = {role: "it's \\ " + secrets.token_hex(8) for role in postgres_roles.ROLES}

    await postgres_roles.bootstrap(settings.admin_url, first, "fresh")
    await postgres_roles.bootstrap(settings.admin_url, second, "fresh")

    for role, password in second.items():
        url = settings.url(role, password, "fresh")
        assert await _value(url, "SELECT current_user") == role
    owner = await _value(
        settings.admin_url,
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'fresh'",
    )
    assert owner == postgres_roles.OWNER


async def test_it_works_in_a_folder_that_only_its_owner_can_enter(tmp_path: Path) -> None:
    """As root, Postgres runs under another user, who cannot reach such a folder."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    settings = ServerSettings(closed / "postgres", ports.choose(), "secret", durable=False)
    server = PostgresServer(settings)

    server.start()
    try:
        answer = await _value(server.admin_url, "SELECT 1")
        runs_as = _owner(server.pid)
    finally:
        server.stop()
        server.remove()

    assert answer == 1
    assert closed.stat().st_mode & 0o777 == 0o700
    assert runs_as != "root"
    assert not settings.folder.exists()
