"""The process itself: its start, its end, and what it says when its settings are wrong."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from rollcall.runtime.config import load
from rollcall.service import CannotServe
from rollcall_ingress.app import build
from rollcall_ingress.config import IngressSettings
from rollcall_ingress.door.key_use import KeyUse
from rollcall_local.stack import ports
from tests.support.door import SECRET

COMMAND = (sys.executable, "-m", "rollcall_ingress")


def environment(**settings: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("ROLLCALL_")
    }
    return inherited | {f"ROLLCALL_{name.upper()}": value for name, value in settings.items()}


def away(port: int, admin_port: int) -> dict[str, str]:
    """Settings of an ingress whose Kafka and Postgres are not there."""
    return environment(
        kafka_bootstrap="127.0.0.1:1",
        database_url="postgresql://rollcall_ingress:x@127.0.0.1:1/none",
        invitation_secret=SECRET,
        ingress_port=str(port),
        ingress_admin_port=str(admin_port),
    )


@asynccontextmanager
async def process(env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        *COMMAND,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def test_missing_settings_are_all_named_and_the_status_is_2() -> None:
    async with process(environment(ingress_port="0", kafka_bootstrap="x:1")) as started:
        _, errors = await asyncio.wait_for(started.communicate(), 20)

    assert started.returncode == 2
    for name in (b"DATABASE_URL", b"INVITATION_SECRET", b"INGRESS_PORT"):
        assert b"ROLLCALL_" + name in errors


async def test_without_kafka_it_lives_is_not_ready_and_stops_on_sigterm() -> None:
    port, admin_port = ports.choose(), ports.choose()
    async with process(away(port, admin_port)) as started, aiohttp.ClientSession() as http:
        async with asyncio.timeout(20):
            while True:
                try:
                    answer = await http.get(f"http://127.0.0.1:{admin_port}/readyz")
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
        reasons = await answer.json()
        alive = await http.get(f"http://127.0.0.1:{admin_port}/livez")
        key = "rc_AAAAAAAAAAAA_" + "B" * 49
        headers = {"Authorization": f"Bearer {key}"}
        refused = await http.get(f"http://127.0.0.1:{port}/v2/o/Users", headers=headers)
        started.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(started.communicate(), 20)

    assert answer.status == 503
    assert any("Kafka" in reason for reason in reasons["reasons"])
    assert alive.status == 200
    assert refused.status == 401
    assert started.returncode == 0
    assert b"service.stopped" in output
    assert key.encode() not in output
    assert SECRET.encode() not in output


async def test_a_taken_port_is_one_line() -> None:
    port = ports.choose()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with server, process(away(port, ports.choose())) as started:
        _, errors = await asyncio.wait_for(started.communicate(), 20)

    assert started.returncode == 1
    assert errors.decode().count("\n") == 1
    assert f"127.0.0.1:{port}" in errors.decode()


async def test_an_ingress_whose_part_ends_by_itself_makes_room_for_a_new_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load(
        IngressSettings,
        kafka_bootstrap="127.0.0.1:1",
        database_url="postgresql://rollcall_ingress:x@127.0.0.1:1/none",
        invitation_secret=SECRET,
        ingress_port=ports.choose(),
        ingress_admin_port=ports.choose(),
        ingress_drain_s=1,
    )

    async def fail(_: KeyUse) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(KeyUse, "run", fail)

    ingress = await build(settings)
    with pytest.raises(CannotServe):
        async with asyncio.timeout(20):
            await ingress.serve(asyncio.Event())
