"""`rollcall org` and `rollcall key` against a real Kafka: records on the tenancy topic."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from rollcall.control.tenancy_log import Tenancy, open_log
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall.tenancy import api_key
from rollcall.tenancy.organisation import Organisation
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_operator.cli import app
from tests.support.deployment import Environment
from tests.support.servers import KafkaServer


@pytest.fixture(scope="module")
def kafka_server(native_kafka: KafkaBroker) -> KafkaServer:
    """A broker of this module's own, set up as it must be."""
    return KafkaServer(native_kafka.bootstrap, "native")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def read(deployment: Environment) -> Tenancy:
    async def folded() -> Tenancy:
        async with open_log(deployment.settings) as log:
            return await log.read()

    return asyncio.run(folded())


def call(cli: CliRunner, *arguments: str) -> Any:
    done = cli.invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_org_create_prints_exactly_what_scripts_need_and_the_key_verifies(
    deployment: Environment, cli: CliRunner
) -> None:
    printed = call(cli, "org", "create", "Acme", "--language", "nl")

    assert set(printed) == {"organisation_id", "scim_base_url", "api_key", "partition"}
    assert printed["scim_base_url"] == f"https://scim.example/v2/{printed['organisation_id']}"
    tenancy = read(deployment)
    organisation = tenancy.organisations[printed["organisation_id"]]
    assert (organisation.name, organisation.language) == ("Acme", "nl")
    (key,) = tenancy.keys_of(organisation.id)
    assert api_key.public_id_of(printed["api_key"]) == key.public_id
    assert api_key.matches(printed["api_key"], key.sha256)
    assert key.is_alive(now())


def test_organisations_are_spread_over_the_partitions_that_there_are(
    deployment: Environment, cli: CliRunner
) -> None:
    partitions = [call(cli, "org", "create", f"Org {n}")["partition"] for n in range(5)]

    assert sorted(partitions[:4]) == [0, 1, 2, 3]
    assert partitions[4] == 0


def test_org_set_changes_the_record_and_list_shows_it(
    deployment: Environment, cli: CliRunner
) -> None:
    created = call(cli, "org", "create", "Acme")

    call(cli, "org", "set", "Acme", "scim=off", "profile=interop", "name=Acme NV")

    (listed,) = call(cli, "org", "list")
    assert listed["organisation_id"] == created["organisation_id"]
    assert (listed["name"], listed["scim"], listed["profile"]) == ("Acme NV", False, "interop")
    assert read(deployment).organisation("Acme NV").scim_enabled is False


def test_a_rate_is_set_shown_and_taken_off(deployment: Environment, cli: CliRunner) -> None:
    call(cli, "org", "create", "Acme")

    before = call(cli, "org", "list")[0]
    during = call(cli, "org", "set", "Acme", "rate=50", "burst=200")
    plain = cli.invoke(app, ["org", "set", "Acme", "language=nl"])
    after = call(cli, "org", "set", "Acme", "rate=off")
    too_low = cli.invoke(app, ["org", "set", "Acme", "rate=24"])

    assert (before["rate"], before["burst"]) == (None, None)
    assert (during["rate"], during["burst"]) == (50, 200)
    assert "rate=50, burst=200" in plain.stdout
    assert after["rate"] is None
    assert too_low.exit_code == 2
    assert "from 25" in too_low.stderr
    organisation = read(deployment).organisation("Acme")
    assert (organisation.rate, organisation.burst, organisation.language) == (None, 200, "nl")


def test_org_set_with_a_wrong_key_says_what_may_be_set_and_writes_nothing(
    deployment: Environment, cli: CliRunner
) -> None:
    call(cli, "org", "create", "Acme")

    done = cli.invoke(app, ["org", "set", "Acme", "scim=off", "colour=red"])

    assert done.exit_code == 2
    assert "confirm_on_accept= on or off" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert read(deployment).organisation("Acme").scim_enabled is True


def test_keys_are_made_listed_without_secrets_and_revoked(
    deployment: Environment, cli: CliRunner
) -> None:
    first = call(cli, "org", "create", "Acme")["api_key"]
    made = call(cli, "key", "create", "Acme", "--name", "Okta", "--expires-in-days", "30")

    listed = cli.invoke(app, ["key", "list", "Acme", "--json"])
    plain = cli.invoke(app, ["key", "list", "Acme"])
    revoked = call(cli, "key", "revoke", "Acme", made["public_id"])

    for output in (listed.output, plain.output):
        for secret in (first, made["api_key"]):
            assert secret[16:] not in output
        assert api_key.digest(first) not in output
    keys = json.loads(listed.stdout)
    assert [key["name"] for key in keys] == ["first key", "Okta"]
    assert set(keys[0]) == {
        *("organisation_id", "public_id", "name", "created", "expires", "revoked", "last_used"),
        *("networks", "scopes"),
    }
    assert keys[0]["expires"] is None
    assert keys[1]["expires"] == made["expires"]
    assert revoked["revoked"] is not None
    tenancy = read(deployment)
    assert not tenancy.keys[made["public_id"]].is_alive(now())
    assert tenancy.keys[str(api_key.public_id_of(first))].is_alive(now())


def test_revoking_twice_keeps_the_first_moment(deployment: Environment, cli: CliRunner) -> None:
    public_id = str(api_key.public_id_of(call(cli, "org", "create", "Acme")["api_key"]))

    first = call(cli, "key", "revoke", "Acme", public_id)
    second = call(cli, "key", "revoke", "Acme", public_id)

    assert first["revoked"] == second["revoked"]


def test_a_key_of_another_organisation_cannot_be_revoked_through_this_one(
    deployment: Environment, cli: CliRunner
) -> None:
    public_id = str(api_key.public_id_of(call(cli, "org", "create", "Acme")["api_key"]))
    call(cli, "org", "create", "Other")

    done = cli.invoke(app, ["key", "revoke", "Other", public_id])

    assert done.exit_code == 2
    assert read(deployment).keys[public_id].revoked is None


def test_plain_output_shows_what_to_paste_where(deployment: Environment, cli: CliRunner) -> None:
    done = cli.invoke(app, ["org", "create", "Acme"])

    assert done.exit_code == 0
    assert "https://scim.example/v2/" in done.stdout
    assert "API key" in done.stdout
    assert "this once" in done.stdout


def test_two_who_change_one_organisation_at_once_both_succeed(deployment: Environment) -> None:
    """The second to write had not seen the first's record: it applies its change to that one."""

    async def race() -> Organisation:
        async with open_log(deployment.settings) as one, open_log(deployment.settings) as two:
            acme = an_organisation()
            await one.write(acme)
            await one.read()
            await two.read()
            await one.change(acme, lambda present: replace(present, scim_enabled=False))
            await two.change(acme, lambda present: replace(present, language="nl"))
            return (await one.read()).organisation(acme.id)

    final = asyncio.run(race())

    assert (final.scim_enabled, final.language) == (False, "nl")


def test_a_record_that_is_none_of_ours_is_counted_and_passed_over(deployment: Environment) -> None:
    async def with_rubbish() -> Tenancy:
        async with open_log(deployment.settings) as log:
            await log.write(an_organisation())
            await _write_raw(deployment, b"{}")
            await log.write(an_organisation())
            return await log.read()

    tenancy = asyncio.run(with_rubbish())

    assert (len(tenancy.organisations), tenancy.unreadable) == (2, 1)


def test_no_stack_and_no_settings_is_one_line_and_status_2(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROLLCALL_KAFKA_BOOTSTRAP", raising=False)

    done = cli.invoke(app, ["org", "list"])

    assert done.exit_code == 2
    assert "rollcall up" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_second_organisation_of_one_name_is_asked_about(
    deployment: Environment, cli: CliRunner
) -> None:
    first = json.loads(cli.invoke(app, ["org", "create", "Acme", "--json"]).stdout)
    unanswered = cli.invoke(app, ["org", "create", " ACME "])
    no = cli.invoke(app, ["org", "create", "Acme"], input="n\n")
    yes = cli.invoke(app, ["org", "create", "Acme", "-y"])
    listed = json.loads(cli.invoke(app, ["org", "list", "--json"]).stdout)

    assert (unanswered.exit_code, no.exit_code, yes.exit_code) == (2, 2, 0)
    assert first["organisation_id"] in unanswered.stderr
    assert "add --yes (-y)" in unanswered.stderr
    assert [each["name"] for each in listed] == ["Acme", "Acme"]


def test_kafka_away_is_one_line_and_the_status_of_an_outage(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", "127.0.0.1:1")

    done = cli.invoke(app, ["org", "create", "Acme"])

    assert done.exit_code == 3
    assert done.stderr.startswith("rollcall: Kafka")
    assert len(done.stderr.splitlines()) == 1


def test_missing_topics_name_the_command_that_makes_them(
    deployment: Environment, cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_TOPIC_PREFIX", f"{deployment.topics.prefix}-nowhere")

    done = cli.invoke(app, ["org", "create", "Acme"])

    assert done.exit_code == 2
    assert "rollcall topics apply" in done.stderr


def test_topics_are_checked_and_applied(
    deployment: Environment, cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test's own requests topic has fewer partitions than a deployment wants."""
    before = cli.invoke(app, ["topics", "check"])
    applied = cli.invoke(app, ["topics", "apply"])
    after = cli.invoke(app, ["topics", "check"])

    assert before.exit_code == 1
    assert f"{deployment.topics.requests}: 4 partitions, wanted 24" in before.stdout
    assert applied.exit_code == 0
    assert (after.exit_code, after.stdout) == (0, "Every topic is as it must be.\n")


def an_organisation() -> Organisation:
    return Organisation(id=new_id(), name="Acme", partition=0, created=now())


async def _write_raw(deployment: Environment, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=deployment.settings.kafka_bootstrap) as producer:
        await producer.send_and_wait(deployment.topics.tenancy, value, key=b"x", partition=0)
