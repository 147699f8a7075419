"""`rollcall doctor`: a deployment that is well, and each thing broken on purpose."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.postgres.migrate import available
from rollcall.postgres.upkeep import rights
from rollcall.runtime.config import Settings, load
from rollcall.runtime.ids import new_id
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_operator.cli import app
from tests.support.databases import TestDatabase
from tests.support.servers import KafkaServer

NO_AUTHORIZER = "this Kafka has no authorizer: every client may do everything"
Doctor = Callable[..., tuple[int, list[str]]]
FUTURE_ROW = """
INSERT INTO directory.progress (topic, partition, next_offset, last_event_id, last_append_time)
VALUES ('x', 0, 1, gen_random_uuid(), now() + interval '1 minute')
"""


@pytest.fixture(scope="module")
def kafka_server(native_kafka: KafkaBroker) -> KafkaServer:
    """A broker of this module's own, set up as it must be."""
    return KafkaServer(native_kafka.bootstrap, "native")


@pytest.fixture(scope="module")
def prefix(kafka_server: KafkaServer) -> str:
    """Topics of this module's own, as they must be."""
    made = f"doctor-{new_id()[-12:]}"
    settings = load(Settings, kafka_bootstrap=kafka_server.bootstrap)
    asyncio.run(apply_topics(settings, Topics(made), replication=1))
    return made


@pytest.fixture
def doctor(
    prefix: str,
    kafka_server: KafkaServer,
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Doctor:
    """Asks about a deployment that is well, but for the given variables: status and lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", kafka_server.bootstrap)
    monkeypatch.setenv("ROLLCALL_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", database.url())

    def ask(*options: str, **variables: str) -> tuple[int, list[str]]:
        for name, value in variables.items():
            monkeypatch.setenv(f"ROLLCALL_{name.upper()}", value)
        done = CliRunner().invoke(app, ["doctor", *options])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done.exit_code, done.stdout.splitlines()

    return ask


def change(database: TestDatabase, *statements: str) -> None:
    async def run() -> None:
        async with database.connect() as connection:
            for each in statements:
                await connection.execute(each)

    asyncio.run(run())


def wrong(answer: tuple[int, list[str]]) -> list[str]:
    """The lines of what is wrong; the status says so too."""
    status, lines = answer
    found = [line.removeprefix("WRONG  ") for line in lines if line.startswith("WRONG")]
    assert status == (1 if found else 0), lines
    return found


def test_nothing_is_wrong_where_all_is_well(doctor: Doctor) -> None:
    assert doctor() == (
        0,
        [
            "ok     settings: complete, for development",
            "ok     kafka: answers",
            "ok     topics: all as they must be",
            f"ok     rights on topics: {NO_AUTHORIZER}, which will do for development",
            "ok     postgres: version 18, the primary",
            "ok     schema: that of this release",
            "ok     rights in Postgres: each role has what it needs, and no more",
            "ok     clocks: as far as can be seen from here, they agree",
        ],
    )


def test_a_service_s_own_login_will_do(doctor: Doctor, database: TestDatabase) -> None:
    for service in ("ingress", "provisioner", "notifier"):
        assert wrong(doctor(database_url=database.url(service))) == []


def test_scripts_get_json(doctor: Doctor) -> None:
    _, lines = doctor("--json")

    found = json.loads("\n".join(lines))

    assert {each["state"] for each in found} == {"ok"}
    assert set(found[0]) == {"subject", "state", "line"}


def test_a_kafka_that_is_not_there_is_one_line_and_the_rest_is_looked_at(doctor: Doctor) -> None:
    answer = doctor(kafka_bootstrap="127.0.0.1:1")

    [line] = wrong(answer)
    assert line.startswith("kafka: 127.0.0.1:1: ")
    assert line.endswith("; start the broker, or correct ROLLCALL_KAFKA_BOOTSTRAP")
    assert "ok     schema: that of this release" in answer[1]
    assert not [each for each in answer[1] if "topics" in each]


def test_an_unknown_host_name_is_not_reported_as_a_broker_that_is_down(doctor: Doctor) -> None:
    [line] = wrong(doctor(kafka_bootstrap="nobody.invalid:9092"))

    assert line == (
        "kafka: nobody.invalid:9092: unknown host name; correct ROLLCALL_KAFKA_BOOTSTRAP"
    )


@pytest.mark.timeout(180)
def test_a_broker_that_refuses_every_login_is_not_reported_as_away(doctor: Doctor) -> None:
    """It speaks plain text, and is asked to encrypt."""
    [line] = wrong(doctor(kafka_security_protocol="SSL"))

    assert line.startswith("kafka: a broker's port is open, and none lets us in; check ROLLCALL_")


def test_topics_that_are_missing_or_differ_are_named(doctor: Doctor) -> None:
    few = wrong(doctor(topic_prefix="nothing-here"))

    assert len(few) == 5
    assert few[0] == (
        "topics: nothing-here.tenancy: is missing; run `rollcall topics apply --replication 1`"
    )


def test_copies_that_are_wanted_and_not_there_are_named(doctor: Doctor, prefix: str) -> None:
    lines = wrong(doctor("--replication", "3"))

    assert (
        f"topics: {prefix}.requests: replication 1, wanted 3; "
        "move its replicas with kafka-reassign-partitions.sh"
    ) in lines


def test_a_database_that_does_not_answer_is_one_line(doctor: Doctor) -> None:
    [line] = wrong(doctor(database_url="postgresql://rollcall_owner:x@127.0.0.1:1/rollcall"))

    assert line.startswith("postgres: no answer; check the address in ROLLCALL_DATABASE_URL")


def test_a_wrong_password_and_a_wrong_database_have_different_messages(
    doctor: Doctor, database: TestDatabase
) -> None:
    good = database.url()
    password = wrong(doctor(database_url=good.replace(":only-for-tests@", ":other@")))
    name = wrong(doctor(database_url=good.replace(database.name, "nowhere")))

    assert password == [
        "postgres: it refuses the login; correct role and password in ROLLCALL_DATABASE_URL"
    ]
    assert name == [
        "postgres: no such database, or no right to it; see docs/reference/database.md, Roles"
    ]


def test_a_schema_of_an_older_release_is_named(doctor: Doctor, database: TestDatabase) -> None:
    newest = available()[-1].name
    change(database, f"DELETE FROM rollcall.migration WHERE name = '{newest}'")

    assert wrong(doctor()) == [f"schema: lacks {newest}; run `rollcall migrate`"]


def test_an_empty_database_lacks_every_migration(
    doctor: Doctor, empty_database: TestDatabase
) -> None:
    assert wrong(doctor(database_url=empty_database.url())) == [
        "schema: lacks every migration; run `rollcall migrate`"
    ]


def test_rights_that_are_missing_and_rights_that_are_too_much_are_named(
    doctor: Doctor, database: TestDatabase
) -> None:
    change(
        database,
        "REVOKE SELECT ON directory.member FROM rollcall_ingress",
        "GRANT DELETE ON audit.event TO rollcall_provisioner",
        "GRANT UPDATE (state) ON directory.dead_letter TO rollcall_ingress",
        "GRANT SELECT ON tenancy.api_key TO PUBLIC",
    )

    assert wrong(doctor()) == [
        f"rights in Postgres: {who} {what}; as the owner: {mend}"
        for who, what, mend in (
            (
                "rollcall_ingress",
                "has no SELECT ON directory.member",
                "GRANT SELECT ON directory.member TO rollcall_ingress",
            ),
            (
                "public",
                "has SELECT ON tenancy.api_key, and must not",
                "REVOKE SELECT ON tenancy.api_key FROM public",
            ),
            (
                "rollcall_ingress",
                "has UPDATE (state) ON directory.dead_letter, and must not",
                "REVOKE UPDATE (state) ON directory.dead_letter FROM rollcall_ingress",
            ),
            (
                "rollcall_provisioner",
                "has DELETE ON audit.event, and must not",
                "REVOKE DELETE ON audit.event FROM rollcall_provisioner",
            ),
        )
    ]


async def test_the_migrations_are_read_as_postgres_reads_them(database: TestDatabase) -> None:
    async with database.connect() as connection:
        found = await rights.granted(connection)

    assert found == rights.of_release(available())
    assert found


def test_a_kafka_whose_clock_is_ahead_is_named(doctor: Doctor, database: TestDatabase) -> None:
    change(database, FUTURE_ROW)

    [line] = wrong(doctor())

    assert line.startswith("clocks: Kafka's is ")
    assert line.endswith(" s ahead of ours; synchronise them (NTP on every machine)")


def test_what_will_do_for_development_is_wrong_in_production(doctor: Doctor) -> None:
    lines = wrong(doctor(environment="production"))

    assert [line.split(";")[0] for line in lines] == [
        "settings: Kafka is spoken to without encryption (PLAINTEXT)",
        "settings: Kafka gets no login",
        "settings: Postgres's certificate is not checked",
        "settings: links that are given out are not encrypted",
        f"rights on topics: {NO_AUTHORIZER}",
    ]


def test_every_mistake_in_the_settings_is_a_line(doctor: Doctor) -> None:
    lines = wrong(doctor(topic_prefix="a b", log_level="loud"))

    assert [line.split(":")[1].strip() for line in lines] == [
        "ROLLCALL_LOG_LEVEL",
        "ROLLCALL_TOPIC_PREFIX",
    ]


def test_a_service_s_own_settings_are_looked_at_where_it_runs(doctor: Doctor) -> None:
    without = doctor("--service", "ingress")
    complete = doctor("--service", "ingress", invitation_secret="only-for-tests-" * 4)
    unknown = doctor("--service", "operator")

    assert [line.split(";")[0] for line in wrong(without)] == [
        "settings of ingress: ROLLCALL_INVITATION_SECRET: is missing"
    ]
    assert wrong(complete) == []
    assert "ok     settings of ingress: complete" in complete[1]
    assert unknown[0] == 2


def test_a_published_secret_or_a_login_in_clear_text_is_no_complete_setting(doctor: Doctor) -> None:
    given = {"environment": "production", "invitation_secret": "dev-only-" + "x" * 40}

    ingress = wrong(doctor("--service", "ingress", **given))
    notifier = wrong(doctor("--service", "notifier", smtp_username="rollcall", **given))

    published = "ROLLCALL_INVITATION_SECRET: is a secret that is published with the examples"
    assert any(published in line for line in ingress)
    assert any(published in line for line in notifier)
    assert any("ROLLCALL_SMTP_TLS: is `none`" in line for line in notifier)
