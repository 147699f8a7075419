"""A stack's own broker lets nobody in but those who know its password, and keeps its log."""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rollcall.control.organisations import create_organisation
from rollcall.control.tenancy_log import open_log
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics, wait_until_reachable
from rollcall.runtime.config import Settings, load
from rollcall_local.stack import ports
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.kafka.login import Login
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings

pytestmark = pytest.mark.timeout(240)
LOGIN = Login(f"-starts_like_an_option-{uuid.uuid4().hex}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a broker, with a blank in its name."""
    made = Path(tempfile.mkdtemp(prefix="rollcall test "))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def guarded() -> Iterator[KafkaBroker]:
    """A broker as `rollcall up` starts it."""
    made = Path(tempfile.mkdtemp(prefix="rollcall test "))
    broker = KafkaBroker(settings_in(made, LOGIN))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(made, ignore_errors=True)


def settings_in(folder: Path, login: Login | None) -> BrokerSettings:
    port = ports.choose()
    return BrokerSettings(folder, port, ports.choose([port]), login=login)


def as_client(bootstrap: str, login: Login | None = LOGIN, **changed: str) -> Settings:
    given = {} if login is None else login.settings()
    return load(Settings, kafka_bootstrap=bootstrap, topic_prefix="of", **{**given, **changed})


async def organisations(settings: Settings) -> set[str]:
    async with open_log(settings) as log:
        return set((await log.read()).organisations)


async def with_one(settings: Settings) -> str:
    """The id of a new organisation on new topics."""
    topics = Topics(settings.topic_prefix, requests_partitions=2, replies_partitions=1)
    await wait_until_reachable(settings, 30)
    await apply_topics(settings, topics, replication=1)
    async with open_log(settings) as log:
        made, _ = await create_organisation(log, "Acme", "en")
    return made.id


async def test_who_knows_the_password_gets_in_also_after_a_sigkill(guarded: KafkaBroker) -> None:
    settings = as_client(guarded.bootstrap)
    made = await with_one(settings)

    guarded.kill()
    guarded.start()

    await wait_until_reachable(settings, 30)
    assert made in await organisations(settings)


@pytest.mark.parametrize(
    "changed",
    [
        {"kafka_security_protocol": "PLAINTEXT"},
        {"kafka_sasl_password": "another"},
        {"kafka_sasl_username": "somebody"},
        {"kafka_sasl_username": "controller"},
        {"kafka_sasl_mechanism": "PLAIN"},
        {"kafka_sasl_mechanism": "SCRAM-SHA-256"},
    ],
)
@pytest.mark.parametrize("door", ["clients", "controller"])
async def test_a_stranger_does_not(
    guarded: KafkaBroker, door: str, changed: dict[str, str]
) -> None:
    port = guarded.settings.port if door == "clients" else guarded.settings.controller_port

    with pytest.raises(TimeoutError):
        await wait_until_reachable(as_client(f"127.0.0.1:{port}", LOGIN, **changed), timeout_s=1.5)


async def test_nor_does_our_own_login_at_the_controller_s_door(guarded: KafkaBroker) -> None:
    door = f"127.0.0.1:{guarded.settings.controller_port}"

    with pytest.raises(TimeoutError):
        await wait_until_reachable(as_client(door), timeout_s=1.5)


def test_it_answers_those_who_only_ask_whether_it_is_there(guarded: KafkaBroker) -> None:
    assert kafka_native.answers(guarded.settings.port)

    guarded.pause()
    try:
        assert not kafka_native.answers(guarded.settings.port, timeout_s=0.5)
    finally:
        guarded.resume()
    assert "Failed authentication" not in guarded.log.read_text()


def test_the_password_stands_in_one_file_only_that_others_cannot_read(
    guarded: KafkaBroker,
) -> None:
    folder = guarded.settings.folder
    holds = [
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and LOGIN.password.encode() in path.read_bytes()
    ]

    assert holds == [Path("server.properties")]
    assert (folder / holds[0]).stat().st_mode & 0o077 == 0
    assert LOGIN.password not in " ".join(kafka_native.prepare(guarded.settings))


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(None, id="open"),
        pytest.param(Login("of-a-lost-file"), id="another", marks=pytest.mark.long),
    ],
)
def test_the_log_of_an_earlier_release_is_taken_over_with_what_is_in_it(
    folder: Path, before: Login | None
) -> None:
    """It was made without a login, or `secrets.json` was lost; no record is."""
    settings = settings_in(folder, before)
    old = KafkaBroker(settings)
    old.start()
    try:
        made = asyncio.run(with_one(as_client(settings.bootstrap, before)))
    finally:
        old.stop()

    said: list[str] = []
    kafka_native.prepare(replace(settings, login=LOGIN), said.append)
    kafka_native.prepare(replace(settings, login=LOGIN), said.append)

    assert len(said) == 1
    broker = KafkaBroker(replace(settings, login=LOGIN))
    broker.start()
    try:
        assert made in asyncio.run(organisations(as_client(settings.bootstrap)))
        with pytest.raises(TimeoutError):
            asyncio.run(wait_until_reachable(as_client(settings.bootstrap, before), 1.5))
    finally:
        broker.stop()
